"""The deconvnet within the receptive field: the values of the projection over the whole image for a fraction of its work.

A single unit's signal never leaves its receptive field, and going down needs the way up only for the switches. So many
(image, unit) pairs go down together, each in its own window of every map, at its own place. Windows may hang over the
border of a map: what lies outside is set to the padding's value before each step up, and to 0 after each step down.
Where the window is as large as the map, the whole map is taken instead.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.look.cut import Corner, cut, fill_outside_, paste
from convscope.look.deconvnet import Picks, check_rule, project
from convscope.look.steps import Conv, Pool, Step, read_steps
from convscope.nets.receptive import IMAGE, Field, follow
from convscope.nets.trace import Trace, trace
from convscope.nets.windows import Pair

AREA = 160_000  # pixels worked on at a time; ZFNet takes about 1 KiB for each


class Projection(NamedTuple):
    """values [P, 3, h, w]: boxes whose corners are pixels top, left [P] of the images; 0 where a box leaves its image."""

    values: Tensor
    top: Tensor
    left: Tensor


class Level(NamedTuple):
    """The maps between two steps: windows of `size` in maps of `map` rows and columns; whole: the maps themselves."""

    size: Pair
    map: Pair
    whole: bool


def project_fields(
    net: nn.Module, images: Tensor, layer: str, picks: Picks, rule: str = "deconvnet", chunk: int | None = None
) -> Projection:
    """As `project`, each unit cut to its receptive field, or the whole image where the field is no smaller.

    chunk: units at a time, else as many as suit their field. Nets that branch on the way to the layer are projected over
    the whole image first. Raises Problem as `project`.
    """
    check_rule(rule)
    pass_ = trace(net, tuple(images.shape[1:]))
    output = pass_.layer(layer).output
    picks = Picks(*(field.cpu() for field in picks))
    steps = read_steps(pass_, layer, rule)
    if steps is None:
        field = follow(pass_).get(output, IMAGE).field
        return _from_whole(functools.partial(project, net, images, layer, rule=rule), images, picks, field)
    descent = Descent(steps, _levels(steps, pass_), pass_.shapes[output][1])
    height, width = descent.levels[0].size
    chunk = chunk or max(1, AREA // (height * width))
    values = images.new_empty(len(picks.image), images.shape[1], height, width)
    with torch.no_grad():
        for at in range(0, len(values), chunk):
            values[at : at + chunk] = descent.run(images, picks.part(at, at + chunk))
    return Projection(values, *descent.corner(picks))


def patches(images: Tensor, picks: Picks, projection: Projection, fill: float = 0) -> Tensor:
    """What the images [N, C, H, W], of any type, show in the boxes of a projection: [P, C, h, w], `fill` outside."""
    height, width = projection.values.shape[-2:]
    return cut(images, picks.image, Corner(projection.top, projection.left), (height, width), fill)


@dataclass(frozen=True)
class Descent:
    """The steps from the pixels to a layer, and the levels below, between and above them."""

    steps: list[Step]
    levels: list[Level]
    maps: int

    def run(self, images: Tensor, picks: Picks) -> Tensor:
        """The projections [p, 3, h, w] of some picks."""
        corners = self._corners(picks)
        memories = self._up(images, picks, corners)
        return self._down(self._lit(images, picks), picks, corners, memories)

    def corner(self, picks: Picks) -> Corner:
        """Where in the image each projection lies."""
        corner = self._corners(picks)[0]
        return Corner(*(torch.zeros_like(place) for place in corner)) if self.levels[0].whole else corner

    def _corners(self, picks: Picks) -> list[Corner]:
        """Of the windows that each step takes from the level below it, and of the picks themselves."""
        corners = [Corner(picks.row, picks.col)]
        for step in reversed(self.steps):
            top, left = corners[-1]
            if step.window is not None:
                stride, padding = step.window.stride, step.window.padding
                top, left = top * stride[0] - padding[0], left * stride[1] - padding[1]
            corners.append(Corner(top, left))
        return corners[::-1]

    def _up(self, images: Tensor, picks: Picks, corners: list[Corner]) -> list[Any]:
        """What each step remembers; goes up only as far as there is something to remember."""
        last = max((number for number, step in enumerate(self.steps) if step.remembers), default=-1)
        memories: list[Any] = [None] * len(self.steps)
        if last < 0:
            return memories
        whole = self.levels[0].whole
        x = images[picks.image.to(images.device)] if whole else cut(images, picks.image, corners[0], self.levels[0].size)
        x = x.contiguous(memory_format=torch.channels_last)
        for number, step in enumerate(self.steps[: last + 1]):
            x = self._surrounded(x, number, corners[number])
            x, memories[number] = step.up(x, self.levels[number + 1].whole)
        return memories

    def _surrounded(self, x: Tensor, number: int, corner: Corner) -> Tensor:
        """What step `number` takes: windows that hold, where they lie outside the map, what the step takes padding for."""
        step, level, above = self.steps[number], self.levels[number], self.levels[number + 1]
        if level.whole and above.whole:
            return x
        if level.whole and step.window is not None:
            return cut(x, torch.arange(len(x)), corner, step.window.below(above.size), step.fill)
        if step.window is not None or (number and isinstance(self.steps[number - 1], Pool)):
            return fill_outside_(x, corner, level.map, step.fill)  # a pool leaves -inf where its window was all outside
        return x

    def _lit(self, images: Tensor, picks: Picks) -> Tensor:
        """The layer's maps as windows of one position [p, C, 1, 1]: 1 in the picked map."""
        count, device = len(picks.map), images.device
        lit = torch.zeros(count, self.maps, 1, 1, dtype=images.dtype, device=device)
        lit[torch.arange(count, device=device), picks.map.to(device)] = 1
        return lit

    def _down(self, signal: Tensor, picks: Picks, corners: list[Corner], memories: list[Any]) -> Tensor:
        single = True  # until the first window going down, only the picked map holds a signal
        for number in reversed(range(len(self.steps))):
            step, level, above = self.steps[number], self.levels[number], self.levels[number + 1]
            if single and isinstance(step, Conv):
                signal = step.down_unit(signal, picks.map.to(signal.device))
            else:
                signal = step.down(signal, memories[number], level.size, above.whole)
            if step.window is None or above.whole:
                continue
            single = False
            corner = corners[number]
            signal = paste(signal, corner, level.map) if level.whole else fill_outside_(signal, corner, level.map)
        return signal


def _levels(steps: list[Step], pass_: Trace) -> list[Level]:
    """From the pixels up. Below whole maps there are whole maps."""
    shapes = pass_.shapes
    levels = [Level((1, 1), shapes[steps[-1].call.outputs[0]][2:], False)]
    for step in reversed(steps):
        above, map_ = levels[-1], shapes[step.call.inputs[0]][2:]
        size = above.size if step.window is None else step.window.below(above.size)
        whole = above.whole or (step.window is not None and size[0] * size[1] >= map_[0] * map_[1])
        levels.append(Level(map_ if whole else size, map_, whole))
    return levels[::-1]


def _from_whole(whole: Callable[[Picks], Tensor], images: Tensor, picks: Picks, field: Field | None) -> Projection:
    """Projections over the whole image, cut to the field where it is smaller."""
    height, width = images.shape[2:]
    if field is None or field.rows.size * field.cols.size >= height * width:
        return Projection(whole(picks), torch.zeros_like(picks.row), torch.zeros_like(picks.col))
    size = (field.rows.size, field.cols.size)
    boxes = [field.box(row, col) for row, col in zip(picks.row.tolist(), picks.col.tolist(), strict=True)]
    corner = Corner(torch.tensor([box.top for box in boxes]), torch.tensor([box.left for box in boxes]))
    values = images.new_empty(len(boxes), images.shape[1], *size)
    for at in range(0, len(boxes), 16):
        part = picks.part(at, at + 16)
        here = Corner(*(place[at : at + 16] for place in corner))
        values[at : at + 16] = cut(whole(part), torch.arange(len(part.image)), here, size)
    return Projection(values, *corner)
