"""job=train: objects from the settings, with every setting checked; then training/job.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convscope.analyses.visualize.about import FeatureConfig
from convscope.cli.keys import unused_words
from convscope.cli.processes import launched_process
from convscope.cli.recording import (
    Settings,
    explain_loader_deaths,
    finish_with_summary,
    logger_settings,
    open_record,
    report_bad_images,
    show_warnings,
    write_about,
)
from convscope.config import check_path_key, read_config, value_at
from convscope.errors import UserError, check_new_path, check_path, check_path_or_url
from convscope.runs.unfinished import has_checkpoint

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject
    from convscope.training.classifier import Classifier
    from convscope.training.recipe import Recipe

SAME_IMAGES = "name the folder of its images by data.root=, or train anew in another folder"


def train(settings: Settings, folder: Path) -> None:
    """Trains the net of the settings and records the run in its folder."""
    check_path_keys(settings)

    from convscope.cli import terminal
    from convscope.data.trained_images import check_images
    from convscope.runs.provenance import with_earlier_decoders
    from convscope.runs.record import Record
    from convscope.training import job
    from convscope.training.callbacks.checkpoints import Within
    from convscope.training.callbacks.epoch_records import Sessions
    from convscope.training.start import images_of_run

    start = time.perf_counter()
    evolution, within = read_config(FeatureConfig, settings), read_config(Within, settings)
    prepared = prepare(settings, folder)
    subject = prepared.subject
    if has_checkpoint(folder) and (began := images_of_run(folder)):
        check_images(began, subject.data, SAME_IMAGES, prepared.sizes, subject.data.mean)
    description = checkpoint_description(settings, subject) | {"images": prepared.sizes}
    check_description(description)
    plan = job.TrainingPlan(settings["trainer"], evolution, settings["seed"], description, within)
    record = Record(folder, begins=False)
    facts, other_decoder = with_earlier_decoders(_facts(settings, prepared, time.perf_counter() - start), folder)
    facts |= {"start": prepared.inherited} if prepared.inherited else {}
    with (
        open_record(record, settings) as begin_record,
        finish_with_summary(record, facts) as summary,
        explain_loader_deaths([subject]),
    ):

        def begin() -> None:
            begin_record()
            write_about(record, facts)
            _print_logging_volume(settings, evolution, subject)
            terminal.show_start(prepared.inherited)
            report_bad_images([subject], record, summary)
            warnings = [*unused_words(settings), *prepared.warnings, other_decoder, *_cautions(settings, prepared)]
            show_warnings(warnings, summary)

        sessions = Sessions(summary["seconds"], start)
        outcome = job.train(prepared.classifier, subject.data, plan, record, sessions, begin)
        outcome["warnings"] = [*summary.get("warnings", []), *outcome["warnings"]]
        summary.update(outcome)
        terminal.show_outcome(settings["name"], outcome, facts["goal"])


def check_moved_images(settings: Settings, folder: Path) -> None:
    """Raises UserError where data.root has other classes than those that the finished run was trained on."""
    from convscope.data.config import sized, source
    from convscope.data.trained_images import check_images
    from convscope.training.start import images_of_run

    if trained := images_of_run(folder):
        check_images(trained, source(sized(settings)["data"]), SAME_IMAGES)


def check_path_keys(settings: Settings, images: bool = True) -> None:
    """Raises UserError for an impossible path at the keys of conf/model, and of conf/data if it has the images."""
    check_path_key(settings, "model.init")
    if isinstance(value_at(settings, "model.weights"), str):  # another value: check_names
        check_path_key(settings, "model.weights")
    if images:
        takes_url = value_at(settings, "data.source") == "stream"
        check_path_key(settings, "data.root", check=check_path_or_url if takes_url else check_path)
        check_path_key(settings, "data.cache_dir", check=check_new_path)


def _print_logging_volume(settings: Settings, evolution: FeatureConfig, subject: Subject) -> None:
    """Prints how much each logger will receive."""
    from convscope import loggers
    from convscope.training import job

    size = subject.data.settings.image_size
    volume = job.logging_volume(evolution, settings["trainer"]["max_epochs"], subject.net, size)
    for line in loggers.logging_volumes(logger_settings(settings), *volume):
        print(line, flush=True)


def _facts(settings: Settings, prepared: Prepared, seconds: float) -> dict[str, Any]:
    """The entries of summary.json that are fixed before training. seconds: of the preparation."""
    from convscope.analyses.inputs import run_facts
    from convscope.training import job

    goal = job.goal_facts(prepared.subject.data, prepared.classifier.recipe.loss)
    facts = run_facts(settings, prepared.subject) | {"seconds": {"preparation": seconds}}
    return facts | {"images": prepared.sizes, "goal": goal}


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
    from convscope.training.callbacks.filter_renormalization import reason_against_radius, reason_against_renorm
    from convscope.training.classifier import Classifier
    from convscope.training.recipe import Recipe
    from convscope.training.start import apply_start_, read_start, start_checkpoint
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
    net, data = subject.net, subject.data
    _check_labels(subject, recipe.loss)
    reason = reason_against_renorm(net, data.settings.pixel_scale)
    recipe, unsuitable = _with_suitable_radius(recipe, reason, settings, folder)
    scale = data.settings.pixel_scale if isinstance(data.settings.pixel_scale, int | float) else 1.0
    _initialize(subject, recipe, scale, device.type)
    sizes = {"train": data.size("train"), "val": data.size("val")}  # decodes: bad images are reported before training
    inherited = apply_start_(net, beginning, checkpoint, data)
    _divide_images(subject, sizes, recipe.batch_size, settings["trainer"])
    reason = reason_against_radius(net, inherited.get("taken", ()), recipe.renorm)
    recipe, harmful = _with_suitable_radius(recipe, reason, settings, folder)
    classifier = Classifier(net, recipe, len(data.classes), scale)
    return Prepared(subject, classifier, sizes, inherited, (unsuitable, harmful, narrowed))


def _divide_images(subject: Subject, sizes: dict[str, int], batch_size: int, trainer: dict[str, Any]) -> None:
    """Has a last batch of one image joined to the batch before, where the net cannot take it.

    Raises UserError where a process of this run would have no images, or too few for the net.
    """
    from convscope.training.trainer import check_image_numbers, joins_last_image

    process, side = launched_process(), subject.data.settings.image_size
    processes = process.world_size if process else 1
    check_image_numbers(sizes, batch_size, processes, trainer)
    if not (processes > 1 and trainer.get("sync_batchnorm")):  # which counts the images of all processes
        share = -(-sizes["train"] // processes)
        subject.data.joins_last_image = joins_last_image(subject.net, side, share, batch_size, trainer)


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


def _initialize(subject: Subject, recipe: Recipe, pixel_scale: float, device: str) -> None:
    """Initializes a net of rows. Raises UserError where the net, with all its classes, needs more memory than there is.

    A net of a library has been initialized by its library.
    """
    from convscope.models.build import ConvNet
    from convscope.models.memory import check_net_memory
    from convscope.training.recipe import initialize_

    net = subject.net
    if not isinstance(net, ConvNet):
        return
    if device == "cpu":
        check_net_memory(net.rows, net.image_size, recipe.batch_size, copies=2)
    initialize_(net, recipe, pixel_scale)


def _cautions(settings: Settings, prepared: Prepared) -> tuple[str | None, ...]:
    """Warnings where a recipe does not suit the images or the weights; None where it does."""
    from convscope.training.callbacks.filter_renormalization import pixel_scale_warning

    recipe = prepared.classifier.recipe
    learned = bool(prepared.inherited.get("taken") or settings["model"].get("weights"))
    return pixel_scale_warning(recipe.renorm, prepared.subject.data.pixel_std), recipe.forgetting_warning(learned)


def checkpoint_description(settings: Settings, subject: Subject) -> dict[str, Any]:
    """The net and its input as every checkpoint describes them: plain values and the mean image."""
    from convscope.models.build import ConvNet
    from convscope.models.checkpoints import describe

    net, data = subject.net, subject.data
    if isinstance(net, ConvNet):
        about: dict[str, Any] = describe(net) | {"name": subject.net_name}
    else:
        model = settings["model"]
        about = {"source": model["source"], "name": model["name"], "classes": len(data.classes)}
        about["image_size"] = data.settings.image_size
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
