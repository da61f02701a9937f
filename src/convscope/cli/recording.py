"""Recording a job: its results in the run folder, and at the end, also after an error, a summary and a page."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import wraps
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.cli.processes import is_first_process, refusal
from convscope.cli.run_start import logger_failures, open_record
from convscope.cli.unused_words import unused_words
from convscope.errors import UserError, reason_of
from convscope.runs.atomic_io import CannotWrite
from convscope.runs.reading import enclosing_sweep, is_run_folder
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


def record_results(
    results: Iterator[Result],
    settings: Settings,
    folder: Path,
    facts: dict[str, Any],
    subjects: Sequence[Subject] = (),
    last_warnings: Callable[[], Sequence[str]] = tuple,
) -> None:
    """Writes every result into the run folder, and small tables also to the terminal; of several processes, the first.

    facts: what summary.json says of the run. subjects: the nets whose images are read meanwhile. last_warnings: what is
    to be known of these nets, asked and shown behind the first conclusion.
    """
    from convscope.cli import terminal
    from convscope.runs.record import Conclusion, Number, Record

    if not is_first_process():
        with explain_loader_deaths(subjects):
            deque(results, maxlen=0)
        return
    if is_run_folder(folder):  # it stays as it is where the first result is refused, e.g. a layer that the net lacks
        results = _with_first_computed(results, subjects)
    record = Record(folder, begins=False)
    with open_record(record, settings) as begin:
        begin()
        with finish_with_summary(record, facts) as summary, explain_loader_deaths(subjects):
            announce_page(record)
            show_warnings(unused_words(settings), summary)
            numbers, cautioned = [], False
            for result in results:
                record.add(result)
                terminal.show_result(result, folder)
                numbers += [result] if isinstance(result, Number) else []
                if isinstance(result, Conclusion) and not cautioned:
                    cautioned = True
                    show_warnings(last_warnings(), summary)
            terminal.show_numbers(numbers, folder)
            report_bad_images(subjects, record, summary)
            show_warnings([] if cautioned else last_warnings(), summary)


def _with_first_computed(results: Iterator[Result], subjects: Sequence[Subject]) -> Iterator[Result]:
    with explain_loader_deaths(subjects):
        first = list(islice(results, 1))
    return chain(first, results)


@contextmanager
def finish_with_summary(record: Record, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Writes summary.json and the page at the end, also after an error, and prints where the page is if it has results.

    Nothing is written where the record was not begun.
    The seconds of the job itself are those since the start of the command, and of "earlier" sessions of a resumed run,
    that no other phase has taken.
    """
    start, summary = _START.get(time.perf_counter()), {"seconds": {}, **facts, "finished": False}
    if record.begun:
        write_about(record, facts)
    try:
        yield summary
        summary["finished"] = True
    except UserError as problem:
        summary["problem"] = str(problem)
        raise
    except SystemExit:
        if problem_of_another := refusal():
            summary["problem"] = problem_of_another
        raise
    finally:
        if record.begun and is_first_process():
            try:
                with suppress(CannotWrite) if "problem" in summary else nullcontext():  # the first error is enough
                    _write_summary_and_page(record, summary, time.perf_counter() - start)
            finally:
                record.heartbeat.end(summary)


def write_about(record: Record, facts: dict[str, Any]) -> None:
    """Writes about.json with the facts that are fixed before the first result."""
    if is_first_process():
        record.about({key: value for key, value in facts.items() if key != "seconds"})


def announce_page(record: Record, epochs: int | None = None) -> None:
    """Writes the page of a run that begins, prints where it is, and keeps it informed of how far the run has come."""
    from convscope.report.page import write_page

    if is_first_process():
        record.heartbeat.start(epochs)
        print(f"page: {write_page(record.folder).resolve().as_uri()}", flush=True)


def _write_summary_and_page(record: Record, summary: dict[str, Any], elapsed: float) -> None:
    from convscope.report.page import write_page
    from convscope.runs.provenance import code_commit, versions

    if failures := logger_failures(record.loggers):
        summary["warnings"] = [*summary.get("warnings", []), *failures]
    seconds = summary["seconds"]
    total = elapsed + seconds.pop("earlier", 0.0)
    seconds[summary["job"]] = total - sum(seconds.values())
    rounded = {phase: round(duration, 2) for phase, duration in seconds.items()}
    numbers = {"numbers": record.numbers} if record.numbers else {}
    record.summary({**summary, **numbers, "seconds": rounded, "versions": versions(), "git": code_commit()})
    page = write_page(record.folder)
    if "problem" not in summary or record.has_results:
        print(f"look at {page}", flush=True)
    if summary["finished"]:
        _link_from_other_pages(record.folder, summary)
    update_sweep_page(record.folder)


def _link_from_other_pages(folder: Path, summary: dict[str, Any]) -> None:
    """Adds links to this run to the page of the training run whose net it looked at, and of sweeps that it compared."""
    from convscope.report.linked_runs import compared_sweeps, note_analysis
    from convscope.report.page import write_page

    when = time.strftime("%Y-%m-%d %H:%M")
    if "of_run" in summary:
        trained = folder.resolve() / summary["of_run"]
        note_analysis(folder, trained, summary["job"], when)
        with suppress(OSError, CannotWrite):  # somebody else's folder
            write_page(trained)
    for sweep in compared_sweeps(folder, summary):
        note_analysis(folder, sweep, summary["job"], when)
        write_page_of_sweep(sweep)


@contextmanager
def explain_loader_deaths(subjects: Sequence[Subject]) -> Iterator[None]:
    """Raises UserError with the name of the image where a loading process dies; ends all loading processes."""
    try:
        yield
    except RuntimeError as error:
        problem = next((death for subject in subjects if (death := subject.image_data.death(error))), None)
        raise error if problem is None else problem from None
    finally:
        for subject in subjects:
            subject.image_data.close()


def show_warnings(warnings: Sequence[str | None], summary: dict[str, Any]) -> None:
    """Prints the warnings that are no empty text, and adds them to the summary."""
    from convscope.cli import terminal

    for warning in filter(None, warnings):
        terminal.show_warning(warning)
        summary["warnings"] = [*summary.get("warnings", []), warning]


def report_bad_images(subjects: Sequence[Subject], record: Record, summary: dict[str, Any]) -> None:
    """Prints what is to be known of the images and adds it to the summary; lists unreadable ones in bad_images.csv."""
    from convscope.runs.bad_images import write_bad_images

    if not is_first_process():
        return
    bad = dict.fromkeys(image for subject in subjects for image in subject.image_data.bad_images)
    warnings = dict.fromkeys(remark for subject in subjects for remark in subject.image_data.remarks)
    if bad:
        write_bad_images(record.folder, bad)
        summary["bad_images"] = len(bad)
        images = "1 image cannot be read and is" if len(bad) == 1 else f"{len(bad)} images cannot be read and are"
        count = f"{images} left out; bad_images.csv has names and reasons"
        warnings |= dict.fromkeys([count, *(message for subject in subjects for message in subject.image_data.emptied)])
    show_warnings(list(warnings), summary)


PAGE_SHARE = 0.05  # of the time of this process at most, for the page: its cost grows with the number of runs
_pages: defaultdict[Path, Throttle] = defaultdict(lambda: Throttle(PAGE_SHARE))


def update_sweep_page(folder: Path) -> None:
    """Writes the page of the sweep around a run that has ended, if there is one and it was not just written."""
    sweep = enclosing_sweep(folder)
    if sweep is not None and _pages[sweep].due:
        with _pages[sweep].counted():
            write_page_of_sweep(sweep)


def write_page_of_sweep(sweep: Path) -> Path | None:
    """Writes the page of a sweep; an error is only printed, so that files of one run cannot end another run.

    Returns the page, None without one.
    """
    from convscope.report.sweep import write_sweep_page

    try:
        return write_sweep_page(sweep)
    except Exception as error:
        if type(error) is not UserError:  # a sweep without training runs has no page
            print(f"the page of the sweep {sweep.name} could not be written: {reason_of(error)}", flush=True)
        return None
