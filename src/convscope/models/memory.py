"""Whether what is asked for fits into memory: told before, for the system kills a program without a word."""

import os
from collections.abc import Mapping
from pathlib import Path

from convscope.errors import UserError
from convscope.models.rows import Row, unit_counts, weight_counts

_GROUPS = Path("/sys/fs/cgroup")


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Raises UserError where `needed` bytes are more than this machine, its container or the cluster's job has free.

    what: the subject of the sentence, in the singular. remedy: what to change.
    """
    there = free_memory()
    if there is not None and needed > there:
        raise UserError(f"{what} needs {_gib(needed)} GiB of memory and {_gib(there)} GiB are free; {remedy}")


def free_memory() -> int | None:
    """Bytes that can still be had without swapping; None where the system does not tell."""
    told = [each for each in (_available(), _left_in_groups()) if each is not None]
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


def _left_in_groups() -> int | None:
    try:
        told = [
            free_in_control_group(_GROUPS / group) for group in control_groups(Path("/proc/self/cgroup").read_text())
        ]
    except OSError:
        return None
    return min((each for each in told if each is not None), default=None)


def control_groups(told: str) -> list[Path]:
    """Control groups (version 2) that hold a process, its own first, as /proc/<process>/cgroup tells: a container's,
    or a job's of a cluster.
    """
    own = Path(next((line.removeprefix("0::/") for line in told.splitlines() if line.startswith("0::/")), "."))
    return [own, *own.parents]


def free_in_control_group(group: Path) -> int | None:
    """Bytes up to the bound of a control group's folder, None where it sets none. Files that the system only keeps at
    hand are no use of it: they go when memory is wanted.
    """
    try:
        most = int((group / "memory.max").read_text())  # "max" where there is no bound
        held = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        kept = sum(int(held.get(kind, 0)) for kind in ("inactive_file", "active_file"))
        return max(0, most - int((group / "memory.current").read_text()) + kept)
    except (OSError, ValueError):
        return None


FLOAT = 4  # bytes


def check_net_memory(rows: Mapping[str, Row], image_size: int, batch: int = 1, copies: int = 1) -> None:
    """Raises UserError where the weights, and what the rows put out for a batch of images, do not fit into memory.

    copies: of every number; training holds the gradients too, and of each weight what the optimizer remembers.
    """
    weights, units = weight_counts(rows, image_size), unit_counts(rows, image_size)
    needed = FLOAT * copies * (sum(weights.values()) + batch * sum(units.values()))
    largest = max(rows, key=lambda name: weights.get(name, 0) + batch * units[name])
    has = f"{weights.get(largest, 0):,} weights and puts out {units[largest]:,} numbers for an image"
    remedy = f"its largest row, {largest}, has {has}; a smaller model.width, data.image_size or optim.batch_size helps"
    check_memory(needed, f"this net with {batch} image{'s' * (batch > 1)} at a time", remedy)
