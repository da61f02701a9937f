"""job=train."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from convscope.cli.recording import Settings, chosen_loggers, concluded
from convscope.errors import UserError

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject


def train(settings: Settings, folder: Path) -> None:
    import pytorch_lightning as pl

    from convscope import loggers
    from convscope.analyses.subject import check_net, new_subject, overrides_of
    from convscope.cli import terminal
    from convscope.cli.facts import checkpoint_description, evolution_choice, logging_volume, net_device, run_facts
    from convscope.cli.recording import loading_watched, note_left_out
    from convscope.config import read_plan
    from convscope.data.config import group_settings
    from convscope.models.build import ConvNet
    from convscope.models.memory import check_room
    from convscope.runs.provenance import continues_run_of_0_1, with_earlier_decoders
    from convscope.runs.record import Record
    from convscope.training import job
    from convscope.training.checkpoint import Within
    from convscope.training.classifier import Classifier
    from convscope.training.exact_resume import Sessions
    from convscope.training.guard import scale_warning
    from convscope.training.recipe import initialize_, read_recipe
    from convscope.training.renorm_limits import exceeding, unsuited, without_radius
    from convscope.training.start import begin_, parent, read_start
    from convscope.training.trainer import check_precision, check_trainer

    start = time.perf_counter()
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    check_trainer(group_settings(settings, "trainer"))
    device = net_device(settings["trainer"].get("accelerator", "auto"))  # told before the images are read
    narrowed = check_precision(settings["trainer"], device.type)
    recipe, choice = read_recipe(group_settings(settings, "optim")), evolution_choice(settings["evolution"])
    beginning = read_start(group_settings(settings, "model"))
    within = read_plan(Within, "checkpoint", settings.get("checkpoint", {}))
    before = parent(beginning)
    if device.type == "cpu":  # gradients and what the optimizer remembers are as large again
        check_net(settings, recipe.batch_size, copies=2)
    subject = new_subject(settings, parent=before)
    net, data = subject.net, subject.data
    _check_labels(subject, recipe.loss)
    typed = any(word.startswith("optim.renorm=") for word in overrides_of(settings.get("words", []), "optim"))
    old = continues_run_of_0_1(folder)  # which held every net at the radius: its runs end by the recipe they began with
    recipe, off = without_radius(recipe, "" if old else unsuited(net, data.settings.pixel_scale), typed)
    scale = data.settings.pixel_scale if isinstance(data.settings.pixel_scale, int | float) else 1.0
    if isinstance(net, ConvNet):
        if device.type == "cpu":
            check_room(net.rows, net.image_size, recipe.batch_size, copies=2)  # now with all its classes
        initialize_(net, recipe, scale)
    sizes = {"train": data.size("train"), "val": data.size("val")}  # decoded now: bad images are told before training
    begun = begin_(net, beginning, before, data)
    harm = "" if old else exceeding(net, begun.get("taken", ()), recipe.renorm)
    recipe, off_too = without_radius(recipe, harm, typed)
    classifier = Classifier(net, recipe, len(data.classes), scale)
    about = checkpoint_description(settings, subject)
    plan = job.Plan(settings["trainer"], choice, settings["seed"], about, within)
    with loggers.opened(chosen_loggers(settings), folder, settings) as chosen:
        for line in loggers.costs(chosen_loggers(settings), *logging_volume(settings, subject)):
            print(line, flush=True)
        record = Record(folder, chosen)
        facts = run_facts(settings, subject) | {"seconds": {"preparation": time.perf_counter() - start}}
        facts["images"] = sizes
        facts["goal"] = job.goal_facts(data, recipe.loss)
        facts, mixed = with_earlier_decoders(facts, folder)
        with concluded(record, facts | ({"start": begun} if begun else {})) as summary, loading_watched([subject]):
            sessions = Sessions(summary["seconds"], start)
            terminal.show_start(begun)
            note_left_out([subject], record, summary)
            given = bool(begun.get("taken") or settings["model"].get("weights"))
            spread = scale_warning(recipe.renorm, data.pixel_std)
            for text in filter(None, (off, off_too, narrowed, mixed, spread, recipe.fading(given))):
                terminal.show_warning(text)
                summary["warnings"] = [*summary.get("warnings", []), text]
            outcome = job.train(classifier, data, plan, record, sessions)
            outcome["warnings"] = [*summary.get("warnings", []), *outcome["warnings"]]
            summary.update(outcome)
            terminal.show_outcome(settings["name"], outcome, facts["goal"])


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
