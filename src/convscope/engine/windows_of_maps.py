"""Windows cut from maps, one for each pick at its own place, which may hang over the border or lie outside."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.windows import Pair


class Corner(NamedTuple):
    """Row and column in the map at which each window starts, int64 [P] each, on the CPU."""

    top: Tensor
    left: Tensor


def cut(maps: Tensor, which: Tensor, corner: Corner, size: Pair, fill: float = 0) -> Tensor:
    """Windows [P, C, h, w] of maps[which], `fill` where they lie outside; channels last."""
    windows = _constant(fill, (len(which), maps.shape[1], *size), maps)
    for window, number, (inside, place) in zip(windows, which.tolist(), _overlaps(corner, size, maps), strict=True):
        window[inside] = maps[number][place]
    return windows


def paste(windows: Tensor, corner: Corner, size: Pair) -> Tensor:
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
