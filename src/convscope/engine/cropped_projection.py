"""The deconvnet within the receptive field: the same values as over the whole image, for a fraction of the work.

A single unit's signal never leaves its receptive field, and going down needs the way up only for the switches. So
many (image, unit) pairs go down together, each in its own window of every map, at its own place. What lies outside a
map is set to the padding's value before each step up and to 0 after each step down, and no more of it is worked on
than the picks that go together need: picks near the same border go together.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.chain_steps import ConvStep, PoolStep, Step, read_steps
from convscope.engine.deconvnet import Units, check_rule, project
from convscope.engine.receptive_fields import IMAGE, Field, follow
from convscope.engine.regions import (
    Corner,
    Regions,
    cut_regions,
    field_regions,
    fill_outside_,
    paste_regions,
    regions_below,
)
from convscope.engine.trace import trace
from convscope.engine.windows import Pair

AREA = 160_000  # pixels worked on at a time; ZFNet takes about 1 KiB for each
WHOLE = 16  # projections over a whole image worked on at a time

Watch = Callable[[Sequence[Tensor]], Iterable[Tensor]]  # hands on one part of the work after another


class Projection(NamedTuple):
    """values [P, 3, h, w]: boxes at the pixels top, left [P] of the images; 0 where a box leaves its image."""

    values: Tensor
    top: Tensor
    left: Tensor


def project_fields(
    net: nn.Module,
    images: Tensor,
    layer: str,
    picks: Units,
    rule: str = "deconvnet",
    chunk: int | None = None,
    watch: Watch = iter,
) -> Projection:
    """As `project`, each unit cut to its receptive field, or the whole image where the field is no smaller.

    chunk: units at a time, else as many as suit their field. watch: sees the parts go by, such as a progress bar. Nets
    that branch on the way to the layer are projected over the whole image first. Raises UserError as `project`.
    """
    check_rule(rule)
    pass_ = trace(net, tuple(images.shape[1:]))
    output = pass_.layer(layer).output
    picks = Units(*(field.cpu() for field in picks))
    steps = read_steps(pass_, layer, rule)
    if steps is None:
        field = follow(pass_).get(output, IMAGE).field
        whole = functools.partial(project, net, images, layer, rule=rule, chunk=WHOLE)
        return _from_whole(whole, images, picks, field, watch)
    sizes = [pass_.shapes[step.call.inputs[0]][2:] for step in steps]
    descent = Descent(steps, [(size[0], size[1]) for size in sizes], pass_.shapes[output])
    corner, size = field_regions(steps, descent.maps[0], picks)
    values = images.new_zeros(len(picks.image), images.shape[1], *size)
    with torch.no_grad():
        for part in watch(_neighbors(picks, chunk or max(1, AREA // (size[0] * size[1])))):
            signal, level = descent.run(images, Units(*(field[part] for field in picks)))
            place = Corner(level.corner.top - corner.top[part], level.corner.left - corner.left[part])
            values[part.to(values.device)] = paste_regions(signal, place, size)
    return Projection(values, *corner)


def patches(images: Tensor, picks: Units, projection: Projection, fill: float = 0) -> Tensor:
    """What the images [N, C, H, W], of any type, show in the boxes of a projection: [P, C, h, w], `fill` outside."""
    height, width = projection.values.shape[-2:]
    return cut_regions(images, picks.image, Corner(projection.top, projection.left), (height, width), fill)


class Descent(NamedTuple):
    """steps from the pixels to a layer; maps: rows and columns of what each takes; output: shape of the layer's."""

    steps: list[Step]
    maps: list[Pair]
    output: tuple[int, ...]

    def run(self, images: Tensor, picks: Units) -> tuple[Tensor, Regions]:
        """The projections [p, 3, h, w] of some picks, and where in the images they lie."""
        levels = regions_below(self.steps, self.maps, picks, (self.output[2], self.output[3]))
        memories = self._up(images, picks, levels)
        lit = F.one_hot(picks.map.to(images.device), self.output[1])[:, :, None, None].to(images.dtype)
        return self._down(lit, picks, levels, memories), levels[0]

    def _up(self, images: Tensor, picks: Units, levels: list[Regions]) -> list[Any]:
        """What each step remembers; goes up only as far as there is something to remember."""
        last = max((number for number, step in enumerate(self.steps) if step.remembers), default=-1)
        memories: list[Any] = [None] * len(self.steps)
        x = cut_regions(images, picks.image, levels[0].corner, levels[0].size) if last >= 0 else images
        for number, step in enumerate(self.steps[: last + 1]):
            level, above = levels[number], levels[number + 1]
            after_pool = number > 0 and isinstance(self.steps[number - 1], PoolStep)
            if not level.whole and (step.window or after_pool):  # a pool leaves -inf where all its window is outside
                x = fill_outside_(x, level.corner, level.map, step.fill)
            if step.window and not above.whole:
                x = _surrounded(x, level, above.seen(step.window), step.fill)
            x, memories[number] = step.up(x, above.whole)
        return memories

    def _down(self, signal: Tensor, picks: Units, levels: list[Regions], memories: list[Any]) -> Tensor:
        single = True  # until the first window going down, only the picked map holds a signal
        for number in reversed(range(len(self.steps))):
            step, level, above = self.steps[number], levels[number], levels[number + 1]
            if single and isinstance(step, ConvStep):
                signal = step.down_unit(signal, picks.map.to(signal.device))
            else:
                signal = step.down(signal, memories[number], level.size, above.whole)
            if step.window and not above.whole:
                single = False
                signal = _trimmed(signal, level, above.seen(step.window))
        return signal


def _surrounded(x: Tensor, level: Regions, seen: tuple[Corner, Pair], fill: float) -> Tensor:
    """All that the step sees for the level above, with what it takes padding for outside the maps."""
    corner, size = seen
    if level.whole:
        return cut_regions(x, torch.arange(len(x)), corner, size, fill)
    top, left = level.inset(corner)
    around = (left, size[1] - left - level.size[1], top, size[0] - top - level.size[0])
    return F.pad(x, around, value=fill) if any(around) else x


def _trimmed(signal: Tensor, level: Regions, seen: tuple[Corner, Pair]) -> Tensor:
    """Undoes `_surrounded`; nothing comes down outside the maps."""
    corner, size = seen
    if level.whole:
        return paste_regions(signal, corner, level.map)
    if level.size != size:
        top, left = level.inset(corner)
        signal = signal[:, :, top : top + level.size[0], left : left + level.size[1]]
        signal = signal.contiguous(memory_format=torch.channels_last)
    return fill_outside_(signal, level.corner, level.map)


def _neighbors(picks: Units, chunk: int) -> list[Tensor]:
    """The picks' numbers in parts of `chunk`, picks of about the same place together."""
    bands = picks.row.argsort(stable=True).split(4 * chunk)
    parts = [part for band in bands for part in band[picks.col[band].argsort(stable=True)].split(chunk)]
    return [part for part in parts if len(part)]


def _from_whole(
    whole: Callable[[Units], Tensor], images: Tensor, picks: Units, field: Field | None, watch: Watch
) -> Projection:
    """Projections over the whole image, cut to the field where it is smaller."""
    corner, size = Corner(torch.zeros_like(picks.row), torch.zeros_like(picks.col)), (images.shape[2], images.shape[3])
    if field is not None and field.rows.size * field.cols.size < size[0] * size[1]:
        boxes = [field.box(row, col) for row, col in zip(picks.row.tolist(), picks.col.tolist(), strict=True)]
        corner = Corner(torch.tensor([box.top for box in boxes]), torch.tensor([box.left for box in boxes]))
        size = (field.rows.size, field.cols.size)
    values = images.new_empty(len(picks.image), images.shape[1], *size)
    for part in watch(torch.arange(len(picks.image)).split(WHOLE)):
        signal = whole(Units(*(place[part] for place in picks)))
        values[part] = cut_regions(signal, torch.arange(len(part)), Corner(corner.top[part], corner.left[part]), size)
    return Projection(values, *corner)
