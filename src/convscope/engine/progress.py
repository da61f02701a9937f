"""Progress of long work: bars with the remaining time on a terminal, a plain line now and then in pipes and logs."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar("Item")
SILENCE = 15.0  # seconds of work without a line, after which one is due


class PlainProgress:
    """Writes a line to stderr once work has gone on for 15 seconds since the last one; of several processes the first.

    clock: seconds, as time.monotonic. Works that follow each other within 15 seconds count as one, so that many short
    ones, and those inside others, are not silent either.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock, self.open_works = clock, 0
        self.silent_since = self.ended = -float("inf")

    def begin(self) -> float:
        """The time at which a work begins."""
        moment = self.clock()
        if not self.open_works and moment - self.ended > SILENCE:
            self.silent_since = moment
        self.open_works += 1
        return moment

    def end(self) -> None:
        self.open_works, self.ended = max(0, self.open_works - 1), self.clock()

    def line_written(self) -> None:
        """Notes that somebody else has written a line just now."""
        self.silent_since = self.clock()

    def advance(self, words: str, count: int, total: int | None, began: float) -> None:
        """Writes the line where it is due."""
        moment = self.clock()
        if moment - self.silent_since >= SILENCE:
            self.silent_since = moment
            if not _is_further_process():
                print(progress_line(words, count, total, moment - began), file=sys.stderr, flush=True)


PLAIN = PlainProgress()


def progress_line(words: str, count: int, total: int | None, seconds: float) -> str:
    """ "covering the images: 120 of 640, 0:45, about 3 min left"; without the end where the total is not known."""
    if total is None:
        return f"{words}: {count}, {_clock_text(seconds)}"
    left = f", about {_rounded(seconds * (total - count) / count)} left" if 0 < count < total else ""
    return f"{words}: {count} of {total}, {_clock_text(seconds)}{left}"


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _is_further_process() -> bool:
    import torch.distributed as distributed  # not before the first line: images are read without torch, too

    return distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0


def track(items: Iterable[Item], words: str) -> Iterator[Item]:
    """Yields the items while a bar with the text `words` shows the progress; the bar disappears at the end."""
    return track_parts(items, words, len(items) if isinstance(items, Sized) else None, lambda _: 1)


def track_parts(parts: Iterable[Item], words: str, total: int | None, size: Callable[[Item], int]) -> Iterator[Item]:
    """Yields parts of different sizes, as `track` does. total: the sum of the sizes; None where it is not known."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _in_plain_lines(parts, words, total, size)
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(words, total=total)
        for part in parts:
            yield part
            bar.advance(task, size(part))


def _in_plain_lines(
    parts: Iterable[Item], words: str, total: int | None, size: Callable[[Item], int]
) -> Iterator[Item]:
    began, count = PLAIN.begin(), 0
    try:
        for part in parts:
            yield part
            count += size(part)
            PLAIN.advance(words, count, total, began)
    finally:
        PLAIN.end()
