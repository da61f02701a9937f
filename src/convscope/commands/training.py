"""job=train."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from convscope.commands.recording import Settings, chosen_loggers, concluded
from convscope.problem import Problem

if TYPE_CHECKING:
    from convscope.subject import Subject


def train(settings: Settings, folder: Path) -> None:
    import pytorch_lightning as pl

    from convscope import assemble, loggers, terminal
    from convscope.commands.faults import loading_watched, note_left_out
    from convscope.jobs import train as job
    from convscope.learn.checkpoint import Within
    from convscope.learn.classifier import Classifier
    from convscope.learn.guard import scale_warning
    from convscope.learn.radius import exceeding, unsuited, without_radius
    from convscope.learn.recipe import initialize_, read_recipe
    from convscope.learn.sessions import Sessions
    from convscope.learn.start import begin_, parent, read_start
    from convscope.learn.trainer import check_precision, check_trainer
    from convscope.nets.build import ConvNet
    from convscope.nets.size import check_room
    from convscope.plans import read_plan
    from convscope.provenance import goes_on_from_0_1, same_pixels
    from convscope.record import Record

    start = time.perf_counter()
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    check_trainer(assemble.group(settings, "trainer"))
    device = assemble.device(settings["trainer"].get("accelerator", "auto"))  # told before the images are read
    narrowed = check_precision(settings["trainer"], device.type)
    recipe, choice = read_recipe(assemble.group(settings, "optim")), assemble.choice(settings["evolution"])
    beginning = read_start(assemble.group(settings, "model"))
    within = read_plan(Within, "checkpoint", settings.get("checkpoint", {}))
    before = parent(beginning)
    if device.type == "cpu":  # gradients and what the optimizer remembers are as large again
        assemble.check_net(settings, recipe.batch_size, copies=2)
    subject = assemble.new(settings, parent=before)
    net, data = subject.net, subject.data
    _check_labels(subject, recipe.loss)
    typed = any(word.startswith("optim.renorm=") for word in assemble.said(settings.get("words", []), "optim"))
    old = goes_on_from_0_1(folder)  # which held every net at the radius: its runs end by the recipe they began with
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
    about = assemble.description(settings, subject)
    plan = job.Plan(settings["trainer"], choice, settings["seed"], about, within)
    with loggers.opened(chosen_loggers(settings), folder, settings) as chosen:
        for line in loggers.costs(chosen_loggers(settings), *assemble.shown(settings, subject)):
            print(line, flush=True)
        record = Record(folder, chosen)
        facts = assemble.facts(settings, subject) | {"seconds": {"preparation": time.perf_counter() - start}}
        facts["images"] = sizes
        facts["goal"] = job.goal_facts(data, recipe.loss)
        facts, mixed = same_pixels(facts, folder)
        with concluded(record, facts | ({"start": begun} if begun else {})) as summary, loading_watched([subject]):
            sessions = Sessions(summary["seconds"], start)
            terminal.beginning(begun)
            note_left_out([subject], record, summary)
            given = bool(begun.get("taken") or settings["model"].get("weights"))
            spread = scale_warning(recipe.renorm, data.pixel_std)
            for text in filter(None, (off, off_too, narrowed, mixed, spread, recipe.fading(given))):
                terminal.warning(text)
                summary["warnings"] = [*summary.get("warnings", []), text]
            outcome = job.train(classifier, data, plan, record, sessions)
            outcome["warnings"] = [*summary.get("warnings", []), *outcome["warnings"]]
            summary.update(outcome)
            terminal.ending(settings["name"], outcome, facts["goal"])


def _check_labels(subject: Subject, loss: str) -> None:
    """Whether the images can be learned from by this loss."""
    if len(subject.data.classes) < 2 or subject.data_name == "images":  # whose training images are those of validation
        raise Problem(
            f"data={subject.data_name} has no classes to learn; it is for jobs that look at a net. To train, sort the "
            "images into train/<class>/ and val/<class>/ and type data=folder"
        )
    if loss == "multilabel" and not subject.data.several:
        raise Problem(
            f"optim.loss=multilabel is for images that show several classes, and those of data={subject.data_name} "
            "show one; type optim.loss=softmax"
        )
