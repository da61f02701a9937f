"""The deconvnet on the graph of a net: the same values as over the whole image, for a fraction of the work.

The signal of a unit never leaves its receptive field. So of each tensor of the graph only the region on which the unit
depends is computed; where branches meet, it is around the regions of all of them. The way down needs the forward pass
only for the switches of max pools (by the other rules than `deconvnet` for the slopes of activations too), so the
forward pass goes no further than these. Many units of many images are projected together, each in its own regions.
Units near the same border go together, because their regions are of one size.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.activations import bounded_activation
from convscope.engine.autograd_activations import relu_modules
from convscope.engine.deconvnet import Units, check_rule, project
from convscope.engine.graph import read_graph
from convscope.engine.reach import SAME
from convscope.engine.receptive_fields import Field, follow
from convscope.engine.regions import MapTensor, Regions, Span, around, cut_regions, recut, whole_map
from convscope.engine.steps import Place, Step
from convscope.engine.trace import PIXELS, Trace, trace

AREA = 160_000  # pixels at a time; ZFNet takes about 1 KiB for each
WHOLE = 16  # projections over a whole image at a time

# Yields the parts of the work one by one, as a progress bar does.
Watch = Callable[[Sequence[Tensor]], Iterable[Tensor]]


class Projection(NamedTuple):
    """values [P, 3, h, w]: in boxes that start at the pixels top, left [P] of the images; 0 outside the image."""

    values: Tensor
    top: Tensor
    left: Tensor

    @property
    def boxes(self) -> Regions:
        """The boxes as regions of the images."""
        height, width = self.values.shape[-2:]
        return Regions(Span(self.top, height), Span(self.left, width))


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
    an operation below the layer needs whole images, units are projected over these first. Raises UserError as
    `project`.
    """
    check_rule(rule)
    net_trace = trace(net, tuple(images.shape[1:]))
    output = net_trace.layer(layer).output
    units = Units(*(index.cpu().long() for index in units))
    boxes = _field_boxes(follow(net_trace).get(output), units, (images.shape[2], images.shape[3]))
    graph = read_graph(net_trace, _top(net_trace, layer), relu_modules(net, net_trace))
    if output in graph.obstacles:
        whole = functools.partial(project, net, images, layer, rule=rule, chunk=WHOLE)
        return _from_whole(whole, images, units, boxes, watch)
    descent = Descent(graph.below(output), graph.tensors[output], rule)
    with torch.inference_mode(False), torch.no_grad():
        values = images.new_zeros(len(units.image), images.shape[1], *boxes.size)
        for part in watch(_neighbors(units, chunk or max(1, AREA // (boxes.size[0] * boxes.size[1])))):
            signal, region = descent.run(images, Units(*(index[part] for index in units)))
            values[part.to(values.device)] = recut(signal, region, boxes.of(part))
    return Projection(values, boxes.rows.start, boxes.cols.start)


def patches(images: Tensor, units: Units, projection: Projection, fill: float = 0) -> Tensor:
    """Patches [P, C, h, w] of the images [N, C, H, W] in the boxes of a projection, with `fill` outside the images."""
    return cut_regions(images, units.image, projection.boxes, fill)


def _field_boxes(field: Field | None, units: Units, image: tuple[int, int]) -> Regions:
    """The receptive fields of the units, or the whole image where they are no smaller."""
    if field is None or field.rows.size * field.cols.size >= image[0] * image[1]:
        return whole_map(len(units.image), image)
    places = zip(field, (units.row, units.col), strict=True)
    return Regions(*(Span(axis.start + place * axis.stride, axis.size) for axis, place in places))


def _top(net_trace: Trace, layer: str) -> Any:
    bound = bounded_activation(net_trace, layer)
    return None if bound is None else bound.call


class Descent(NamedTuple):
    """The way from the pixels to a layer and back by a rule. steps: below the layer's output, in order."""

    steps: list[Step]
    output: MapTensor
    rule: str

    def run(self, images: Tensor, units: Units) -> tuple[Tensor, Regions]:
        """Projections [p, C, h, w] of p units, and their regions of the images."""
        regions, places = self._regions(units, (images.shape[2], images.shape[3]))
        memories = self._up(images, units, regions, places)
        seed = images.new_zeros(len(units.map), *self.output.region_shape(1, regions[self.output.number].size)[1:])
        seed = _set_units_(seed, self.output, units, regions[self.output.number])
        return self._down(seed, memories, regions, places), regions[PIXELS]

    def _regions(self, units: Units, image: tuple[int, int]) -> tuple[dict[int, Regions], list[Place]]:
        """The region of each tensor on which the units depend, by number, and the place of each step."""
        unit = Regions(Span(units.row, 1), Span(units.col, 1))
        needed: dict[int, list[Regions]] = {self.output.number: [unit]}
        regions, places = dict[int, Regions](), list[Place]()
        for step in reversed(self.steps):
            number = step.output.number
            whole = step.reach is None
            regions[number] = (
                whole_map(len(units.row), step.output.sides)
                if whole
                else around(needed[number]).trimmed(step.output.sides)
            )
            place = step.place(regions[number])
            places.append(place)
            for below, area in zip(step.inputs, place.areas, strict=True):
                needed.setdefault(below.number, []).append(area)
        regions[PIXELS] = around(needed[PIXELS]).trimmed(image)
        return regions, places[::-1]

    def _up(self, images: Tensor, units: Units, regions: dict[int, Regions], places: list[Place]) -> list[Any]:
        """The memory of each step; runs forward only as far as a step remembers."""
        wanted = self._wanted()
        run = [at for at, step in enumerate(self.steps) if self._runs(step, wanted)]
        last_use = {below.number: at for at in run for below in self.steps[at].inputs}
        memories: list[Any] = [None] * len(self.steps)
        values: dict[int, Tensor] = {}
        owned = set[int]()  # tensors that share no memory with others
        if PIXELS in wanted:
            values[PIXELS] = cut_regions(images, units.image, regions[PIXELS])
        for at, (step, place) in enumerate(zip(self.steps, places, strict=True)):
            if not self._runs(step, wanted):
                continue
            if step.reach != SAME:  # a position outside the map is seen by windows inside it
                for below in step.inputs:
                    below.fill_outside_(values[below.number], regions[below.number], step.fill)
            areas = [
                below.recut(values[below.number], regions[below.number], area, step.fill)
                for below, area in zip(step.inputs, place.areas, strict=True)
            ]
            dropped = {below.number for below in step.inputs if last_use[below.number] == at}
            for number in dropped:
                del values[number]
            if step.remembers(self.rule):
                value, memories[at] = step.up(areas, place, self.rule)
                owned -= {below.number for below in step.inputs}
            elif len(dropped) == len(areas) and dropped <= owned:
                value = step.compute(areas, place)
            else:
                value = step.run(areas, place)
            if step.fill:  # a pool whose window is outside the map puts out its fill
                step.output.fill_outside_(value, place.region, 0)
            if step.makes_new:
                owned.add(step.output.number)
            if step.output.number in wanted:
                values[step.output.number] = value
        return memories

    def _runs(self, step: Step, wanted: set[int]) -> bool:
        return step.output.number in wanted or step.remembers(self.rule)

    def _wanted(self) -> set[int]:
        """Tensors whose values are needed."""
        wanted = set[int]()
        for step in reversed(self.steps):
            if self._runs(step, wanted):
                wanted.update(below.number for below in step.inputs)
        return wanted

    def _down(self, seed: Tensor, memories: list[Any], regions: dict[int, Regions], places: list[Place]) -> Tensor:
        signals = {self.output.number: seed}
        for step, place in zip(reversed(self.steps), reversed(places), strict=True):
            signal = signals.pop(step.output.number)
            below_signals = step.down(signal, memories.pop(), place, self.rule)
            for below, area, part in zip(step.inputs, place.areas, below_signals, strict=True):
                part = below.recut(part, area, regions[below.number])
                if step.reach != SAME:
                    part = below.fill_outside_(part, regions[below.number], 0)
                signals[below.number] = signals[below.number] + part if below.number in signals else part
        return signals[PIXELS]


def _set_units_(seed: Tensor, output: MapTensor, units: Units, region: Regions) -> Tensor:
    """Sets the value of each unit in its region to 1."""
    maps = seed if output.axes is None else seed.movedim(output.axes, (-2, -1))
    index = [torch.arange(len(units.map)), units.map]
    if output.axes is not None:
        index += [units.row - region.rows.start, units.col - region.cols.start]
    maps[tuple(axis.to(seed.device) for axis in index)] = 1
    return seed


def _neighbors(units: Units, chunk: int) -> list[Tensor]:
    """Indices of the units in parts of `chunk`, with units of about the same position together."""
    bands = units.row.argsort(stable=True).split(4 * chunk)
    parts = [part for band in bands for part in band[units.col[band].argsort(stable=True)].split(chunk)]
    return [part for part in parts if len(part)]


def _from_whole(
    whole: Callable[[Units], Tensor], images: Tensor, units: Units, boxes: Regions, watch: Watch
) -> Projection:
    """Projections over the whole image, cut to the boxes."""
    values = images.new_empty(len(units.image), images.shape[1], *boxes.size)
    for part in watch(torch.arange(len(units.image)).split(WHOLE)):
        signal = whole(Units(*(index[part] for index in units)))
        values[part.to(values.device)] = cut_regions(signal, torch.arange(len(part)), boxes.of(part))
    return Projection(values, boxes.rows.start, boxes.cols.start)
