"""Windows cut from maps, one for each pick at its own place, which may hang over the border or lie outside."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.chain_steps import Step
from convscope.engine.deconvnet import Units
from convscope.engine.windows import Pair, Window


class Corner(NamedTuple):
    """Row and column in the map at which each window starts, int64 [P] each, on the CPU."""

    top: Tensor
    left: Tensor


def cut_regions(maps: Tensor, which: Tensor, corner: Corner, size: Pair, fill: float = 0) -> Tensor:
    """Windows [P, C, h, w] of maps[which], `fill` where they lie outside; channels last."""
    windows = _constant(fill, (len(which), maps.shape[1], *size), maps)
    for window, number, (inside, place) in zip(windows, which.tolist(), _overlaps(corner, size, maps), strict=True):
        window[inside] = maps[number][place]
    return windows


def paste_regions(windows: Tensor, corner: Corner, size: Pair) -> Tensor:
    """Maps [P, C, *size], 0 but for the window [C, h, w] of each; what lies outside is dropped; channels last."""
    maps = _constant(0, (len(windows), windows.shape[1], *size), windows)
    window = (windows.shape[2], windows.shape[3])
    for map_, signal, (inside, place) in zip(maps, windows, _overlaps(corner, window, maps), strict=True):
        map_[place] = signal[inside]
    return maps


def fill_outside_(windows: Tensor, corner: Corner, size: Pair, fill: float = 0) -> Tensor:
    """The windows with `fill` wherever they lie outside maps of this size."""
    for axis, start, length, limit in zip((1, 2), corner, windows.shape[2:], size, strict=True):
        for window, first in zip(windows, start.tolist(), strict=True):
            if first < 0:
                window.narrow(axis, 0, min(-first, length)).fill_(fill)
            if first + length > limit:
                inside = max(0, limit - first)
                window.narrow(axis, inside, length - inside).fill_(fill)
    return windows


def _constant(value: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Of the type and on the device of `like`; channels last."""
    empty = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    return empty.fill_(value)


def _overlaps(corner: Corner, size: Pair, maps: Tensor) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """For each window the part of it that lies inside the map, and where in the map that is."""
    places = []
    for start in zip(corner.top.tolist(), corner.left.tolist(), strict=True):
        inside, place = [slice(None)], [slice(None)]
        for begin, length, limit in zip(start, size, maps.shape[2:], strict=True):
            first, last = max(begin, 0), max(min(begin + length, limit), max(begin, 0))
            inside.append(slice(first - begin, last - begin))
            place.append(slice(first, last))
        places.append((tuple(inside), tuple(place)))
    return places


class Regions(NamedTuple):
    """Windows of `size` at a corner for each pick, in maps of `map` rows and columns; whole: the maps themselves."""

    corner: Corner
    size: Pair
    map: Pair
    whole: bool

    def seen(self, window: Window) -> tuple[Corner, Pair]:
        """Corner and size of all that these windows see one step below, inside the map or not."""
        (down, across), (above, before) = window.stride, window.padding
        return Corner(self.corner.top * down - above, self.corner.left * across - before), window.below(self.size)

    def inset(self, corner: Corner) -> Pair:
        """Rows and columns from a corner to this level's, which are the same for all picks."""
        return int(self.corner.top[0] - corner.top[0]), int(self.corner.left[0] - corner.left[0])


def regions_below(steps: list[Step], maps: list[Pair], picks: Units, top: Pair) -> list[Regions]:
    """The levels from the pixels up to the picks' own layer, whose maps are `top`; maps: what each step takes.

    What is outside the maps for all picks is left out. Where that leaves as much as a whole map, and below, it is
    whole maps.
    """
    levels = [Regions(Corner(picks.row, picks.col), (1, 1), top, False)]
    for step, map_ in zip(reversed(steps), reversed(maps), strict=True):
        levels.append(_below(levels[-1], step.window, map_) if step.window else levels[-1])
    return levels[::-1]


def field_regions(steps: list[Step], image: Pair, picks: Units) -> tuple[Corner, Pair]:
    """The picks' receptive fields, or the whole images where the fields are no smaller."""
    level = Regions(Corner(picks.row, picks.col), (1, 1), image, False)
    for step in reversed(steps):
        if step.window:
            corner, size = level.seen(step.window)
            level = level._replace(corner=corner, size=size)
    if level.size[0] * level.size[1] < image[0] * image[1]:
        return level.corner, level.size
    return Corner(torch.zeros_like(picks.row), torch.zeros_like(picks.col)), image


def _below(level: Regions, window: Window, map_: Pair) -> Regions:
    corner, size = level.seen(window)
    starts, lengths = [], []
    for start, length, limit in zip(corner, size, map_, strict=True):
        first = min(max(0, -int(start.max())), length - 1)  # rows or columns before this one are outside for all picks
        last = max(min(length, limit - int(start.min())), first + 1)
        starts.append(start + first)
        lengths.append(last - first)
    if level.whole or lengths[0] * lengths[1] >= map_[0] * map_[1]:
        return Regions(Corner(*(torch.zeros_like(start) for start in starts)), map_, map_, True)
    return Regions(Corner(*starts), (lengths[0], lengths[1]), map_, False)
