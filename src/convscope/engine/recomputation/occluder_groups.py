"""Along one axis of every map: which positions a square over the image can change, for many places of the square.

Places go together in groups, with windows of one common size, each at its own start inside the map.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.recomputation.head import LocalStep


class AxisWindows(NamedTuple):
    """The windows of a group of places in one map: starts int64 [n], and their common size."""

    starts: Tensor
    size: int

    def below(self, step: LocalStep, axis: int) -> "AxisWindows":
        """All that the step sees for these windows; may leave the map below."""
        if step.window is None:
            return self
        stride, padding = step.window.stride[axis], step.window.padding[axis]
        extent = step.window.extent()[axis]
        return AxisWindows(self.starts * stride - padding, (self.size - 1) * stride + extent)

    def positions(self) -> Tensor:
        """[n, size]"""
        return self.starts[:, None] + torch.arange(self.size)


class PositionGroup(NamedTuple):
    """Places that go together: their numbers, int64 [n], and their windows in the image and above every step."""

    numbers: Tensor
    runs: list[AxisWindows]


class GroupLimits(NamedTuple):
    """most: places in a group. toll: what a group costs before any work is done, as so many places' work."""

    most: int
    toll: float


def group_positions(
    edges: Sequence[int], size: int, steps: Sequence[LocalStep], axis: int, limits: GroupLimits
) -> list[PositionGroup]:
    """Every place in one group: places whose windows are about equally large, because a group pays for its largest.

    edges: where the square of `size` pixels starts; axis 0 for rows, 1 for columns.
    """
    first, last = _changed(torch.tensor(edges), size, steps, axis)  # [1 + steps, places]
    widths = (last - first + 1).clamp(min=1)  # a square may lie where nothing looks
    sizes = torch.tensor([step.size[axis] for step in steps])
    work = torch.tensor([float(step.work) for step in steps])
    found = []
    for numbers in _together(widths[1:] / sizes[:, None], work, limits):
        width = widths[:, numbers].amax(1).tolist()
        starts = [first[0, numbers]]
        starts += [
            start.clamp(max=limit - wide)
            for start, limit, wide in zip(first[1:, numbers], sizes.tolist(), width[1:], strict=True)
        ]
        found.append(
            PositionGroup(numbers, [AxisWindows(start, wide) for start, wide in zip(starts, width, strict=True)])
        )
    return found


def _together(shares: Tensor, work: Tensor, limits: GroupLimits) -> list[Tensor]:
    """Numbers of the places in groups of the least total work, as long as groups hold places of neighboring cost.

    shares: of each map's side that a window takes, [steps, places]; work: of each step over its whole map, [steps].
    """
    costs = work @ shares**2
    order = costs.argsort(stable=True)
    toll = limits.toll * float(costs.mean())
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, (0,))]  # for the first n places: cost, and where groups end
    for stop in range(1, len(order) + 1):
        largest = shares[:, order[max(0, stop - limits.most) : stop]].flip(1).cummax(1).values
        group_costs = (work @ largest**2) * torch.arange(1, largest.shape[1] + 1) + toll
        options = [(best[stop - 1 - n][0] + cost, n) for n, cost in enumerate(group_costs.tolist())]
        cost, n = min(options)
        best.append((cost, (*best[stop - 1 - n][1], stop)))
    ends = best[-1][1]
    return [order[start:stop].sort().values for start, stop in pairwise(ends)]


def _changed(first: Tensor, size: int, steps: Sequence[LocalStep], axis: int) -> tuple[Tensor, Tensor]:
    """First and last position that sees the square, in the image and above every step; last < first: none does."""
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
