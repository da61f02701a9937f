"""Fair timing on a shared machine: both sides take turns in one process, and only ratios within a round count.

The clock is the processor time of this process on one thread, so that other programs on the machine disturb little.
Import this module before running any tensor code: it sets the number of threads.
"""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

torch.set_num_threads(1)


def paired(fns: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, list[float]]:
    """Processor seconds of every function in every round: A B C, A B C, ... after one unmeasured round."""
    seconds: dict[str, list[float]] = {name: [] for name in fns}
    for fn in fns.values():
        fn()
    for _ in range(rounds):
        for name, fn in fns.items():
            gc.collect()
            start = time.process_time()
            fn()
            seconds[name].append(time.process_time() - start)
    return seconds


def ratio(times: dict[str, list[float]], a: str, b: str) -> float:
    """How many times the seconds of b the function a takes: the median over rounds of a / b."""
    return statistics.median(one / other for one, other in zip(times[a], times[b], strict=True))


def line(name: str, ratio: float, goal: float) -> None:
    """Prints the one line that a benchmark leaves for each ratio."""
    digits = 2 if goal >= 0.1 else 4
    print(f"{name}  {ratio:.{digits}f}x  goal {goal:.{digits}f}x", flush=True)


def peak_mib(fn: Callable[[], object]) -> float:
    """MiB by which the resident memory of this process grew at most while fn ran (Linux: /proc/self)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the previous peak
    before = _resident("VmRSS")
    fn()
    return _resident("VmHWM") - before


def _resident(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) for row in status.splitlines() if row.startswith(key)) / 1024
