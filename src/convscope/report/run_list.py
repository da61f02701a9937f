"""All runs and sweeps below a folder, newest first, for the list that `convscope serve` shows.

Reads only the small files of a run folder, and those only when they have changed.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from convscope.report.annotation_page import PAGE_FILE
from convscope.report.linked_runs import address_of
from convscope.runs.heartbeat import STATUS, RunStatus, read_status
from convscope.runs.number_format import counted, percent
from convscope.runs.reading import (
    RUN_FILES,
    Run,
    changed_at,
    is_run_folder,
    is_sweep_folder,
    read_facts,
    read_run,
    start_time,
)
from convscope.runs.training_runs import goal_of, read_training_run

DEEPEST = 5  # folders between the served one and a run: outputs/sweep/<sweep>/<row>/<row>
PAGES = "report/index.html", PAGE_FILE  # of a run; the first that it has
SIGNS = (*RUN_FILES, "about.json", STATUS, *PAGES)  # a change of any of these is a change of the run
OVER = "finished", "failed"  # states that stay
FORMS = *OVER, "running"  # classes of states; others are cut off


class ListedRun(NamedTuple):
    """A run or a sweep. page: address of its page, None without one. form: of its state. value: accuracy or mean AP."""

    name: str
    page: str | None
    job: str
    state: str
    form: str
    value: float | None
    epochs: str
    start: datetime

    @property
    def accuracy(self) -> str:
        return "" if self.value is None else percent(self.value)

    @property
    def date(self) -> str:
        return self.start.strftime("%-d %b %Y, %H:%M")


class RunList:
    """The runs and sweeps in a folder, or the only run that the folder is. folder: resolved."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._read: dict[Path, tuple[tuple[int, ...], ListedRun]] = {}

    def rows(self) -> list[ListedRun]:
        """The runs of now, newest first; a sweep stands after its runs, which are newer."""
        rows: list[ListedRun] = []
        sweeps: list[tuple[Path, list[ListedRun]]] = []
        for folder, is_sweep in run_folders(self.folder):
            if is_sweep:
                sweeps.append((folder, []))
            else:
                rows.append(self._run(folder))
                for sweep, inside in sweeps:
                    inside += [rows[-1]] if folder.is_relative_to(sweep) else []
        rows += [self._sweep(folder, inside) for folder, inside in sweeps if inside]
        return sorted(rows, key=lambda row: row.start, reverse=True)

    def _run(self, folder: Path) -> ListedRun:
        signs = tuple(changed_at(folder / name) for name in SIGNS)
        if folder in self._read and self._read[folder][0] == signs:
            return self._read[folder][1]
        name, page = self._name(folder), self._page(folder)
        try:
            listed = _listed(folder, name, page)
        except OSError as error:  # a file of somebody else
            state = f"cannot be read: {error.strerror}"
            return ListedRun(name, page, "", state, "cut-off", None, "", start_time(folder))
        if listed.form in OVER or not os.path.isfile(folder / STATUS):  # else its words change with the time
            self._read[folder] = signs, listed
        return listed

    def _sweep(self, folder: Path, inside: Sequence[ListedRun]) -> ListedRun:
        counts = Counter(row.form.replace("-", " ") for row in inside)
        form = "running" if counts["running"] else "finished" if counts["finished"] == len(inside) else "cut-off"
        best = max((row.value for row in inside if row.value is not None), default=None)
        state = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        start = min([start_time(folder), *(row.start for row in inside)])
        runs = counted(len(inside), "run")
        return ListedRun(self._name(folder), self._page(folder), "sweep", state, form, best, runs, start)

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self.folder).as_posix() if folder != self.folder else folder.name

    def _page(self, folder: Path) -> str | None:
        pages = (folder / page for page in PAGES if os.path.isfile(folder / page))
        return next((address_of(page.relative_to(self.folder).as_posix()) for page in pages), None)


def run_folders(folder: Path, depth: int = 0) -> Iterator[tuple[Path, bool]]:
    """The run folders at and below a folder, and the sweeps before their rows: (path, whether it is a sweep).

    Links are not followed.
    """
    if has_run(folder):
        yield folder, False
        return
    if is_sweep_folder(folder):
        yield folder, True
    if depth == DEEPEST:
        return
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # a folder that may not be read
        return
    for name in sorted(names):
        if not name.startswith(".") and name != "report":
            yield from run_folders(folder / name, depth + 1)


def has_run(folder: Path) -> bool:
    """Whether the folder is that of a run, also of one that has only begun."""
    return is_run_folder(folder) or os.path.isfile(folder / "about.json")


def _listed(folder: Path, name: str, page: str | None) -> ListedRun:
    run, status = read_facts(folder), read_status(folder)
    if not run.summary:  # of version 0.1, or of a run that has just begun
        run = read_run(folder, with_entries=False)
    job = str(run.summary.get("job") or run.settings.get("job") or ("train" if run.metrics else ""))
    value, epochs = None, ""
    if job == "train":
        training = read_training_run(run)
        state, (metric, _) = training.state, goal_of(run)
        metric = metric if metric in training.values and metric != "val/loss" else "val/top1"
        value = training.values.get(metric)
        total = status.epochs if status and status.epochs and state != "finished" else None
        epochs = f"{training.epochs} of {total}" if total else str(training.epochs)
    else:
        state = _state(run, status)
    word = state.partition(":")[0]
    form = word if word in FORMS else "cut-off"
    if form == "running" and status is not None:
        state = status.words
    value = None if value is None or not math.isfinite(value) else value
    return ListedRun(name, page, job, state, form, value, epochs, start_time(folder))


def _state(run: Run, status: RunStatus | None) -> str:
    """The state of an analysis."""
    if run.summary.get("finished"):
        return "finished"
    if problem := run.summary.get("problem"):
        return f"failed: {problem}"
    alive = status is not None and status.state == "running" and not status.silent
    return "running" if alive else "stopped"
