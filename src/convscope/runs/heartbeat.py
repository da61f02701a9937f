"""report/status.js of a run: how far the run has come, with a sign of life every few seconds while its process lives.

The page of the run reads the file from disk, again and again, as a script. A process that is killed leaves the file as
it was: its last sign then grows old.
"""

import json
import math
import re
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from convscope.runs.atomic_io import write
from convscope.runs.number_format import about_duration

STATUS = "report/status.js"
PREFIX = "window.STATUS = "
EVERY = 5.0  # seconds between two signs of life
SILENT = 120.0  # seconds without a sign after which the process is taken for dead
Outcome = Literal["finished", "stopped", "failed"]  # how a run ended; stopped: by a signal
MEAN_OVER = 3  # epochs, the last ones: they say how long the next ones take


class RunStatus(NamedTuple):
    """state: "running", "finished", "stopped" by a signal, or "failed". words: the same for people, with the progress.

    epoch: finished epochs; epochs: of the whole run, None where that is not known. seconds_per_epoch: None before the
    first has ended. beat: the last sign of life, by time.time. page: when the page was last written, 0 without one.
    """

    state: str
    words: str
    epoch: int = 0
    epochs: int | None = None
    seconds_per_epoch: float | None = None
    beat: float = 0.0
    page: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether a run that is not over has given no sign for so long that its process is taken for dead."""
        return self.state == "running" and time.time() - self.beat > SILENT


def read_status(folder: Path) -> RunStatus | None:
    """The status of a run folder; None where there is none that can be read. The folder may come from anybody."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        fields = json.loads((folder / STATUS).read_text(encoding="utf-8").removeprefix(PREFIX).rstrip(";\n"))
        status = RunStatus(**{name: fields[name] for name in RunStatus._fields if name in fields})
        numbers = (status.epoch, status.beat, status.page, status.epochs or 0, status.seconds_per_epoch or 0)
        if all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            return status._replace(state=str(status.state), words=str(status.words))
    return None


def _page_written(data: Path) -> float:
    """When the page was written, by the first key of its data.js; 0 without it."""
    with suppress(OSError), open(data, "rb") as file:
        if match := re.match(rb'window\.DATA = \{"written":([\d.]+)', file.read(100)):
            return float(match[1])
    return 0.0


class Heartbeat:
    """Keeps the status of a run folder: `start`, `resume`, `progress` and `epoch` while the run goes on, `end` once.

    Nothing is written before `start`, and what cannot be written is left out: a run does not end for its status.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.status: RunStatus | None = None  # None before the start
        self._share = 0.0  # of the epoch that goes on
        self._ends = deque[float](maxlen=MEAN_OVER + 1)  # the start of the session or ends of epochs
        self._lock, self._over = threading.Lock(), threading.Event()

    def start(self, epochs: int | None = None) -> None:
        """Writes the first status and goes on doing so beside the run. epochs: of the whole run, None if not known."""
        self.status = RunStatus("running", "", epochs=epochs if epochs and epochs > 0 else None)
        self._ends.append(time.monotonic())
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.write()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def resume(self, epoch: int) -> None:
        """Notes how many epochs earlier sessions have finished."""
        if self.status is not None:
            self.status = self.status._replace(epoch=epoch)
            self.write()

    def progress(self, share: float) -> None:
        """Notes the share of the epoch that is done; for every step, so that nothing is written here."""
        self._share = share

    def epoch(self, epoch: int) -> None:
        """Notes that an epoch has ended, and writes the status."""
        if self.status is not None:
            self._ends.append(time.monotonic())
            self._share, self.status = 0.0, self.status._replace(epoch=epoch)
            self.write()

    def end(self, summary: dict[str, Any]) -> None:
        """Writes the last status, when the page is written too. summary: "finished", and "problem" after an error."""
        if self.status is None:
            return
        self._over.set()
        state = "finished" if summary.get("finished") else "failed" if summary.get("problem") else "stopped"
        after = f"{state} after epoch {self.status.epoch}" if self.status.epochs else state
        over = f"{after} of {self.status.epochs}" if self.status.epochs and state != "finished" else after
        with self._lock:
            self._put(self.status._replace(state=state, words=over))

    def _beat(self) -> None:
        while not self._over.wait(EVERY):
            self.write()

    def write(self) -> None:
        """Writes the status now, as when the page has just been written."""
        with self._lock:
            if self.status is not None and not self._over.is_set():
                self._put(self.status._replace(words=self._words(self.status)))

    def _put(self, status: RunStatus) -> None:
        with suppress(Exception):  # a full disk
            if not self.folder.is_dir():
                return  # it was moved or deleted, and is not made again
            page = _page_written(self.folder / "report" / "data.js")
            per_epoch = self._seconds_per_epoch()
            status = status._replace(
                beat=round(time.time(), 1), page=page, seconds_per_epoch=per_epoch and round(per_epoch, 2)
            )
            write(self.folder / STATUS, f"{PREFIX}{json.dumps({**status._asdict(), 'silent': SILENT})};\n")

    def _seconds_per_epoch(self) -> float | None:
        """The mean of the last epochs of this session, with what was drawn after them."""
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1) if len(self._ends) > 1 else None

    def _words(self, status: RunStatus) -> str:
        """running, epoch 7 of 20, about 3 minutes left."""
        if not status.epochs:
            return f"running, epoch {status.epoch + 1}" if status.epoch else "running"
        if status.epoch >= status.epochs:
            return "running, the last pictures are drawn"
        left = self._seconds_left(status.epochs - status.epoch)
        words = f"running, epoch {status.epoch + 1} of {status.epochs}"
        return words if left is None else f"{words}, {about_duration(left)} left"

    def _seconds_left(self, epochs: int) -> float | None:
        """The time for the epochs that are left, the one that goes on included; None while that cannot be said."""
        passed = time.monotonic() - self._ends[-1]
        per_epoch = self._seconds_per_epoch()
        if per_epoch is None:
            per_epoch = passed / self._share if self._share >= 0.05 and passed > 60 else None  # without its drawing
        return None if per_epoch is None else max(0.0, per_epoch * epochs - min(passed, per_epoch))
