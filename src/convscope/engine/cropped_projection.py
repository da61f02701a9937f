"""The deconvnet within the receptive field: the same values as over the whole image, for a fraction of the work.

The signal of a unit never leaves its receptive field, and the backward pass needs the forward pass only for the
switches. So many units of many images are projected together, each in its own region of every map. Positions outside a
map are set to the padding's value before each step up and to 0 after each step down. Units near the same border go
together, because then less of the regions is outside.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.calls import Pair
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

AREA = 160_000  # pixels at a time; ZFNet takes about 1 KiB for each
WHOLE = 16  # projections over a whole image at a time

# Yields the parts of the work one by one, as a progress bar does.
Watch = Callable[[Sequence[Tensor]], Iterable[Tensor]]


class Projection(NamedTuple):
    """values [P, 3, h, w]: in boxes that start at the pixels top, left [P] of the images; 0 outside the image."""

    values: Tensor
    top: Tensor
    left: Tensor


def project_fields(
    net: nn.Module,
    images: Tensor,
    layer: str,
    units: Units,
    rule: str = "deconvnet",
    chunk: int | None = None,
    watch: Watch = iter,
) -> Projection:
    """Projections as `project` makes them, cut to the receptive fields, or of whole images where fields are no smaller.

    chunk: units at a time; None: as many as suit their field. watch: yields the parts, such as a progress bar. Where
    the net branches below the layer, units are projected over the whole image first. Raises UserError as `project`.
    """
    check_rule(rule)
    net_trace = trace(net, tuple(images.shape[1:]))
    output = net_trace.layer(layer).output
    units = Units(*(index.cpu() for index in units))
    steps = read_steps(net_trace, layer, rule)
    if steps is None:
        field = follow(net_trace).get(output, IMAGE).field
        whole = functools.partial(project, net, images, layer, rule=rule, chunk=WHOLE)
        return _from_whole(whole, images, units, field, watch)
    sizes = [net_trace.shapes[step.call.inputs[0]][2:] for step in steps]
    descent = Descent(steps, [(size[0], size[1]) for size in sizes], net_trace.shapes[output])
    corner, size = field_regions([step.window for step in steps], descent.maps[0], units)
    values = images.new_zeros(len(units.image), images.shape[1], *size)
    with torch.no_grad():
        for part in watch(_neighbors(units, chunk or max(1, AREA // (size[0] * size[1])))):
            signal, regions = descent.run(images, Units(*(index[part] for index in units)))
            place = Corner(regions.corner.top - corner.top[part], regions.corner.left - corner.left[part])
            values[part.to(values.device)] = paste_regions(signal, place, size)
    return Projection(values, *corner)


def patches(images: Tensor, units: Units, projection: Projection, fill: float = 0) -> Tensor:
    """Patches [P, C, h, w] of the images [N, C, H, W] in the boxes of a projection, with `fill` outside the images."""
    height, width = projection.values.shape[-2:]
    return cut_regions(images, units.image, Corner(projection.top, projection.left), (height, width), fill)


class Descent(NamedTuple):
    """The way from the pixels to a layer. maps: rows and columns of each step's input. output: the layer's shape."""

    steps: list[Step]
    maps: list[Pair]
    output: tuple[int, ...]

    def run(self, images: Tensor, units: Units) -> tuple[Tensor, Regions]:
        """Projections [p, 3, h, w] of p units, and their regions of the images."""
        windows = [step.window for step in self.steps]
        levels = regions_below(windows, self.maps, units, (self.output[2], self.output[3]))
        memories = self._up(images, units, levels)
        signal = F.one_hot(units.map.to(images.device), self.output[1])[:, :, None, None].to(images.dtype)
        return self._down(signal, units, levels, memories), levels[0]

    def _up(self, images: Tensor, units: Units, levels: list[Regions]) -> list[Any]:
        """The memory of each step; runs forward only up to the last step that remembers."""
        last = max((number for number, step in enumerate(self.steps) if step.remembers), default=-1)
        memories: list[Any] = [None] * len(self.steps)
        x = cut_regions(images, units.image, levels[0].corner, levels[0].size) if last >= 0 else images
        for number, step in enumerate(self.steps[: last + 1]):
            level, above = levels[number], levels[number + 1]
            after_pool = number > 0 and isinstance(self.steps[number - 1], PoolStep)
            # A pool puts out -inf where its whole window is outside.
            if not level.whole and (step.window or after_pool):
                x = fill_outside_(x, level.corner, level.map, step.fill)
            if step.window and not above.whole:
                x = _surrounded(x, level, above.below(step.window), step.fill)
            x, memories[number] = step.up(x, above.whole)
        return memories

    def _down(self, signal: Tensor, units: Units, levels: list[Regions], memories: list[Any]) -> Tensor:
        single = True  # down to the first window only the unit's own map holds a signal
        for number in reversed(range(len(self.steps))):
            step, level, above = self.steps[number], levels[number], levels[number + 1]
            if single and isinstance(step, ConvStep):
                signal = step.down_unit(signal, units.map.to(signal.device))
            else:
                signal = step.down(signal, memories[number], level.size, above.whole)
            if step.window and not above.whole:
                single = False
                signal = _trimmed(signal, level, above.below(step.window))
        return signal


def _surrounded(x: Tensor, level: Regions, area: tuple[Corner, Pair], fill: float) -> Tensor:
    """All of the area on which the regions above depend, with `fill` outside the maps."""
    corner, size = area
    if level.whole:
        return cut_regions(x, torch.arange(len(x)), corner, size, fill)
    top, left = level.inset(corner)
    around = (left, size[1] - left - level.size[1], top, size[0] - top - level.size[0])
    return F.pad(x, around, value=fill) if any(around) else x


def _trimmed(signal: Tensor, level: Regions, area: tuple[Corner, Pair]) -> Tensor:
    """The signal of the area cut to the regions of the level, with 0 outside the maps; undoes `_surrounded`."""
    corner, size = area
    if level.whole:
        return paste_regions(signal, corner, level.map)
    if level.size != size:
        top, left = level.inset(corner)
        signal = signal[:, :, top : top + level.size[0], left : left + level.size[1]]
        signal = signal.contiguous(memory_format=torch.channels_last)
    return fill_outside_(signal, level.corner, level.map)


def _neighbors(units: Units, chunk: int) -> list[Tensor]:
    """Indices of the units in parts of `chunk`, with units of about the same position together."""
    bands = units.row.argsort(stable=True).split(4 * chunk)
    parts = [part for band in bands for part in band[units.col[band].argsort(stable=True)].split(chunk)]
    return [part for part in parts if len(part)]


def _from_whole(
    whole: Callable[[Units], Tensor], images: Tensor, units: Units, field: Field | None, watch: Watch
) -> Projection:
    """Projections over the whole image, cut to the field where it is smaller."""
    corner, size = Corner(torch.zeros_like(units.row), torch.zeros_like(units.col)), (images.shape[2], images.shape[3])
    if field is not None and field.rows.size * field.cols.size < size[0] * size[1]:
        boxes = [field.box(row, col) for row, col in zip(units.row.tolist(), units.col.tolist(), strict=True)]
        corner = Corner(torch.tensor([box.top for box in boxes]), torch.tensor([box.left for box in boxes]))
        size = (field.rows.size, field.cols.size)
    values = images.new_empty(len(units.image), images.shape[1], *size)
    for part in watch(torch.arange(len(units.image)).split(WHOLE)):
        signal = whole(Units(*(index[part] for index in units)))
        values[part] = cut_regions(signal, torch.arange(len(part)), Corner(corner.top[part], corner.left[part]), size)
    return Projection(values, *corner)
