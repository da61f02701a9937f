"""Recording a job: its results in the run folder, and at the end, also after an error, a summary and a page."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.cli.keys import unused_words
from convscope.errors import UserError
from convscope.runs.atomic_io import CannotWrite
from convscope.runs.reading import run_around
from convscope.runs.throttle import Throttle

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject
    from convscope.runs.record import Record, Result


Settings = dict[str, Any]
Command = Callable[[Settings, Path], None]
_START = ContextVar[float]("start")  # of the command of this run, by time.perf_counter


def timed(command: Command) -> Command:
    """The command, with its start noted: the seconds in summary.json count from there."""

    @wraps(command)
    def timed_command(settings: Settings, folder: Path) -> None:
        token = _START.set(time.perf_counter())
        try:
            command(settings, folder)
        finally:
            _START.reset(token)

    return timed_command


def taking_folders(command: Command) -> Command:
    """The command, given the checkpoint of each run folder at ckpt= and model.init=, and the run around a file at run=.

    Prints the checkpoint that it takes.
    """

    @wraps(command)
    def command_on_files(settings: Settings, folder: Path) -> None:
        run, ckpt, model = settings.get("run"), settings.get("ckpt"), settings.get("model")
        if isinstance(run, str) and str(around := run_around(run)) != run:
            ckpt = f"{around}{ckpt.removeprefix(run)}" if isinstance(ckpt, str) and ckpt.startswith(f"{run}/") else ckpt
            settings = {**settings, "run": str(around)}
        if ckpt:
            files = [_file_in("ckpt", path) for path in (ckpt if isinstance(ckpt, list) else [ckpt])]
            settings = {**settings, "ckpt": files if isinstance(ckpt, list) else files[0]}
        if isinstance(model, dict) and model.get("init"):
            settings = {**settings, "model": {**model, "init": _file_in("model.init", model["init"])}}
        command(settings, folder)

    return command_on_files


def _file_in(key: str, path: Any) -> Any:
    """The checkpoint in a folder; anything else as it is."""
    if not isinstance(path, str) or not os.path.isdir(os.path.expanduser(path)):
        return path
    from convscope.cli.terminal import show_line
    from convscope.models.checkpoints import checkpoint_file

    file = checkpoint_file(path)
    if not file.is_file():
        return path
    show_line(f"{key}={path}: {file.name}")
    return str(file)


def record_results(
    results: Iterator[Result], settings: Settings, folder: Path, facts: dict[str, Any], subjects: Sequence[Subject] = ()
) -> None:
    """Writes every result into the run folder, and small tables also to the terminal.

    facts: what summary.json says of the run. subjects: the nets whose images are read meanwhile.
    """
    from convscope import loggers
    from convscope.cli import terminal
    from convscope.runs.record import Number, Record

    with loggers.open_loggers(logger_settings(settings), folder, settings) as run_loggers:
        record = Record(folder, run_loggers)
        with finish_with_summary(record, facts) as summary, explain_loader_deaths(subjects):
            show_warnings(unused_words(settings), summary)
            numbers = []
            for result in results:
                record.add(result)
                terminal.show_result(result)
                numbers += [result] if isinstance(result, Number) else []
            terminal.show_numbers(numbers, folder)
            report_bad_images(subjects, record, summary)


def logger_settings(settings: Settings) -> dict[str, Any]:
    """The settings of conf/logger; none in all processes but the first, which alone logs."""
    return (settings.get("logger") or {}) if os.environ.get("RANK", "0") == "0" else {}


@contextmanager
def finish_with_summary(record: Record, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Writes summary.json and the page at the end, also after an error, and prints where the page is.

    The seconds of the job itself are those since the start of the command, and of "earlier" sessions of a resumed run,
    that no other phase has taken.
    """
    start, summary = _START.get(time.perf_counter()), {"seconds": {}, **facts, "finished": False}
    if os.environ.get("RANK", "0") == "0":
        record.about({key: value for key, value in facts.items() if key != "seconds"})
    try:
        yield summary
        summary["finished"] = True
    except UserError as problem:
        summary["problem"] = str(problem)
        raise
    finally:
        if os.environ.get("RANK", "0") == "0":
            with suppress(CannotWrite) if "problem" in summary else nullcontext():  # the first error is enough
                _write_summary_and_page(record, summary, time.perf_counter() - start)


def _write_summary_and_page(record: Record, summary: dict[str, Any], elapsed: float) -> None:
    from convscope.report.page import write_page
    from convscope.runs.provenance import code_commit, versions

    seconds = summary["seconds"]
    total = elapsed + seconds.pop("earlier", 0.0)
    seconds[summary["job"]] = total - sum(seconds.values())
    rounded = {phase: round(duration, 2) for phase, duration in seconds.items()}
    numbers = {"numbers": record.numbers} if record.numbers else {}
    record.summary({**summary, **numbers, "seconds": rounded, "versions": versions(), "git": code_commit()})
    print(f"look at {write_page(record.folder)}", flush=True)
    _link_from_training_page(record.folder, summary)
    update_sweep_page(record.folder)


def _link_from_training_page(folder: Path, summary: dict[str, Any]) -> None:
    """Adds a link to this run to the page of the training run whose net it looked at."""
    from convscope.report.linked_runs import note_analysis
    from convscope.report.page import write_page

    if "of_run" in summary and summary["finished"]:
        trained = folder.resolve() / summary["of_run"]
        note_analysis(folder, trained, summary["job"], time.strftime("%Y-%m-%d %H:%M"))
        with suppress(OSError, CannotWrite):  # somebody else's folder
            write_page(trained)


@contextmanager
def explain_loader_deaths(subjects: Sequence[Subject]) -> Iterator[None]:
    """Raises UserError with the name of the image where a loading process dies; ends all loading processes."""
    try:
        yield
    except RuntimeError as error:
        problem = next((death for subject in subjects if (death := subject.data.death(error))), None)
        raise error if problem is None else problem from None
    finally:
        for subject in subjects:
            subject.data.close()


def show_warnings(warnings: Sequence[str | None], summary: dict[str, Any]) -> None:
    """Prints the warnings that are no empty text, and adds them to the summary."""
    from convscope.cli import terminal

    for warning in filter(None, warnings):
        terminal.show_warning(warning)
        summary["warnings"] = [*summary.get("warnings", []), warning]


def report_bad_images(subjects: Sequence[Subject], record: Record, summary: dict[str, Any]) -> None:
    """Writes bad_images.csv, adds count and warnings to the summary, and prints the warnings."""
    from convscope.cli import terminal
    from convscope.runs.record import write_bad_images

    bad = dict.fromkeys(image for subject in subjects for image in subject.data.bad_images)
    if not bad or os.environ.get("RANK", "0") != "0":
        return
    write_bad_images(record.folder, bad)
    emptied = dict.fromkeys(message for subject in subjects for message in subject.data.emptied)
    summary["bad_images"] = len(bad)
    count = f"{len(bad)} images cannot be read and are left out; bad_images.csv has their names and reasons"
    warnings = [count, *emptied]
    summary["warnings"] = [*summary.get("warnings", []), *warnings]
    for line in warnings:
        terminal.show_warning(line)


PAGE_SHARE = 0.05  # of the time of this process at most, for the page: its cost grows with the number of runs
_pages: defaultdict[Path, Throttle] = defaultdict(lambda: Throttle(PAGE_SHARE))


def update_sweep_page(folder: Path) -> None:
    """Writes the page of the sweep around a run that has ended, if there is one and it was not just written."""
    from convscope.runs.reading import enclosing_sweep

    sweep = enclosing_sweep(folder)
    if sweep is not None and _pages[sweep].due:
        with _pages[sweep].counted():
            write_page_of_sweep(sweep)


def write_page_of_sweep(sweep: Path) -> None:
    """Writes the page of a sweep; an error is only printed, so that files of one run cannot end another run."""
    from convscope.report.sweep import write_sweep_page

    try:
        write_sweep_page(sweep)
    except Exception as error:
        if type(error) is not UserError:  # a sweep without training runs has no page
            print(f"the page of the sweep {sweep.name} could not be written: {error}", flush=True)
