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


class Span(NamedTuple):
    """Positions along one axis, for n units: `size` of them from `start` on, int64 [n], on the CPU."""

    start: Tensor
    size: int

    def within(self, limit: int) -> "Span":
        """The span cut to positions 0 .. limit - 1 of all units, and moved inside."""
        begin = self.start.clamp(min=0)
        size = max(1, int(((self.start + self.size).clamp(max=limit) - begin).max()))
        return Span(begin.clamp(max=limit - size), size)


class Regions(NamedTuple):
    """A rectangle for each of n units."""

    rows: Span
    cols: Span

    @property
    def size(self) -> Pair:
        return self.rows.size, self.cols.size

    def within(self, sides: Pair) -> "Regions":
        """The regions cut to maps of these sides, and moved inside them."""
        return Regions(self.rows.within(sides[0]), self.cols.within(sides[1]))

    def part(self, units: slice) -> "Regions":
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
    if axes != (x.dim() - 2, x.dim() - 1):
        return recut(x.movedim(axes, (-2, -1)), source, target, fill).movedim((-2, -1), axes)
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
    """x[which] from another offset on for each of them: rows of memory that hold all channels of a position."""
    height, width = x.shape[-2:]
    rows, cols = (start[:, None] + torch.arange(length) for start, length in zip(offsets, size, strict=True))
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None, :]
    index = (which.cpu()[:, None] * height + rows.clamp(0, height - 1))[:, :, None] * width
    index = (index + cols.clamp(0, width - 1)[:, None]).flatten().to(x.device)
    memory = x.flatten(1, -3).permute(0, 2, 3, 1).reshape(-1, x.shape[1:-2].numel())
    values = memory.index_select(0, index).view(len(which), *size, -1)
    if not bool(inside.all()):
        values = values.masked_fill_(~inside[..., None].to(x.device), fill)
    return values.permute(0, 3, 1, 2).view(len(which), *x.shape[1:-2], *size)
