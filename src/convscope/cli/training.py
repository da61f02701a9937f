"""job=train: objects from the settings, with every setting checked; then training/job.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.analyses.visualize.about import FeatureConfig
from convscope.cli.environment import keep_freed_memory, quick_imports
from convscope.cli.preparation import Prepared, cautions, check_description, checkpoint_description, prepare
from convscope.cli.recording import (
    Settings,
    explain_loader_deaths,
    finish_with_summary,
    report_bad_images,
    show_warnings,
    write_about,
)
from convscope.cli.run_start import logger_settings, open_record
from convscope.cli.unused_words import unused_words
from convscope.config import check_path_key, read_config, value_at
from convscope.errors import check_new_path, check_path, check_path_or_url
from convscope.runs.unfinished import has_checkpoint

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject

SAME_IMAGES = "name the folder of its images by data.root=, or train anew in another folder"


def train(settings: Settings, folder: Path) -> None:
    """Trains the net of the settings and records the run in its folder."""
    check_path_keys(settings)

    with quick_imports():
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
        check_images(began, subject.image_data, SAME_IMAGES, prepared.sizes, subject.image_data.mean)
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
            _print_volumes(settings, evolution, subject)
            terminal.show_start(prepared.inherited)
            report_bad_images([subject], record, summary)
            warnings = [*unused_words(settings), *prepared.warnings, other_decoder, *cautions(settings, prepared)]
            show_warnings(warnings, summary)

        sessions = Sessions(summary["seconds"], start)
        keep_freed_memory()
        outcome = job.train(prepared.classifier, subject.image_data, plan, record, sessions, begin)
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


def _print_volumes(settings: Settings, evolution: FeatureConfig, subject: Subject) -> None:
    """Prints how much the run will write, and how much each logger will receive."""
    from convscope import loggers
    from convscope.training import job

    plan = evolution, settings["trainer"]["max_epochs"], subject.net, subject.data.settings.image_size
    print(job.written_volume(*plan), flush=True)
    for line in loggers.logging_volumes(logger_settings(settings), *job.logging_volume(*plan)):
        print(line, flush=True)


def _facts(settings: Settings, prepared: Prepared, seconds: float) -> dict[str, Any]:
    """The entries of summary.json that are fixed before training. seconds: of the preparation."""
    from convscope.analyses.inputs import run_facts
    from convscope.training import job

    goal = job.goal_facts(prepared.subject.image_data, prepared.classifier.recipe.loss)
    facts = run_facts(settings, prepared.subject) | {"seconds": {"preparation": seconds}}
    return facts | {"images": prepared.sizes, "goal": goal}
