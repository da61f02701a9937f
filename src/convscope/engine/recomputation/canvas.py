"""Windows gathered from one map into which other windows, changed ones, have been put: many copies at a time."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.recomputation.head import LocalStep
from convscope.engine.recomputation.occluder_groups import AxisWindows

_NOWHERE = -(1 << 30)  # so low that the sum with any other offset is negative, so high that two fit an int32


class WindowArea(NamedTuple):
    """One window in each of n = len(rows.starts) * len(cols.starts) copies of a map."""

    rows: AxisWindows
    cols: AxisWindows

    def below(self, step: LocalStep) -> "WindowArea":
        """All that the step sees for this area; may leave the map below."""
        return WindowArea(self.rows.below(step, 0), self.cols.below(step, 1))

    def values_of(self, map_: Tensor) -> Tensor:
        """What a map [h, w] holds there, [n, 1, h, w]."""
        rows, cols = self.rows.positions().to(map_.device), self.cols.positions().to(map_.device)
        return map_[rows[:, None, :, None], cols[None, :, None, :]].flatten(0, 1)[:, None]


class MapCanvas:
    """A map of the uncovered image, one row of memory for each position, from which windows are gathered.

    Row 0 stands for what lies outside; behind the map there is room for the positions of changed windows.
    """

    def __init__(self, maps: Tensor, fill: float, room: int):
        channels, self.height, self.width = maps.shape
        self.taken = 1 + self.height * self.width
        self.memory = maps.new_empty(self.taken + room, channels)
        self.memory[0] = fill
        self.memory[1 : self.taken] = maps.permute(1, 2, 0).reshape(-1, channels)

    def windows(self, changed: Tensor, at: WindowArea, seen: WindowArea) -> Tensor:
        """What the areas `seen` show when the windows changed [n, C, h, w] lie `at`: [n, C, h, w], channels last."""
        count, channels, height, width = changed.shape
        room = self.memory[self.taken : self.taken + count * height * width]
        room.view(count, height, width, channels).copy_(changed.permute(0, 2, 3, 1))
        index = self._index(at, seen)
        return self.memory.index_select(0, index.flatten()).view(count, *index.shape[2:], channels).permute(0, 3, 1, 2)

    def whole(self, changed: Tensor, at: WindowArea) -> Tensor:
        """Copies of the map with the windows in it: [n, C, height, width]."""
        rows, cols = (torch.zeros_like(run.starts) for run in at)
        return self.windows(changed, at, WindowArea(AxisWindows(rows, self.height), AxisWindows(cols, self.width)))

    def _index(self, at: WindowArea, seen: WindowArea) -> Tensor:
        """Row of memory for every position seen, int32 [rows, cols, h, w]."""
        across, size = len(at.cols.starts), at.rows.size * at.cols.size
        old = _cross(_old(seen.rows, self.height, self.width), _old(seen.cols, self.width, 1) + 1, self.memory.device)
        down = _new(seen.rows, at.rows, across * size, at.cols.size)
        new = _cross(down, _new(seen.cols, at.cols, size, 1) + self.taken, self.memory.device)
        return torch.where(new > 0, new, old.clamp_(min=0))


def _old(seen: AxisWindows, limit: int, step: int) -> Tensor:
    """Offsets [n, size] of positions of the map, `step` apart; far below 0 outside it."""
    positions = seen.positions()
    return (positions * step).where((positions >= 0) & (positions < limit), _NOWHERE)


def _new(seen: AxisWindows, at: AxisWindows, window: int, step: int) -> Tensor:
    """Offsets [n, size] of positions within the changed windows, `window` apart; far below 0 outside theirs."""
    inset = seen.positions() - at.starts[:, None]
    offset = inset * step + torch.arange(len(at.starts))[:, None] * window
    return offset.where((inset >= 0) & (inset < at.size), _NOWHERE)


def _cross(rows: Tensor, cols: Tensor, device: torch.device) -> Tensor:
    rows, cols = rows.to(device, torch.int32), cols.to(device, torch.int32)
    return rows[:, None, :, None] + cols[None, :, None, :]
