"""Regions of maps: one rectangle for each of P units, at its own place, which may extend over the border of the map.

Regions are cut from maps and pasted into maps. Going from a layer down to the pixels, every map has the region on which
a unit depends.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.engine.calls import Pair, Window
from convscope.engine.deconvnet import Units


class Corner(NamedTuple):
    """Row and column of the map at which each region starts, int64 [P] each, on the CPU."""

    top: Tensor
    left: Tensor


def cut_regions(maps: Tensor, which: Tensor, corner: Corner, size: Pair, fill: float = 0) -> Tensor:
    """Regions [P, C, h, w] of maps[which], with `fill` outside the maps; channels last."""
    regions = _constant(fill, (len(which), maps.shape[1], *size), maps)
    for region, number, (inside, place) in zip(regions, which.tolist(), _overlaps(corner, size, maps), strict=True):
        region[inside] = maps[number][place]
    return regions


def paste_regions(regions: Tensor, corner: Corner, size: Pair) -> Tensor:
    """Maps [P, C, *size] of zeros, each with its region [C, h, w] in it; parts outside are dropped; channels last."""
    maps = _constant(0, (len(regions), regions.shape[1], *size), regions)
    shape = (regions.shape[2], regions.shape[3])
    for map_, region, (inside, place) in zip(maps, regions, _overlaps(corner, shape, maps), strict=True):
        map_[place] = region[inside]
    return maps


def fill_outside_(regions: Tensor, corner: Corner, size: Pair, fill: float = 0) -> Tensor:
    """Sets the regions to `fill` wherever they lie outside maps of this size, and returns them."""
    for axis, start, length, limit in zip((1, 2), corner, regions.shape[2:], size, strict=True):
        for region, first in zip(regions, start.tolist(), strict=True):
            if first < 0:
                region.narrow(axis, 0, min(-first, length)).fill_(fill)
            if first + length > limit:
                inside = max(0, limit - first)
                region.narrow(axis, inside, length - inside).fill_(fill)
    return regions


class Regions(NamedTuple):
    """Regions of `size`, one for each unit at its corner, in maps of `map` rows and columns; whole: of whole maps."""

    corner: Corner
    size: Pair
    map: Pair
    whole: bool

    def below(self, window: Window) -> tuple[Corner, Pair]:
        """Corner and size of the area in the map below that the regions depend on, inside the map or not."""
        (down, across), (above, before) = window.stride, window.padding
        return Corner(self.corner.top * down - above, self.corner.left * across - before), window.below(self.size)

    def inset(self, corner: Corner) -> Pair:
        """Rows and columns from a corner to the corner of these regions, which are the same for all units."""
        return int(self.corner.top[0] - corner.top[0]), int(self.corner.left[0] - corner.left[0])


def regions_below(windows: Sequence[Window | None], maps: Sequence[Pair], units: Units, top: Pair) -> list[Regions]:
    """The regions of every map from the pixels up to the units' own layer.

    windows: of the calls from the pixels to the layer, None for a call that works position by position. maps: rows and
    columns of each call's input. top: rows and columns of the layer's maps. What is outside the maps for all units is
    left out. Where a region is no smaller than a map, whole maps are used from there on down.
    """
    levels = [Regions(Corner(units.row, units.col), (1, 1), top, False)]
    for window, map_ in zip(reversed(windows), reversed(maps), strict=True):
        levels.append(_below(levels[-1], window, map_) if window else levels[-1])
    return levels[::-1]


def field_regions(windows: Sequence[Window | None], image: Pair, units: Units) -> tuple[Corner, Pair]:
    """Corner and size of the units' receptive fields, or of the whole image where the fields are no smaller."""
    field = Regions(Corner(units.row, units.col), (1, 1), image, False)
    for window in reversed(windows):
        if window:
            corner, size = field.below(window)
            field = field._replace(corner=corner, size=size)
    if field.size[0] * field.size[1] < image[0] * image[1]:
        return field.corner, field.size
    return Corner(torch.zeros_like(units.row), torch.zeros_like(units.col)), image


def _below(regions: Regions, window: Window, map_: Pair) -> Regions:
    corner, size = regions.below(window)
    starts, lengths = [], []
    for start, length, limit in zip(corner, size, map_, strict=True):
        first = min(max(0, -int(start.max())), length - 1)  # rows or columns before are outside for all units
        last = max(min(length, limit - int(start.min())), first + 1)
        starts.append(start + first)
        lengths.append(last - first)
    if regions.whole or lengths[0] * lengths[1] >= map_[0] * map_[1]:
        return Regions(Corner(*(torch.zeros_like(start) for start in starts)), map_, map_, True)
    return Regions(Corner(*starts), (lengths[0], lengths[1]), map_, False)


def _constant(value: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A constant tensor with the dtype and the device of `like`; channels last."""
    empty = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    return empty.fill_(value)


def _overlaps(corner: Corner, size: Pair, maps: Tensor) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """For each region its part inside the map, in coordinates of the region and in coordinates of the map."""
    places = []
    for start in zip(corner.top.tolist(), corner.left.tolist(), strict=True):
        inside, place = [slice(None)], [slice(None)]
        for begin, length, limit in zip(start, size, maps.shape[2:], strict=True):
            first, last = max(begin, 0), max(min(begin + length, limit), max(begin, 0))
            inside.append(slice(first - begin, last - begin))
            place.append(slice(first, last))
        places.append((tuple(inside), tuple(place)))
    return places


SHARE = 0.99  # of the energy in the squares
MIN_SIDE = 16  # pixels


class _Spread(NamedTuple):
    """Energy of k projections along one axis of `length`: its center, its first and past its last position."""

    length: int
    center: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def start(self, side: int) -> NDArray[np.int64]:
        """First positions of stretches of `side` around the center, moved to where there is energy.

        Where the part with energy is shorter than `side`, the stretch is centered on it, and within the axis if it
        fits.
        """
        around = np.rint(self.center - side / 2).astype(np.int64)
        within = np.clip(around, self.first, np.maximum(self.last - side, self.first))
        over = np.clip((self.first + self.last - side) // 2, min(0, self.length - side), max(0, self.length - side))
        return np.where(self.last - self.first >= side, within, over)


def energy_squares(projections: Tensor, share: float = SHARE, min_side: int = MIN_SIDE) -> tuple[Corner, int]:
    """Corners and the common side of one square for each of k projections [k, 3, h, w] of a map.

    Each square lies around the center of its projection's energy, and where the projection is not 0 if it fits. The
    side is the smallest, from min_side to the larger of h and w, at which the squares hold `share` of the energy, with
    equal weight for each projection. Projections of zeros do not count; nan and infinite values count as zeros.
    """
    values = projections.double().nan_to_num(0, 0, 0)  # float64, because squares of large values overflow float32
    energy = values.square().sum(1).numpy()  # [k, h, w]
    energy /= np.maximum(energy.sum((1, 2), keepdims=True), 1e-300)
    sums = np.pad(energy.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))  # over all positions above and to the left
    rows, cols = _spread(energy.sum(2)), _spread(energy.sum(1))
    target = share * (sums[:, -1, -1] > 0).sum()
    shortest, longest = min(min_side, max(energy.shape[1:])), max(energy.shape[1:])
    while shortest < longest:
        side = (shortest + longest) // 2
        if _inside(sums, rows.start(side), cols.start(side), side).sum() < target:
            shortest = side + 1
        else:
            longest = side
    return Corner(torch.from_numpy(rows.start(shortest)), torch.from_numpy(cols.start(shortest))), shortest


def _spread(weight: NDArray[np.float64]) -> _Spread:
    """The spread of energies `weight` [k, length] along one axis; the whole axis and its middle where there is none."""
    length, total = weight.shape[1], weight.sum(1)
    lit, empty = weight > 0, total == 0
    center = (weight * (np.arange(length) + 0.5)).sum(1) / np.where(empty, 1, total)
    first = np.where(empty, 0, lit.argmax(1))
    last = np.where(empty, length, length - lit[:, ::-1].argmax(1))
    return _Spread(length, np.where(empty, length / 2, center), first, last)


def _inside(
    sums: NDArray[np.float64], top: NDArray[np.int64], left: NDArray[np.int64], side: int
) -> NDArray[np.float64]:
    """Energy in each square, from sums over all positions above and to the left."""
    bottom, right = np.minimum(top + side, sums.shape[1] - 1), np.minimum(left + side, sums.shape[2] - 1)
    index, top, left = np.arange(len(sums)), np.maximum(top, 0), np.maximum(left, 0)
    return sums[index, bottom, right] - sums[index, top, right] - sums[index, bottom, left] + sums[index, top, left]
