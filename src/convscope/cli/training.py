"""job=train: settings to objects, then training/job.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convscope.analyses.visualize.about import FeatureConfig
from convscope.cli.recording import (
    Settings,
    explain_loader_deaths,
    finish_with_summary,
    logger_settings,
    report_bad_images,
)
from convscope.config import check_path_key, read_config
from convscope.errors import UserError

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject
    from convscope.training.classifier import Classifier


def train(settings: Settings, folder: Path) -> None:
    """Trains the net of the settings; all that is seen on the way is in the run folder."""
    for key in ("model.init", "data.root", "data.cache_dir"):
        check_path_key(settings, key)

    from convscope import loggers
    from convscope.analyses.inputs import run_facts
    from convscope.cli import terminal
    from convscope.runs.provenance import with_earlier_decoders
    from convscope.runs.record import Record
    from convscope.training import job
    from convscope.training.callbacks.checkpoints import Within
    from convscope.training.callbacks.epoch_records import Sessions

    start = time.perf_counter()
    evolution, within = read_config(FeatureConfig, settings), read_config(Within, settings)
    prepared = _prepared(settings, folder)
    subject, data, recipe = prepared.subject, prepared.subject.data, prepared.classifier.recipe
    description = checkpoint_description(settings, subject)
    plan = job.TrainingPlan(settings["trainer"], evolution, settings["seed"], description, within)
    with loggers.open_loggers(logger_settings(settings), folder, settings) as chosen:
        volume = job.logging_volume(evolution, settings["trainer"]["max_epochs"], subject.net, data.settings.image_size)
        for line in loggers.logging_volumes(logger_settings(settings), *volume):
            print(line, flush=True)
        record = Record(folder, chosen)
        facts = run_facts(settings, subject) | {"seconds": {"preparation": time.perf_counter() - start}}
        facts["images"] = prepared.sizes
        facts["goal"] = job.goal_facts(data, recipe.loss)
        facts, other_decoder = with_earlier_decoders(facts, folder)
        inherited = {"start": prepared.inherited} if prepared.inherited else {}
        with finish_with_summary(record, facts | inherited) as summary, explain_loader_deaths([subject]):
            sessions = Sessions(summary["seconds"], start)
            terminal.show_start(prepared.inherited)
            report_bad_images([subject], record, summary)
            for text in filter(None, (*prepared.warnings, other_decoder, *_cautions(settings, prepared))):
                terminal.show_warning(text)
                summary["warnings"] = [*summary.get("warnings", []), text]
            outcome = job.train(prepared.classifier, data, plan, record, sessions)
            outcome["warnings"] = [*summary.get("warnings", []), *outcome["warnings"]]
            summary.update(outcome)
            terminal.show_outcome(settings["name"], outcome, facts["goal"])


class Prepared(NamedTuple):
    """What training begins with. sizes: images of each split. inherited: what came from an earlier net, and froze.

    warnings: lines for the user, "" or None where there is none.
    """

    subject: Subject
    classifier: Classifier
    sizes: dict[str, int]
    inherited: dict[str, Any]
    warnings: tuple[str | None, ...]


def _prepared(settings: Settings, folder: Path) -> Prepared:
    """The net with its first weights and its images, every setting checked. Raises UserError, the cheap ones first."""
    import pytorch_lightning as pl

    from convscope.analyses.inputs import net_device
    from convscope.analyses.subject import check_net, new_subject, overrides_of
    from convscope.data.config import group_settings
    from convscope.models.build import ConvNet
    from convscope.models.memory import check_net_memory
    from convscope.runs.provenance import continues_run_of_0_1
    from convscope.training.callbacks.filter_renormalization import (
        reason_against_radius,
        reason_against_renorm,
        without_renorm,
    )
    from convscope.training.classifier import Classifier
    from convscope.training.recipe import Recipe, initialize_
    from convscope.training.start import apply_start_, read_start, start_checkpoint
    from convscope.training.trainer import check_precision, check_trainer

    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    check_trainer(group_settings(settings, "trainer"))
    device = net_device(settings["trainer"].get("accelerator", "auto"))
    narrowed = check_precision(settings["trainer"], device.type)
    group_settings(settings, "optim")
    recipe, beginning = read_config(Recipe, settings), read_start(group_settings(settings, "model"))
    checkpoint = start_checkpoint(beginning)
    if device.type == "cpu":  # gradients and what the optimizer remembers are as large again
        check_net(settings, recipe.batch_size, copies=2)
    subject = new_subject(settings, parent=checkpoint)
    net, data = subject.net, subject.data
    _check_labels(subject, recipe.loss)
    typed = any(word.startswith("optim.renorm=") for word in overrides_of(settings.get("words", []), "optim"))
    old = continues_run_of_0_1(folder)  # which held every net at the radius: its runs end by the recipe they began with
    recipe, unsuitable = without_renorm(
        recipe, "" if old else reason_against_renorm(net, data.settings.pixel_scale), typed
    )
    scale = data.settings.pixel_scale if isinstance(data.settings.pixel_scale, int | float) else 1.0
    if isinstance(net, ConvNet):
        if device.type == "cpu":
            check_net_memory(net.rows, net.image_size, recipe.batch_size, copies=2)  # now with all its classes
        initialize_(net, recipe, scale)
    sizes = {"train": data.size("train"), "val": data.size("val")}  # decoded now: bad images are told before training
    inherited = apply_start_(net, beginning, checkpoint, data)
    harm = "" if old else reason_against_radius(net, inherited.get("taken", ()), recipe.renorm)
    recipe, harmful = without_renorm(recipe, harm, typed)
    classifier = Classifier(net, recipe, len(data.classes), scale)
    return Prepared(subject, classifier, sizes, inherited, (unsuitable, harmful, narrowed))


def _cautions(settings: Settings, prepared: Prepared) -> tuple[str | None, ...]:
    """Warnings of a recipe that does not suit the images or the weights."""
    from convscope.training.callbacks.filter_renormalization import pixel_scale_warning

    recipe = prepared.classifier.recipe
    learned = bool(prepared.inherited.get("taken") or settings["model"].get("weights"))
    return pixel_scale_warning(recipe.renorm, prepared.subject.data.pixel_std), recipe.fading(learned)


def checkpoint_description(settings: Settings, subject: Subject) -> dict[str, Any]:
    """What every checkpoint says of its net and its input: plain values and the mean image."""
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
        "mean": data.mean,
        "input": {"stored": images.stored, "interpolation": images.interpolation},
        "pixel_scale": list(scale) if isinstance(scale, tuple) else scale,
        "loss": settings["optim"].get("loss", "softmax"),
        "data": dict(settings["data"]),
    }


def _check_labels(subject: Subject, loss: str) -> None:
    """Whether the images can be learned from by this loss."""
    if len(subject.data.classes) < 2 or subject.data_name == "images":  # whose training images are those of validation
        raise UserError(
            f"data={subject.data_name} has no classes to learn; it is for jobs that look at a net. To train, sort the "
            "images into train/<class>/ and val/<class>/ and type data=folder"
        )
    if loss == "multilabel" and not subject.data.several:
        raise UserError(
            f"optim.loss=multilabel is for images that show several classes, and those of data={subject.data_name} "
            "show one; type optim.loss=softmax"
        )
