"""Windows that an occluder changes in every map: grouped by size along each axis, and gathered from a map in memory.

The windows of a group have one size in each map, and each its own start inside the map, so that many positions of the
occluder are one batch.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.recomputation.head import LocalStep

_NOWHERE = -(1 << 30)  # its sum with any offset is negative, and the sum of two fits an int32


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


class WindowArea(NamedTuple):
    """One window in each of n = len(rows.starts) * len(cols.starts) copies of a map."""

    rows: AxisWindows
    cols: AxisWindows

    def below(self, step: LocalStep) -> "WindowArea":
        """The area below on which this area depends; may extend over the map."""
        return WindowArea(self.rows.below(step, 0), self.cols.below(step, 1))

    def values_of(self, map_: Tensor) -> Tensor:
        """Values [n, 1, h, w] of a map [h, w] in the area."""
        rows, cols = self.rows.positions().to(map_.device), self.cols.positions().to(map_.device)
        return map_[rows[:, None, :, None], cols[None, :, None, :]].flatten(0, 1)[:, None]


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


class MapCanvas:
    """A map of the image without occluder, as one row of memory for each position.

    Row 0 is the value outside the map; the rows after the map hold the positions of changed windows.
    """

    def __init__(self, maps: Tensor, fill: float, max_changed: int):
        channels, self.height, self.width = maps.shape
        self.map_end = 1 + self.height * self.width
        self.memory = maps.new_empty(self.map_end + max_changed, channels)
        self.memory[0] = fill
        self.memory[1 : self.map_end] = maps.permute(1, 2, 0).reshape(-1, channels)

    def windows(self, changed: Tensor, place: WindowArea, area: WindowArea) -> Tensor:
        """Windows [n, C, h, w] of `area` in copies of the map with the changed windows [n, C, h, w] at `place`.

        Channels last.
        """
        count, channels, height, width = changed.shape
        rows = self.memory[self.map_end : self.map_end + count * height * width]
        rows.view(count, height, width, channels).copy_(changed.permute(0, 2, 3, 1))
        index = self._index(place, area)
        return self.memory.index_select(0, index.flatten()).view(count, *index.shape[2:], channels).permute(0, 3, 1, 2)

    def whole(self, changed: Tensor, place: WindowArea) -> Tensor:
        """Copies [n, C, height, width] of the map with the changed windows [n, C, h, w] at `place`."""
        rows, cols = (torch.zeros_like(windows.starts) for windows in place)
        return self.windows(changed, place, WindowArea(AxisWindows(rows, self.height), AxisWindows(cols, self.width)))

    def _index(self, place: WindowArea, area: WindowArea) -> Tensor:
        """Row of memory for every position of the area, int32 [rows, cols, h, w]."""
        across, size, device = len(place.cols.starts), place.rows.size * place.cols.size, self.memory.device
        old = _cross(_old(area.rows, self.height, self.width), _old(area.cols, self.width, 1) + 1, device)
        down = _new(area.rows, place.rows, across * size, place.cols.size)
        new = _cross(down, _new(area.cols, place.cols, size, 1) + self.map_end, device)
        return torch.where(new > 0, new, old.clamp_(min=0))


def _old(windows: AxisWindows, limit: int, step: int) -> Tensor:
    """Offsets [n, size] of the windows' positions in the map, `step` apart; far below 0 outside the map."""
    positions = windows.positions()
    return (positions * step).where((positions >= 0) & (positions < limit), _NOWHERE)


def _new(windows: AxisWindows, changed: AxisWindows, window: int, step: int) -> Tensor:
    """Offsets [n, size] of the windows' positions in changed windows, which are `window` apart; far below 0 outside."""
    inset = windows.positions() - changed.starts[:, None]
    offset = inset * step + torch.arange(len(changed.starts))[:, None] * window
    return offset.where((inset >= 0) & (inset < changed.size), _NOWHERE)


def _cross(rows: Tensor, cols: Tensor, device: torch.device) -> Tensor:
    """Sums of the offsets along both axes, int32 [rows, cols, h, w]."""
    rows, cols = rows.to(device, torch.int32), cols.to(device, torch.int32)
    return rows[:, None, :, None] + cols[None, :, None, :]
