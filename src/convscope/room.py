"""Whether what is asked for fits into memory: told before, for the system kills a program without a word."""

import os
from pathlib import Path

from convscope.problem import Problem

_CGROUP = Path("/sys/fs/cgroup")


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Raises Problem where `needed` bytes are more than this machine, or the container, has free.

    what: the subject of the sentence, in the singular. remedy: what to change.
    """
    there = free_memory()
    if there is not None and needed > there:
        raise Problem(f"{what} needs {_gib(needed)} GiB of memory and {_gib(there)} GiB are free; {remedy}")


def free_memory() -> int | None:
    """Bytes that can still be had without swapping; None where the system does not tell."""
    told = [each for each in (_available(), _left_in_container()) if each is not None]
    return min(told, default=None)


def _gib(amount: int) -> str:
    whole = amount // 2**30  # a Python int of any size; a float of it might overflow
    return f"{whole:,}" if whole >= 10 else f"{amount / 2**30:.1f}"


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, IndexError):
        return None


def _left_in_container() -> int | None:
    try:
        most = int((_CGROUP / "memory.max").read_text())  # "max" where there is no bound
        return max(0, most - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        return None
