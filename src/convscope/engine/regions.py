"""Regions of maps: one rectangle for each of n units or occluders, all of one size, each at its own place.

Along each axis a region is a span of positions. Spans are followed from a layer down to the pixels (what a unit depends
on) and from the pixels up (what an occluder changes).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine.axes import MAPS, Axes
from convscope.engine.calls import Pair

Shape = tuple[int, ...]
_SHORTER = 0.9  # share of a span's length from which copies pay


class Span(NamedTuple):
    """Positions along one axis, for n units: `size` of them from `start` on, int64 [n], on the CPU."""

    start: Tensor
    size: int

    def inside(self, limit: int) -> "Span":
        """The span cut to positions 0 .. limit - 1, of one size for all units, and moved inside."""
        begin = self.start.clamp(min=0)
        size = max(1, int(((self.start + self.size).clamp(max=limit) - begin).max()))
        return Span(begin.clamp(max=limit - size), size)

    def trimmed(self, limit: int) -> "Span":
        """The span without what lies outside 0 .. limit - 1 for all units; inside, where that is much shorter.

        A span that leaves the map for some units has the same offset from other spans for all of them, which saves
        copies.
        """
        first = min(max(0, -int(self.start.max())), self.size - 1)
        end = max(min(self.size, limit - int(self.start.min())), first + 1)
        inside = self.inside(limit)
        if inside.size == limit or inside.size < _SHORTER * (end - first):
            return inside
        return Span(self.start + first, end - first)

    def leaves(self, limit: int) -> bool:
        """Whether a position lies outside 0 .. limit - 1 for any unit."""
        return int(self.start.min()) < 0 or int(self.start.max()) + self.size > limit


class Regions(NamedTuple):
    """A rectangle for each of n units."""

    rows: Span
    cols: Span

    @property
    def size(self) -> Pair:
        return self.rows.size, self.cols.size

    def trimmed(self, sides: Pair) -> "Regions":
        """The regions without what lies outside maps of these sides for all units."""
        return Regions(self.rows.trimmed(sides[0]), self.cols.trimmed(sides[1]))

    def of(self, units: Tensor) -> "Regions":
        """The regions of these units, int64 [k]."""
        return Regions(*(Span(span.start[units], span.size) for span in self))


def whole_map(units: int, sides: Pair) -> Regions:
    """For each unit the whole map."""
    nowhere = torch.zeros(units, dtype=torch.int64)
    return Regions(Span(nowhere, sides[0]), Span(nowhere, sides[1]))


def around(regions: Iterable[Regions]) -> Regions:
    """The smallest regions that hold all of these."""
    rows, cols = zip(*regions, strict=True)
    return Regions(_span_around(rows), _span_around(cols))


def _span_around(spans: Sequence[Span]) -> Span:
    if len(spans) == 1:
        return spans[0]
    start = torch.stack([span.start for span in spans]).amin(0)
    end = torch.stack([span.start + span.size for span in spans]).amax(0)
    return Span(start, int((end - start).max()))


def recut(x: Tensor, source: Regions, target: Regions, fill: float = 0, axes: Axes = MAPS) -> Tensor:
    """Values of the regions `target` from those of the regions `source` of the same maps, with `fill` outside these.

    x: [n, ..., h, w], a map's part for each unit. axes: its rows and columns. May be x or a view of it.
    """
    offsets = [to.start - of.start for of, to in zip(source, target, strict=True)]
    if source.size == target.size and not any(bool(offset.any()) for offset in offsets):
        return x
    last = x.dim() - 2, x.dim() - 1
    if axes != last:
        return recut(x.movedim(axes, last), source, target, fill, last).movedim(last, axes)
    if all(bool((offset == offset[0]).all()) for offset in offsets):
        return _cut_alike(x, [int(offset[0]) for offset in offsets], target.size, fill)
    return _cut_apart(x, torch.arange(len(x)), offsets, target.size, fill)


def cut_regions(maps: Tensor, which: Tensor, target: Regions, fill: float = 0) -> Tensor:
    """Regions [n, C, h, w] of maps[which], with `fill` outside the maps; channels last. maps: [N, C, H, W]."""
    return _cut_apart(maps, which, [span.start for span in target], target.size, fill)


class MapTensor(NamedTuple):
    """A tensor of the pass. axes: its rows and columns; None where it has no positions."""

    number: int
    shape: Shape
    axes: Axes | None

    @property
    def sides(self) -> Pair:
        return (1, 1) if self.axes is None else (self.shape[self.axes[0]], self.shape[self.axes[1]])

    def recut(self, x: Tensor, source: Regions, target: Regions, fill: float = 0) -> Tensor:
        """Values of the regions `target` from those of the regions `source`, with `fill` outside these."""
        return recut(x, source, target, fill, self.axes or MAPS)

    def fill_outside_(self, x: Tensor, region: Regions, fill: float) -> Tensor:
        """Sets the values x of the regions to `fill` wherever they lie outside the maps, and returns them."""
        if not any(span.leaves(side) for span, side in zip(region, self.sides, strict=True)):
            return x
        axes = self.axes or MAPS
        maps = x if axes == (x.dim() - 2, x.dim() - 1) else x.movedim(axes, (-2, -1))
        outside = _outside([span.start for span in region], region.size, self.sides)
        if maps.dim() == 4 and maps.is_contiguous(memory_format=torch.channels_last):
            places = outside.flatten().nonzero()[:, 0].to(x.device)
            maps.permute(0, 2, 3, 1).flatten(0, 2).index_fill_(0, places, fill)
        else:
            maps.masked_fill_(outside.view(len(x), *[1] * (x.dim() - 3), *region.size).to(x.device), fill)
        return x

    def region_shape(self, units: int, size: Pair) -> Shape:
        """Shape of the tensor's regions of this size for a number of units."""
        shape = [units, *self.shape[1:]]
        for axis, length in zip(self.axes or (), size, strict=False):
            shape[axis] = length
        return tuple(shape)


def _cut_alike(x: Tensor, offsets: list[int], size: Pair, fill: float) -> Tensor:
    """x from the same offset on in all of its maps."""
    padding: list[int] = []
    for axis, offset, length in zip((-2, -1), offsets, size, strict=True):
        first, end = min(max(0, offset), x.shape[axis]), max(0, min(x.shape[axis], offset + length))
        x = x.narrow(axis, first, max(0, end - first))
        before = min(max(0, -offset), length)
        padding = [before, length - before - x.shape[axis], *padding]
    return F.pad(x, padding, value=fill) if any(padding) else x


def _cut_apart(x: Tensor, which: Tensor, offsets: list[Tensor], size: Pair, fill: float) -> Tensor:
    """x[which] from another offset on for each of them; channels last."""
    rows, cols = (start[:, None] + torch.arange(length) for start, length in zip(offsets, size, strict=True))
    outside = _outside(offsets, size, (x.shape[-2], x.shape[-1]))
    which, rows, cols = which.cpu()[:, None, None], rows.clamp(0, x.shape[-2] - 1), cols.clamp(0, x.shape[-1] - 1)
    maps = x.flatten(1, -3)
    if maps.is_contiguous(memory_format=torch.channels_last):  # rows of memory that hold all channels of a position
        index = (which * x.shape[-2] + rows[:, :, None]) * x.shape[-1] + cols[:, None, :]
        memory = maps.permute(0, 2, 3, 1).flatten(0, 2)
        values = memory.index_select(0, index.flatten().to(x.device))
    else:
        image, row, col = (places.to(x.device) for places in (which, rows[:, :, None], cols[:, None, :]))
        values = maps[image, :, row, col].flatten(0, 2)
    if bool(outside.any()):
        values.index_fill_(0, outside.flatten().nonzero()[:, 0].to(x.device), fill)
    values = values.view(len(which), *size, maps.shape[1]).permute(0, 3, 1, 2)
    return values.view(len(which), *x.shape[1:-2], *size)


def _outside(starts: list[Tensor], size: Pair, sides: Pair) -> Tensor:
    """Which positions of regions of this size lie outside maps of these sides, bool [n, h, w]."""
    places = [start[:, None] + torch.arange(length) for start, length in zip(starts, size, strict=True)]
    rows, cols = ((place < 0) | (place >= side) for place, side in zip(places, sides, strict=True))
    return rows[:, :, None] | cols[:, None, :]
