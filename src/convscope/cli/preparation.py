"""What training begins with: the net and its images, made from the settings, each of which is checked here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convscope.cli.processes import launched_process
from convscope.config import read_config
from convscope.errors import UserError

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject
    from convscope.training.classifier import Classifier
    from convscope.training.recipe import Recipe

Settings = dict[str, Any]


class Prepared(NamedTuple):
    """What training begins with. sizes: images of each split. inherited: facts on weights from an earlier net.

    warnings: lines for the user, "" or None where there is none.
    """

    subject: Subject
    classifier: Classifier
    sizes: dict[str, int]
    inherited: dict[str, Any]
    warnings: tuple[str | None, ...]


def prepare(settings: Settings, folder: Path) -> Prepared:
    """The net with its first weights, and its images. Checks every setting, the cheap ones first.

    Raises UserError for the first wrong setting.
    """
    import pytorch_lightning as pl

    from convscope.analyses.inputs import net_device
    from convscope.analyses.subject import check_net, new_subject
    from convscope.data.config import group_settings
    from convscope.models.build import ConvNet
    from convscope.models.checkpoints import rows_of
    from convscope.training.callbacks.filter_renormalization import reason_against_radius, reason_against_renorm
    from convscope.training.classifier import Classifier
    from convscope.training.recipe import Recipe
    from convscope.training.start import apply_start_, left_out_by_run, read_start, start_checkpoint
    from convscope.training.trainer import check_precision, check_trainer

    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    check_trainer(group_settings(settings, "trainer"))
    device = net_device(settings["trainer"].get("accelerator", "auto"))
    narrowed = check_precision(settings["trainer"], device.type)
    group_settings(settings, "optim")
    recipe, beginning = read_config(Recipe, settings), read_start(group_settings(settings, "model"))
    checkpoint = start_checkpoint(beginning)
    if device.type == "cpu":  # gradients and the state of the optimizer are as large again
        check_net(settings, recipe.batch_size, copies=2)
    subject = new_subject(settings, parent=checkpoint)
    net, data, left_out = subject.net, subject.image_data, left_out_by_run(folder)
    data.leave_out(set(left_out))
    _check_labels(subject, recipe.loss)
    reason = reason_against_renorm(net, data.settings.pixel_scale)
    recipe, unsuitable = _with_suitable_radius(recipe, reason, settings, folder)
    scale = data.settings.pixel_scale if isinstance(data.settings.pixel_scale, int | float) else 1.0
    learned = bool(settings["model"].get("weights"))
    _initialize(subject, recipe, scale, device.type, learned)
    sizes = {"train": data.size("train"), "val": data.size("val")}  # decodes: bad images are reported before training
    inherited = apply_start_(net, beginning, checkpoint, data)
    _divide_images(subject, sizes, recipe.batch_size, settings["trainer"], device.type)
    rows = rows_of(net, net.state_dict()) if learned and isinstance(net, ConvNet) else inherited.get("taken", ())
    reason = reason_against_radius(net, rows, recipe.renorm)
    recipe, harmful = _with_suitable_radius(recipe, reason, settings, folder)
    classifier = Classifier(net, recipe, len(data.classes), scale)
    return Prepared(subject, classifier, sizes, inherited, (unsuitable, harmful, narrowed, _stay_out(left_out)))


def _stay_out(left_out: Sequence[str]) -> str:
    """A line for a run that goes on without images; "" where there are none."""
    words = "images that could not be read when the run began stay left out, mended or not"
    return f"{words}: {len(left_out)}; bad_images.csv has their names" if left_out else ""


def _divide_images(
    subject: Subject, sizes: dict[str, int], batch_size: int, trainer: dict[str, Any], device: str
) -> None:
    """Has a last batch of one image joined to the batch before, where the net cannot take it.

    Raises UserError where a process of this run would have no images, or too few for the net.
    """
    from convscope.training.trainer import check_image_numbers, check_sync_batchnorm, joins_last_image

    process, side = launched_process(), subject.data.settings.image_size
    processes = process.world_size if process else 1
    check_image_numbers(sizes, batch_size, processes, trainer)
    check_sync_batchnorm(trainer, device, processes)
    if not (processes > 1 and trainer.get("sync_batchnorm")):  # which counts the images of all processes
        share = -(-sizes["train"] // processes)
        subject.image_data.joins_last_image = joins_last_image(subject.net, side, share, batch_size, trainer)


def _with_suitable_radius(recipe: Recipe, reason: str, settings: Settings, folder: Path) -> tuple[Recipe, str]:
    """The recipe, without the radius of its filters where there is a reason against it, and then a warning.

    Version 0.1 renormalized every net: one of its runs that goes on keeps its recipe.
    """
    from convscope.analyses.subject import overrides_of
    from convscope.runs.provenance import continues_run_of_0_1
    from convscope.training.callbacks.filter_renormalization import without_renorm

    overrides = overrides_of(settings.get("words", []), "optim")
    is_typed = any(override.startswith("optim.renorm=") for override in overrides)
    return without_renorm(recipe, "" if continues_run_of_0_1(folder) else reason, is_typed)


def _initialize(subject: Subject, recipe: Recipe, pixel_scale: float, device: str, learned: bool) -> None:
    """Initializes a net of rows. Raises UserError where the net, with all its classes, needs more memory than there is.

    learned: its weights come from a file. A net without rows has been initialized by those who wrote it.
    """
    from convscope.models.build import ConvNet
    from convscope.models.memory import check_net_memory
    from convscope.training.recipe import initialize_

    net = subject.net
    if not isinstance(net, ConvNet):
        return
    if device == "cpu":
        check_net_memory(net.rows, net.image_size, recipe.batch_size, copies=2)
    if not learned:
        initialize_(net, recipe, pixel_scale)


def cautions(settings: Settings, prepared: Prepared) -> tuple[str | None, ...]:
    """Warnings where a recipe does not suit the images or the weights; None where it does."""
    from convscope.training.callbacks.filter_renormalization import pixel_scale_warning

    recipe = prepared.classifier.recipe
    learned = bool(prepared.inherited.get("taken") or settings["model"].get("weights"))
    return pixel_scale_warning(recipe.renorm, prepared.subject.image_data.pixel_std), recipe.forgetting_warning(learned)


def checkpoint_description(settings: Settings, subject: Subject) -> dict[str, Any]:
    """The net and its input as every checkpoint describes them: plain values and the mean image."""
    from convscope.models.build import ConvNet
    from convscope.models.checkpoints import describe
    from convscope.models.targets import target_args, target_name

    net, data = subject.net, subject.image_data
    if isinstance(net, ConvNet):
        about: dict[str, Any] = describe(net) | {"name": subject.net_name}
    else:
        model = settings["model"]
        about = {"source": model["source"], "name": subject.net_name, "classes": len(data.classes)}
        about["image_size"] = data.settings.image_size
        if model["source"] == "python":
            about |= {"target": target_name(model), "args": target_args(model)}
        else:
            about["transform_input"] = bool(getattr(net, "transform_input", False))
    scale, images = data.settings.pixel_scale, data.settings
    return {
        "net": about,
        "class_names": list(data.classes),
        "class_folders": data.folders,
        "mean": data.mean,
        "input": {"stored": images.stored, "interpolation": images.interpolation},
        "pixel_scale": list(scale) if isinstance(scale, tuple) else scale,
        "loss": settings["optim"].get("loss", "softmax"),
        "data": dict(settings["data"]),
    }


def check_description(description: dict[str, Any]) -> None:
    """Raises UserError, before any training, where no job could read the checkpoints of the run."""
    from convscope.models.untrusted import description_problem

    if problem := description_problem(description):
        raise UserError(f"the checkpoints of this run would hold {problem}, which no job reads; change that setting")


def _check_labels(subject: Subject, loss: str) -> None:
    """Raises UserError for images that a net cannot learn from by this loss."""
    if len(subject.data.classes) < 2 or subject.data_name == "images":  # where both splits are the same images
        raise UserError(
            f"data={subject.data_name} has no classes to learn; it is for jobs that look at a net. To train, sort the "
            "images into train/<class>/ and val/<class>/ and type data=folder"
        )
    if loss == "multilabel" and not subject.data.several:
        raise UserError(
            f"optim.loss=multilabel is for images that show several classes, and those of data={subject.data_name} "
            "show one; type optim.loss=softmax"
        )
