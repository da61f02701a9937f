"""What every job leaves: its results in the run folder, a summary and a page at the end, whatever happened."""

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

from convscope.errors import UserError
from convscope.runs.atomic_io import CannotWrite
from convscope.runs.throttle import Throttle

if TYPE_CHECKING:
    from convscope.analyses.subject import Subject
    from convscope.runs.record import Record, Result


Settings = dict[str, Any]
Command = Callable[[Settings, Path], None]
_START = ContextVar[float]("began")  # when the command of this run did, by time.perf_counter


def timed(command: Command) -> Command:
    """The command; all the time that it takes is the run's, also before it has anything to record."""

    @wraps(command)
    def begun(settings: Settings, folder: Path) -> None:
        before = _START.set(time.perf_counter())
        try:
            command(settings, folder)
        finally:
            _START.reset(before)

    return begun


def record_results(
    found: Iterator[Result], settings: Settings, folder: Path, facts: dict[str, Any], subjects: Sequence[Subject] = ()
) -> None:
    """Every result into the run folder, small tables to the terminal too; subjects: whose images they are made of."""
    from convscope import loggers
    from convscope.cli import terminal
    from convscope.runs.record import Number, Record

    with loggers.open_loggers(logger_settings(settings), folder, settings) as chosen:
        record = Record(folder, chosen)
        with finish_with_summary(record, facts) as summary, explain_loader_deaths(subjects):
            numbers = []
            for result in found:
                record.add(result)
                terminal.show_result(result)
                numbers += [result] if isinstance(result, Number) else []
            terminal.show_numbers(numbers, folder)
            report_bad_images(subjects, record, summary)


def logger_settings(settings: Settings) -> dict[str, Any]:
    """conf/logger; of several processes the first one logs."""
    return (settings.get("logger") or {}) if os.environ.get("RANK", "0") == "0" else {}


@contextmanager
def finish_with_summary(record: Record, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Writes summary.json and the page at the end, also of a run that failed; says where to look.

    The job's own seconds are what no other phase has taken since the command began, and of a run that goes on what
    none of them took in its "earlier" sessions.
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
            with suppress(CannotWrite) if "problem" in summary else nullcontext():  # it has been told once
                _write_summary_and_page(record, summary, time.perf_counter() - start)


def _write_summary_and_page(record: Record, summary: dict[str, Any], spent: float) -> None:
    from convscope.report.page import write_page
    from convscope.runs.provenance import code_commit, versions

    seconds = summary["seconds"]
    whole = spent + seconds.pop("earlier", 0.0)
    seconds[summary["job"]] = whole - sum(seconds.values())
    rounded = {phase: round(each, 2) for phase, each in seconds.items()}
    numbers = {"numbers": record.numbers} if record.numbers else {}
    record.summary({**summary, **numbers, "seconds": rounded, "versions": versions(), "git": code_commit()})
    print(f"look at {write_page(record.folder)}", flush=True)
    _link_from_training_page(record.folder, summary)
    update_sweep_page(record.folder)


def _link_from_training_page(folder: Path, summary: dict[str, Any]) -> None:
    """The page of the training run leads to this one from now on."""
    from convscope.report.linked_runs import note_analysis
    from convscope.report.page import write_page

    if "of_run" in summary and summary["finished"]:
        trained = folder.resolve() / summary["of_run"]
        note_analysis(folder, trained, summary["job"], time.strftime("%Y-%m-%d %H:%M"))
        with suppress(OSError, CannotWrite):  # a folder of someone else's
            write_page(trained)


@contextmanager
def explain_loader_deaths(subjects: Sequence[Subject]) -> Iterator[None]:
    """A loading process that dies gives a UserError that names its image, not torch's traceback; none stays."""
    try:
        yield
    except RuntimeError as error:
        problem = next((told for each in subjects if (told := each.data.death(error))), None)
        raise error if problem is None else problem from None
    finally:
        for each in subjects:
            each.data.close()


def report_bad_images(subjects: Sequence[Subject], record: Record, summary: dict[str, Any]) -> None:
    """bad_images.csv, the count and a warning in the summary, one line in the terminal; nothing where none is bad."""
    from convscope.cli import terminal
    from convscope.runs.record import write_bad_images

    bad = dict.fromkeys(each for subject in subjects for each in subject.data.bad_images)
    if not bad or os.environ.get("RANK", "0") != "0":
        return
    write_bad_images(record.folder, bad)
    emptied = dict.fromkeys(words for subject in subjects for words in subject.data.emptied)
    summary["bad_images"] = len(bad)
    told = [f"{len(bad)} images cannot be read and are left out; bad_images.csv has their names and reasons", *emptied]
    summary["warnings"] = [*summary.get("warnings", []), *told]
    for line in told:
        terminal.show_warning(line)


PAGE_SHARE = 0.05  # of this process's time at most is the page's: it grows with the runs, which may be short
_pages: defaultdict[Path, Throttle] = defaultdict(lambda: Throttle(PAGE_SHARE))


def update_sweep_page(folder: Path) -> None:
    """The page of the sweep around a run that has just ended, if there is one and its time has come."""
    from convscope.runs.reading import enclosing_sweep

    around = enclosing_sweep(folder)
    if around is not None and _pages[around].due:
        with _pages[around].counted():
            write_page_of_sweep(around)


def write_page_of_sweep(sweep: Path) -> None:
    """What a run has left in its folder must not fail another one: an error is only told."""
    from convscope.report.sweep import write_sweep_page

    try:
        write_sweep_page(sweep)
    except Exception as error:
        if type(error) is not UserError:  # a sweep without training runs has no page
            print(f"the page of the sweep {sweep.name} could not be written: {error}", flush=True)
