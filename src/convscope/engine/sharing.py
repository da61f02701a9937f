"""The steps of a net that several crops of an image share, as many as give the least work.

Where the corner of a crop is a multiple of a tensor's stride, the crop's map is a part of the whole image's map except
for a border, where the crop's padding and its last windows differ. Where branches meet, the border is that of the
widest of them. A step that takes whole maps ends the sharing above it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.calls import Pair, Window
from convscope.engine.crop_maps import BorderPart, MapBox, border_parts
from convscope.engine.graph import read_graph
from convscope.engine.operations import (
    CONTRAST_NORM,
    CONVOLUTION,
    CUT,
    INDEX,
    INERT,
    MATRIX,
    MAX_POOL,
    MEAN_POOL,
    MOVE,
    SHAPE,
)
from convscope.engine.regions import MapTensor
from convscope.engine.shape_steps import ReshapeStep
from convscope.engine.steps import Step
from convscope.engine.trace import PIXELS, trace

_STRIPS = 1.5  # cost of a position in the border, relative to the middle: small pieces that are copied
_SLOW = 8  # multiplications of a convolution in the time that another call takes for one value
_START = 300_000  # multiplications for each image in the time that cutting and starting one part of a map takes
_PAYS = 0.05  # share of all work that sharing must save

Crop = Pair  # top, left: pixels of the whole image


class SharedSpan(NamedTuple):
    """Along one axis: position i of a crop's map, low <= i < high, equals position start + i of the whole's map."""

    start: int
    low: int
    high: int


class Sides(NamedTuple):
    """Positions along one axis of a crop's map and of the whole image's map, below a window and above it."""

    crop: int
    whole: int
    crop_above: int
    whole_above: int


SharedArea = tuple[SharedSpan, SharedSpan]  # rows, columns


class SharedStep(NamedTuple):
    """A step on a crop and on the whole image. areas: what each crop shares, None for nothing; parts: its border."""

    of_crop: Step
    of_whole: Step
    areas: list[SharedArea | None]
    parts: list[list[BorderPart]]


class Sharing(NamedTuple):
    """Steps that the crops share, steps of each crop alone, and steps above all maps, for all crops together.

    output: number of the class scores. last_use: by the number of a tensor that of the last step's output it is for.
    """

    crops: list[Crop]
    pixels: MapTensor
    shared: list[SharedStep]
    alone: list[Step]
    together: list[Step]
    output: int
    last_use: dict[int, int]


def share_steps(
    net: nn.Module, image_size: int, side: int, crops: Sequence[Crop], count: int | None = None
) -> Sharing | None:
    """The first `count` steps, for crops to share; by default as many as give the least work.

    None where sharing does not pay, and for a net whose steps do not lead to class scores.
    """
    net_trace = trace(net, image_size)
    graph, output = read_graph(net_trace), net_trace.output
    if output is None or output in graph.obstacles or len(graph.tensors[output].shape) != 2:
        return None
    steps = graph.below(output)
    shared = _shareable(steps, next(net.parameters()).new_empty(0), side, crops)
    saved = list(accumulate(map(_saved_work, shared), initial=0.0))
    if count is None:
        count = saved.index(max(saved))
        if side == image_size or saved[count] < _PAYS * len(crops) * sum(map(_work, steps)):
            return None
    last_use = {tensor.number: step.output.number for step in steps for tensor in step.inputs}
    alone, together = _split(steps, min(count, len(shared)), last_use)
    return Sharing(list(crops), graph.tensors[PIXELS], shared[:count], alone, together, output, last_use)


def _shareable(steps: Sequence[Step], like: Tensor, side: int, crops: Sequence[Crop]) -> list[SharedStep]:
    """The steps with what each of the crops shares, as far as any crop shares anything. like: a tensor of the net."""
    pixels = steps[0].inputs[0]
    wholes = {PIXELS: pixels._replace(shape=(*pixels.shape[:2], side, side))}
    height, width = pixels.sides
    areas: dict[int, list[SharedArea | None]] = {
        PIXELS: [(SharedSpan(top, 0, height), SharedSpan(left, 0, width)) for top, left in crops]
    }
    shared, last = list[SharedStep](), 0
    for step in steps:
        below = zip(*(areas[tensor.number] for tensor in step.inputs), strict=True)
        whole = _on_whole(step, wholes, like)
        above = [None if whole is None else _area_above(step, whole, of_crop) for of_crop in below]
        areas[step.output.number] = above
        if whole is not None:
            wholes[step.output.number] = whole.output
        shared.append(SharedStep(step, whole or step, above, [_border(step, area) for area in above]))
        last = len(shared) if any(above) else last
    return shared[:last]


def _on_whole(step: Step, wholes: Mapping[int, MapTensor], like: Tensor) -> Step | None:
    """The step on the whole image, for the tensors below; None for one whose values do not depend on windows alone."""
    inputs = tuple(wholes[tensor.number] for tensor in step.inputs if tensor.number in wholes)
    if len(inputs) < len(step.inputs) or not isinstance(step.reach, Window):
        return None
    if len({tensor.sides for tensor in step.inputs}) > 1 or step.has_positions():
        return None  # one value for all positions, or values of the net's own for each position
    if isinstance(step, ReshapeStep):
        shape = step.output.region_shape(1, inputs[0].sides)
    else:
        with torch.inference_mode():
            shape = tuple(step.whole([like.new_zeros(tensor.shape) for tensor in inputs]).shape)
    return replace(step, inputs=inputs, output=step.output._replace(shape=shape))


def _split(steps: list[Step], start: int, last_use: dict[int, int]) -> tuple[list[Step], list[Step]]:
    """The steps from `start` on: those up to the place where no tensor has positions, and those above it."""
    places = {step.output.number: place for place, step in enumerate(steps)}
    for place in range(start, len(steps)):
        taken = [tensor for step in steps[:place] for tensor in (*step.inputs, step.output)]
        in_use = [tensor for tensor in taken if places.get(last_use.get(tensor.number, -1), -1) >= place]
        if in_use and all(tensor.axes is None for tensor in in_use):
            return steps[start:place], steps[place:]
    return steps[start:], []


def _area_above(step: Step, whole: Step, below: Sequence[SharedArea | None]) -> SharedArea | None:
    """The shared area of a step's output for the areas of its inputs; None where there is none."""
    reach, areas = step.reach, [area for area in below if area is not None]
    if len(areas) < len(below) or not isinstance(reach, Window):
        return None
    spans = []
    for axis in (0, 1):
        sides = Sides(*(tensor.sides[axis] for tensor in (step.inputs[0], whole.inputs[0], step.output, whole.output)))
        spans.append(_common_span([span_above(area[axis], reach, axis, sides) for area in areas]))
    rows, cols = spans
    return (rows, cols) if rows and cols else None


def span_above(span: SharedSpan, window: Window, axis: int, sides: Sides) -> SharedSpan | None:
    """The shared span of the map above a window; None where crop and whole have different windows.

    A window is shared if all its positions are shared. At an edge of both crop and whole, the padding is shared too.
    """
    stride, padding, extent = window.stride[axis], window.padding[axis], window.extent()[axis]
    if span.start % stride:
        return None
    start = span.start // stride
    low = 0 if span.start == 0 == span.low else max(0, -(-(span.low + padding) // stride))
    at_the_end = span.high == sides.crop and span.start + sides.crop == sides.whole
    high = sides.crop_above if at_the_end else min(sides.crop_above, (span.high + padding - extent) // stride + 1)
    if low >= high or start + sides.crop_above > sides.whole_above:
        return None
    return SharedSpan(start, low, high)


def _common_span(spans: Sequence[SharedSpan | None]) -> SharedSpan | None:
    """What the spans of several inputs have in common."""
    common = [span for span in spans if span is not None]
    if len(common) < len(spans) or len({span.start for span in common}) > 1:
        return None
    low, high = max(span.low for span in common), min(span.high for span in common)
    return SharedSpan(common[0].start, low, high) if low < high else None


def _border(step: Step, area: SharedArea | None) -> list[BorderPart]:
    if area is None:
        return []
    rows, cols = area
    return border_parts(step, MapBox(rows.low, rows.high, cols.low, cols.high))


def _saved_work(step: SharedStep) -> float:
    """Work that crops save when they share a step."""
    if not any(step.areas):
        return 0
    positions, whole = prod(step.of_crop.output.sides), prod(step.of_whole.output.sides)
    shared = [(rows.high - rows.low) * (cols.high - cols.low) for rows, cols in filter(None, step.areas)]
    border = sum(positions - area for area in shared)
    cost = _work(step.of_crop) / positions
    return cost * (len(shared) * positions - whole - _STRIPS * border) - _START * sum(map(len, step.parts))


def _work(step: Step) -> float:
    """Multiplications of a convolution in the time of the step on a whole crop."""
    kind, values = step.call.kind, prod(step.output.shape)
    if kind == CONVOLUTION:
        inputs = step.inputs[0].shape[1] // step.call.arguments().get("groups", 1)
        return step.work * max(1, _SLOW / inputs) + values  # few channels at a time are slow
    if kind in (MAX_POOL, MEAN_POOL) and isinstance(step.reach, Window):
        return _SLOW * prod(step.reach.kernel) * values
    return step.work + _SLOW * _PASSES.get(kind, 1) * values


_PASSES = {CONTRAST_NORM: 10, MATRIX: 0, INERT: 0, SHAPE: 0, CUT: 0, INDEX: 0, MOVE: 0}  # over the values
