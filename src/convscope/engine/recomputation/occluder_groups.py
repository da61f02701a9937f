"""Groups of occluder positions, with the window of every map that the occluder can change, along one axis.

The windows of a group have one size in each map, and each its own start inside the map.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.recomputation.head import LocalStep


class AxisWindows(NamedTuple):
    """Windows of a group in one map along one axis: starts int64 [n], and their common size."""

    starts: Tensor
    size: int

    def below(self, step: LocalStep, axis: int) -> "AxisWindows":
        """The windows below on which these windows depend; may extend over the map."""
        if step.window is None:
            return self
        stride, padding = step.window.stride[axis], step.window.padding[axis]
        extent = step.window.extent()[axis]
        return AxisWindows(self.starts * stride - padding, (self.size - 1) * stride + extent)

    def positions(self) -> Tensor:
        """Positions in each window, [n, size]."""
        return self.starts[:, None] + torch.arange(self.size)


class PositionGroup(NamedTuple):
    """Occluder positions of one group. numbers: int64 [n]. windows: in the image and above every step."""

    numbers: Tensor
    windows: list[AxisWindows]


class GroupLimits(NamedTuple):
    """size: occluder positions in a group. overhead: cost of a group, as the work of so many occluder positions."""

    size: int
    overhead: float


def group_positions(
    edges: Sequence[int], size: int, steps: Sequence[LocalStep], axis: int, limits: GroupLimits
) -> list[PositionGroup]:
    """All occluder positions in groups with windows of about equal size, because the largest sets a group's work.

    edges: first pixel of the occluder of `size` pixels for each position. axis: 0 for rows, 1 for columns.
    """
    first, last = _changed(torch.tensor(edges), size, steps, axis)  # [1 + steps, positions]
    widths = (last - first + 1).clamp(min=1)  # no window may depend on the occluder
    sizes = torch.tensor([step.size[axis] for step in steps])
    work = torch.tensor([float(step.work) for step in steps])
    groups = []
    for numbers in _cheapest_split(widths[1:] / sizes[:, None], work, limits):
        width = widths[:, numbers].amax(1).tolist()
        starts = [first[0, numbers]]
        starts += [
            start.clamp(max=limit - wide)
            for start, limit, wide in zip(first[1:, numbers], sizes.tolist(), width[1:], strict=True)
        ]
        groups.append(
            PositionGroup(numbers, [AxisWindows(start, wide) for start, wide in zip(starts, width, strict=True)])
        )
    return groups


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


def _changed(first: Tensor, size: int, steps: Sequence[LocalStep], axis: int) -> tuple[Tensor, Tensor]:
    """First and last position that depends on the occluder, in the image and above every step; last < first: none."""
    spans = [(first, first + size - 1)]
    for step in steps:
        low, high = spans[-1]
        if step.window is not None:
            stride, padding = step.window.stride[axis], step.window.padding[axis]
            low = -((step.window.extent()[axis] - 1 - padding - low) // stride)  # rounded up
            low, high = low.clamp(0, step.size[axis] - 1), ((high + padding) // stride).clamp(max=step.size[axis] - 1)
        spans.append((low, high))
    firsts, lasts = zip(*spans, strict=True)
    return torch.stack(firsts), torch.stack(lasts)
