"""A run of a net that something else trains: its folder with metrics.csv, facts and page, without any trainer."""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from convscope.report.page import write_page
from convscope.runs.record import Record, RunLogger
from convscope.runs.throttle import Throttle


class EpochRows(list[dict[str, float]]):
    """Rows of numbers, one for each epoch, as a list that grows at its end.

    Checkpoints hold the rows as text. `text` formats new rows only, so that checkpoints of long runs cost no more.
    """

    def __init__(self, rows: Any = ()):
        super().__init__(rows)
        self._lines: list[str] = []

    def text(self) -> str:
        """A line of JSON for each row, which restores floats bit by bit."""
        self._lines += [json.dumps(row) for row in self[len(self._lines) :]]
        return "\n".join(self._lines)

    def replace(self, epoch: int, values: Mapping[str, float]) -> None:
        """Adds the row of an epoch, in place of rows from this epoch on."""
        while self and self[-1]["epoch"] >= epoch:
            self.pop()
        del self._lines[len(self) :]
        self.append({"epoch": epoch, **values})

    @classmethod
    def read(cls, state: Any) -> "EpochRows":
        """The rows from the text of a checkpoint, or from the list of dicts that older checkpoints have."""
        return cls(map(json.loads, state.splitlines()) if isinstance(state, str) else state)


def new_folder(root: Path) -> str:
    """convscope/<date>_<time>, a folder that `root` does not have yet; with a number for a second one of a second."""
    name = f"convscope/{datetime.now():%Y-%m-%d_%H-%M-%S}"
    names = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(name for name in names if not (root / name).exists())


class ClosingLogger(RunLogger, Protocol):
    """A logger that sends what is left at the end."""

    def close(self) -> None: ...


class RecordedRun:
    """Writes metrics.csv, about.json, summary.json and the page of a run.

    facts: entries of about.json and summary.json that are fixed. rows: those of earlier sessions. epochs: of
    the whole run, None where that is not known.
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        loggers: Iterable[ClosingLogger] = (),
        rows: EpochRows | None = None,
        epochs: int | None = None,
    ):
        self.loggers = list(loggers)
        self.record, self.facts, self.rows = Record(folder, self.loggers), dict(facts), rows or EpochRows()
        self.page, self.warnings = Throttle(1 / 20), list[str]()
        self.started = time.perf_counter()
        self.record.about(self.facts)
        if self.rows:
            self.record.rows(self.rows)
        self.record.heartbeat.start(epochs)
        self.record.heartbeat.resume(int(self.rows[-1]["epoch"]) if self.rows else 0)
        write_page(folder)

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Writes the row of an epoch, and the page, as often as that takes at most a twentieth of the time."""
        self.rows.replace(epoch, values)
        self.record.row(epoch, values)
        if self.page.due:
            with self.page.counted():
                write_page(self.record.folder)
        self.record.heartbeat.epoch(epoch)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.record.warn(text)

    def end(self, problem: str | None = None) -> None:
        """Writes the summary and the page, and ends the loggers. problem: what ended the run before its time."""
        for logger in self.loggers:
            logger.close()
        summary = {**self.facts, "final": self.rows[-1] if self.rows else {}, "numbers": dict(self.record.numbers)}
        summary |= {"warnings": self.warnings, "finished": problem is None}
        summary |= {"problem": problem} if problem else {}
        self.record.summary(summary)
        write_page(self.record.folder)
        self.record.heartbeat.end(summary)
