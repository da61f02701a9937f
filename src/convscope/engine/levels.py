"""Which part of each map a number of picks needs on the way from a layer down to the pixels."""

from typing import NamedTuple

import torch

from convscope.engine.chain_steps import Step
from convscope.engine.deconvnet import Units
from convscope.engine.windows import Pair, Window
from convscope.engine.windows_of_maps import Corner


class Level(NamedTuple):
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


def levels_below(steps: list[Step], maps: list[Pair], picks: Units, top: Pair) -> list[Level]:
    """The levels from the pixels up to the picks' own layer, whose maps are `top`; maps: what each step takes.

    What is outside the maps for all picks is left out. Where that leaves as much as a whole map, and below, it is
    whole maps.
    """
    levels = [Level(Corner(picks.row, picks.col), (1, 1), top, False)]
    for step, map_ in zip(reversed(steps), reversed(maps), strict=True):
        levels.append(_below(levels[-1], step.window, map_) if step.window else levels[-1])
    return levels[::-1]


def natural_box(steps: list[Step], image: Pair, picks: Units) -> tuple[Corner, Pair]:
    """The picks' receptive fields, or the whole images where the fields are no smaller."""
    level = Level(Corner(picks.row, picks.col), (1, 1), image, False)
    for step in reversed(steps):
        if step.window:
            corner, size = level.seen(step.window)
            level = level._replace(corner=corner, size=size)
    if level.size[0] * level.size[1] < image[0] * image[1]:
        return level.corner, level.size
    return Corner(torch.zeros_like(picks.row), torch.zeros_like(picks.col)), image


def _below(level: Level, window: Window, map_: Pair) -> Level:
    corner, size = level.seen(window)
    starts, lengths = [], []
    for start, length, limit in zip(corner, size, map_, strict=True):
        first = min(max(0, -int(start.max())), length - 1)  # rows or columns before this one are outside for all picks
        last = max(min(length, limit - int(start.min())), first + 1)
        starts.append(start + first)
        lengths.append(last - first)
    if level.whole or lengths[0] * lengths[1] >= map_[0] * map_[1]:
        return Level(Corner(*(torch.zeros_like(start) for start in starts)), map_, map_, True)
    return Level(Corner(*starts), (lengths[0], lengths[1]), map_, False)
