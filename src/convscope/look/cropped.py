"""The deconvnet within the receptive field: the values of the projection over the whole image for a fraction of its work.

A single unit's signal never leaves its receptive field, and going down needs the way up only for the switches. So many
(image, unit) pairs go down together, each in its own window of every map, at its own place. Windows may hang over the
border of a map: what lies outside is set to the padding's value before each step up, and to 0 after each step down.
Where the window is as large as the map, the whole map is taken instead.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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


class Corner(NamedTuple):
    """Where each pick's window starts in a map, int64 [P] each, on the CPU; may lie outside."""

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
        return _cut_projection(net, images, layer, picks, rule, follow(pass_).get(output, IMAGE).field)
    descent = Descent(steps, _levels(steps, pass_))
    pixels = descent.levels[0]
    chunk = chunk or max(1, AREA // (pixels.size[0] * pixels.size[1]))
    values = images.new_empty(len(picks.image), images.shape[1], *pixels.size)
    with torch.no_grad():
        for at in range(0, len(values), chunk):
            values[at : at + chunk] = descent.run(images, picks.part(at, at + chunk))
    return Projection(values, *descent.corners(picks)[0])


def patches(images: Tensor, picks: Picks, projection: Projection, fill: float = 0) -> Tensor:
    """What the images [N, C, H, W], of any type, show in the boxes of a projection: [P, C, h, w], `fill` outside."""
    height, width = projection.values.shape[-2:]
    return _cut(images, picks.image, Corner(projection.top, projection.left), (height, width), fill)


@dataclass(frozen=True)
class Descent:
    """The steps from the pixels to a layer, and the levels below, between and above them."""

    steps: list[Step]
    levels: list[Level]

    def run(self, images: Tensor, picks: Picks) -> Tensor:
        """The projections [p, 3, h, w] of some picks."""
        corners = self.corners(picks)
        return self._down(images, picks, corners, self._up(images, picks, corners))

    def corners(self, picks: Picks) -> list[Corner]:
        """The picks' windows at each level."""
        corners = [Corner(picks.row, picks.col)]
        for step, above in zip(reversed(self.steps), reversed(self.levels), strict=False):
            top, left = corners[0]
            if above.whole:
                top, left = torch.zeros_like(top), torch.zeros_like(left)
            elif step.window:
                (down, across), (over, before) = step.window.stride, step.window.padding
                top, left = top * down - over, left * across - before
            corners.insert(0, Corner(top, left))
        whole = self.levels[0].whole
        return [Corner(*(value * (not whole) for value in corners[0])), *corners[1:]] if whole else corners

    def _up(self, images: Tensor, picks: Picks, corners: list[Corner]) -> list[Any]:
        """What each step remembers; goes up only as far as there is something to remember."""
        last = max((number for number, step in enumerate(self.steps) if step.remembers), default=-1)
        if last < 0:
            return [None] * len(self.steps)
        x = _cut(images, picks.image, corners[0], self.levels[0].size, 0)
        memories = []
        for number, step in enumerate(self.steps[: last + 1]):
            x, memory = step.up(self._surrounded(x, number, corners[number]), self.levels[number + 1].whole)
            memories.append(memory)
        return memories + [None] * (len(self.steps) - len(memories))

    def _surrounded(self, x: Tensor, number: int, corner: Corner) -> Tensor:
        """Maps as step `number` takes them: outside the map there is what the step takes padding for."""
        step, level = self.steps[number], self.levels[number]
        if level.whole:
            seam = step.window and not self.levels[number + 1].whole
            return _cut(x, torch.arange(len(x)), corner, level.size, step.fill) if seam else x
        if step.window or (number and isinstance(self.steps[number - 1], Pool)):
            return _fill_outside_(x, corner, level.map, step.fill)
        return x

    def _down(self, images: Tensor, picks: Picks, corners: list[Corner], memories: list[Any]) -> Tensor:
        ...
