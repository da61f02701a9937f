"""One pass over all images of a split, in blocks of bounded memory, and the statistics that it collects."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

BLOCK = 128  # images decoded ahead


def core_count() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_blocks(read: Callable[[int], object], count: int, title: str) -> Iterator[list]:
    """read(0), ..., read(count - 1) in order, a block at a time; one thread per core reads two blocks ahead.

    Decoding and resizing release Python's lock, so threads are enough. A progress bar shows `title` on a terminal.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
        ThreadPoolExecutor(core_count()) as pool,
    ):
        task, ahead = bar.add_task(title, total=count), deque[list]()
        for start in range(0, count + BLOCK, BLOCK):
            ahead.append([pool.submit(read, number) for number in range(start, min(start + BLOCK, count))])
            if len(ahead) == 2:
                block = [future.result() for future in ahead.popleft()]
                yield block
                bar.advance(task, len(block))


class Statistics(NamedTuple):
    """mean [R,R,3] float32: the per-pixel mean image, grey levels. std: of the pixels around it, grey levels."""

    mean: np.ndarray
    std: float


class Moments:
    """Sums over images, for the mean image and the spread around it."""

    def __init__(self, size: int):
        self.total, self.squares, self.count = np.zeros((size, size, 3)), 0.0, 0

    def add_(self, images: np.ndarray) -> None:
        """images: [N,R,R,3] uint8."""
        self.total += images.sum(0, dtype=np.uint32)
        flat = images.reshape(-1).astype(np.float32)
        self.squares += float(flat @ flat)
        self.count += len(images)

    def statistics(self) -> Statistics:
        mean = self.total / self.count
        variance = self.squares / (self.count * mean.size) - float((mean**2).mean())
        return Statistics(mean.astype(np.float32), max(variance, 0.0) ** 0.5)
