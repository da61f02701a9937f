"""A map of the image without occluder, from which windows are gathered with what an occluder changes put in."""

import torch
from torch import Tensor

from convscope.engine.regions import MapTensor, Regions, Span, whole_map

_NOWHERE = -(1 << 30)  # its sum with any offset is negative, and the sum of two fits an int32


class MapCanvas:
    """One tensor of the image without occluder, as one row of memory for each position.

    Row 0 is the value outside the map; the rows after the map hold the positions of changed windows.
    """

    def __init__(self, tensor: MapTensor, value: Tensor, max_changed: int):
        self.tensor, (self.height, self.width) = tensor, tensor.sides
        rows = self._rows(value)
        self.map_end = 1 + len(rows)
        self.memory = value.new_empty(self.map_end + max_changed, rows.shape[1])
        self.memory[1 : self.map_end] = rows
        self.place = whole_map(1, tensor.sides)

    def put(self, changed: Tensor, place: Regions) -> None:
        """Takes changed windows [n, ...] at `place` for the copies of the map that follow."""
        self.place = place
        height, width = place.size
        rows = self.memory[self.map_end : self.map_end + len(changed) * height * width]
        at_end = changed.movedim(self.tensor.axes or (), (1, 2))
        rows.view(at_end.shape).copy_(at_end)

    def windows(self, area: Regions, fill: float = 0.0) -> Tensor:
        """Windows of `area` in copies of the map with the changed windows put in, and `fill` outside the map.

        Convolutions get them channels last.
        """
        self.memory[0] = fill
        index = self._index(area)
        gathered = self.memory.index_select(0, index.flatten())
        shape = [size for axis, size in enumerate(self.tensor.shape) if axis not in (0, *(self.tensor.axes or ()))]
        return gathered.view(*index.shape, *shape).movedim((1, 2), self.tensor.axes or ())

    def whole(self) -> Tensor:
        """Copies of the whole map with the changed windows put in."""
        return self.windows(whole_map(len(self.place.rows.start), (self.height, self.width)))

    def _rows(self, value: Tensor) -> Tensor:
        positions_first = value.movedim(self.tensor.axes or (), (1, 2))
        return positions_first.reshape(positions_first.shape[:3].numel(), -1)

    def _index(self, area: Regions) -> Tensor:
        """Row of memory for every position of the area, int32 [n, h, w]."""
        place, size, device = self.place, self.place.rows.size * self.place.cols.size, self.memory.device
        old = _cross(_old(area.rows, self.height, self.width), _old(area.cols, self.width, 1) + 1, device)
        windows = torch.arange(len(area.rows.start))[:, None] * size + self.map_end
        down = _new(area.rows, place.rows, place.cols.size) + windows
        new = _cross(down, _new(area.cols, place.cols, 1), device)
        return torch.where(new > 0, new, old.clamp_(min=0))


def _positions(span: Span) -> Tensor:
    """Positions in each span, [n, size]."""
    return span.start[:, None] + torch.arange(span.size)


def _old(span: Span, limit: int, step: int) -> Tensor:
    """Offsets [n, size] of the positions in the map, `step` apart; far below 0 outside the map."""
    positions = _positions(span)
    return (positions * step).where((positions >= 0) & (positions < limit), _NOWHERE)


def _new(span: Span, changed: Span, step: int) -> Tensor:
    """Offsets [n, size] of the positions in the changed windows, `step` apart; far below 0 outside."""
    inset = _positions(span) - changed.start[:, None]
    return (inset * step).where((inset >= 0) & (inset < changed.size), _NOWHERE)


def _cross(rows: Tensor, cols: Tensor, device: torch.device) -> Tensor:
    """Sums of the offsets along both axes, int32 [n, h, w]."""
    rows, cols = rows.to(device, torch.int32), cols.to(device, torch.int32)
    return rows[:, :, None] + cols[:, None, :]
