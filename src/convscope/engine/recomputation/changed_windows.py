"""Windows that an occluder changes in every tensor: grouped by size along each axis, many occluder positions a batch.

The windows of a group have one size in each tensor, and each its own start inside the map.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.reach import changed_above
from convscope.engine.recomputation.local_part import LocalPart
from convscope.engine.regions import Regions, Span
from convscope.engine.steps import Step
from convscope.engine.trace import PIXELS

Changed = tuple[Tensor, Tensor]  # first and last position for each occluder position, int64; last < first: none


class PositionGroup(NamedTuple):
    """Occluder positions of one group along one axis. numbers: int64 [n]. windows: by tensor number."""

    numbers: Tensor
    windows: Mapping[int, Span]


class GroupLimits(NamedTuple):
    """size: occluder positions in a group. overhead: cost of a group, as the work of so many occluder positions."""

    size: int
    overhead: float


def changed_positions(edges: Sequence[int], size: int, steps: Sequence[Step], axis: int) -> dict[int, Changed]:
    """What an occluder of `size` pixels changes along an axis (0: rows) in every tensor, by number.

    edges: first pixel of the occluder for each of its positions.
    """
    first = torch.tensor(edges)
    changed = {PIXELS: (first, first + size - 1)}
    for step in steps:
        assert step.reach is not None
        limit = step.output.sides[axis]
        spans = [changed_above(step.reach, *changed[below.number], axis, limit) for below in step.inputs]
        firsts, lasts = (torch.stack(ends) for ends in zip(*spans, strict=True))
        changed[step.output.number] = firsts.amin(0), lasts.amax(0)
    return changed


def sizes(changed: Changed) -> Tensor:
    """Numbers of positions, at least 1: no window is empty."""
    first, last = changed
    return (last - first + 1).clamp(min=1)


def group_positions(
    edges: Sequence[int], size: int, part: LocalPart, work: Sequence[float], axis: int, limits: GroupLimits
) -> list[PositionGroup]:
    """All occluder positions in groups with windows of about equal size, because the largest sets a group's work.

    edges, size, axis: as for `changed_positions`. work: of each step of the part on whole maps.
    """
    changed = changed_positions(edges, size, part.steps, axis)
    sides = {number: part.tensors[number].sides[axis] for number in changed}
    outputs = [step.output.number for step in part.steps]
    shares = torch.stack([sizes(changed[number]) / sides[number] for number in outputs or [PIXELS]])
    groups = []
    for numbers in _cheapest_split(shares, torch.tensor([float(value) for value in work] or [1.0]), limits):
        windows = {}
        for number, (first, last) in changed.items():
            wide = int(sizes((first[numbers], last[numbers])).max())
            windows[number] = Span(first[numbers].clamp(max=sides[number] - wide), wide)
        groups.append(PositionGroup(numbers, windows))
    return groups


def windows_of(rows: PositionGroup, cols: PositionGroup) -> dict[int, Regions]:
    """The windows of all pairs of positions along the two axes, row by row, by tensor number."""
    down, across = len(rows.numbers), len(cols.numbers)
    return {
        number: Regions(
            Span(span.start.repeat_interleave(across), span.size),
            Span(cols.windows[number].start.repeat(down), cols.windows[number].size),
        )
        for number, span in rows.windows.items()
    }


def _cheapest_split(shares: Tensor, work: Tensor, limits: GroupLimits) -> list[Tensor]:
    """Numbers of the occluder positions in each group, for the least total work.

    Only groups of neighbors in the order of cost are considered. shares: of a map's side in a window, [steps,
    positions]. work: of each step on its whole map, [steps].
    """
    costs = work @ shares**2
    order = costs.argsort(stable=True)
    overhead = limits.overhead * float(costs.mean())
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, (0,))]  # for the first n positions: cost, and ends of the groups
    for stop in range(1, len(order) + 1):
        largest = shares[:, order[max(0, stop - limits.size) : stop]].flip(1).cummax(1).values
        group_costs = (work @ largest**2) * torch.arange(1, largest.shape[1] + 1) + overhead
        options = [(best[stop - 1 - n][0] + cost, n) for n, cost in enumerate(group_costs.tolist())]
        cost, n = min(options)
        best.append((cost, (*best[stop - 1 - n][1], stop)))
    ends = best[-1][1]
    return [order[start:stop].sort().values for start, stop in pairwise(ends)]
