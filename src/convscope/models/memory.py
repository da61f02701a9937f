"""Memory checks before the work begins: the system kills a program that runs out of memory without a message."""

import os
from collections.abc import Mapping
from pathlib import Path

from convscope.errors import UserError
from convscope.models.row_sizes import unit_counts, weight_counts
from convscope.models.rows import Row

FLOAT = 4  # bytes
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def check_net_memory(rows: Mapping[str, Row], image_size: int, batch: int = 1, copies: int = 1) -> None:
    """Raises UserError where the weights and the outputs of all rows for a batch of images need more than is free.

    copies: how many of every number are in memory. Training holds the gradients too, and the optimizer's state.
    """
    weights, units = weight_counts(rows, image_size), unit_counts(rows, image_size)
    needed = FLOAT * copies * (sum(weights.values()) + batch * sum(units.values()))
    largest = max(rows, key=lambda name: weights.get(name, 0) + batch * units[name])
    has = f"{weights.get(largest, 0):,} weights and puts out {units[largest]:,} numbers for an image"
    remedy = f"its largest row, {largest}, has {has}; a smaller model.width, data.image_size or optim.batch_size helps"
    check_memory(needed, f"this net with {batch} image{'s' * (batch > 1)} at a time", remedy)


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Raises UserError where `needed` bytes are more than this machine, its container or the cluster's job has free.

    what: the subject of the message, in the singular. remedy: what to change.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise UserError(f"{what} needs {_gib(needed)} GiB of memory and {_gib(free)} GiB are free; {remedy}")


def free_memory() -> int | None:
    """Bytes that can still be allocated without swapping; None where the system does not tell."""
    limits = [limit for limit in (_free_on_machine(), _free_in_control_groups()) if limit is not None]
    return min(limits, default=None)


def control_groups(text: str) -> list[Path]:
    """Control groups (version 2) around a process, the innermost first, from the text of /proc/<process>/cgroup.

    A container is such a group, and so is a job of a cluster.
    """
    lines = (line.removeprefix("0::/") for line in text.splitlines() if line.startswith("0::/"))
    innermost = Path(next(lines, "."))
    return [innermost, *innermost.parents]


def free_in_control_group(group: Path) -> int | None:
    """Bytes up to the limit of a control group's folder; None where the group sets no limit.

    Cached files do not count as used: the system drops them when memory is needed.
    """
    try:
        limit = int((group / "memory.max").read_text())  # "max" where there is no limit
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        cached = sum(int(statistics.get(kind, 0)) for kind in ("inactive_file", "active_file"))
        return max(0, limit - int((group / "memory.current").read_text()) + cached)
    except (OSError, ValueError):
        return None


def _free_on_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, IndexError):
        return None


def _free_in_control_groups() -> int | None:
    try:
        groups = control_groups(Path("/proc/self/cgroup").read_text())
    except OSError:
        return None
    limits = [free_in_control_group(_CONTROL_GROUPS / group) for group in groups]
    return min((limit for limit in limits if limit is not None), default=None)


def _gib(amount: int) -> str:
    whole = amount // 2**30  # a Python int of any size; a float of it might overflow
    return f"{whole:,}" if whole >= 10 else f"{amount / 2**30:.1f}"
