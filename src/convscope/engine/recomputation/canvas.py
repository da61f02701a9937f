"""Windows of one map with changed windows pasted into it, gathered for many copies of the map at a time."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.recomputation.head import LocalStep
from convscope.engine.recomputation.occluder_groups import AxisWindows

_NOWHERE = -(1 << 30)  # its sum with any offset is negative, and the sum of two fits an int32


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
