"""Nets whose linear layers slide as convolutions over larger images (OverFeat 2013, section 3.5; VGG, section 3.2).

The steps of the net run on larger maps as they are, up to the place where it flattens a map. There the map stays a
map, the linear layer above is a convolution of the size of the map, and the layers above that work at each position.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.axes import Axes
from convscope.engine.calls import Pair, Window
from convscope.engine.graph import read_graph
from convscope.engine.operations import ACTIVATION, BATCH_NORM, CLAMP, GATE, INERT, JOIN, MATRIX, PRODUCT, SUM
from convscope.engine.reach import SAME
from convscope.engine.regions import MapTensor
from convscope.engine.shape_steps import ReshapeStep
from convscope.engine.steps import Step
from convscope.engine.trace import PIXELS, ImageSize, trace
from convscope.engine.window_steps import SliceStep

_SINGLE = {ACTIVATION, CLAMP, GATE, INERT}  # value by value
_SEVERAL = {SUM, PRODUCT, JOIN}
Run = Callable[[Sequence[Tensor]], Tensor]


class SlidingUnits(NamedTuple):
    """A tensor [1, D] of the net as maps: the units for each window of a map, or the map before it is flattened.

    source: the flattened map. linear: whether a linear layer came after it.
    """

    source: MapTensor
    linear: bool

    @property
    def is_by_position(self) -> bool:
        """Whether the maps have one channel for each unit."""
        return self.linear or self.source.sides == (1, 1)


class SlidingStep(NamedTuple):
    """A step on maps of any size. run: its output of its inputs."""

    step: Step
    run: Run


class SlidingNet(NamedTuple):
    """steps: in order. output: number of the class scores. below_last: of the last linear layer's input; or None."""

    steps: list[SlidingStep]
    output: int
    below_last: int | None

    def run(self, images: Tensor, number: int) -> Tensor:
        """The tensor of this number [N, D] for images of any size, averaged over its positions."""
        values, used = {PIXELS: images}, {number}
        for step, _ in reversed(self.steps):
            if step.output.number in used:
                used.update(below.number for below in step.inputs)
        steps = [entry for entry in self.steps if entry.step.output.number in used]
        last_use = {below.number: step.output.number for step, _ in steps for below in step.inputs}
        for step, run in steps:
            values[step.output.number] = run([values[below.number] for below in step.inputs])
            if step.output.number == number:
                break
            for below in step.inputs:
                if last_use[below.number] == step.output.number:
                    values.pop(below.number, None)
        return values[number].mean((2, 3))


def read_sliding_net(net: nn.Module, image_size: ImageSize) -> SlidingNet | None:
    """The net as steps that slide; None where one of them depends on the size of the image, as global pooling does."""
    net_trace = trace(net, image_size)
    graph, output = read_graph(net_trace), net_trace.output
    if output is None or output in graph.obstacles:
        return None
    steps, units = list[SlidingStep](), dict[int, SlidingUnits]()
    for step in graph.below(output):
        run = _on_maps(step) if not any(below.number in units for below in step.inputs) else _on_units(step, units)
        if run is None:
            return None
        steps.append(SlidingStep(step, run))
        above = _units_above(step, units)
        if above is not None:
            units[step.output.number] = above
    if output not in units or not units[output].is_by_position:
        return None
    linear = [step.inputs[0].number for step, _ in steps if step.call.kind == MATRIX and step.output.number in units]
    return SlidingNet(steps, output, linear[-1] if linear else None)


def _units_above(step: Step, units: Mapping[int, SlidingUnits]) -> SlidingUnits | None:
    """What a step puts out of sliding units, or of a map that it flattens; None where it puts out maps."""
    below = units.get(step.inputs[0].number)
    if below is None:
        return SlidingUnits(step.inputs[0], linear=False) if _flattens(step) else None
    return below._replace(linear=below.linear or step.call.kind == MATRIX)


def _flattens(step: Step) -> bool:
    below = step.inputs[0]
    is_map = isinstance(step, ReshapeStep) and len(below.shape) == 4 and below.axes is not None
    return is_map and step.output.shape == (1, prod(below.shape[1:]))


def _on_maps(step: Step) -> Run | None:
    """A step below the place where the map is flattened, on larger maps; None where it depends on their size."""
    below = step.inputs[0]
    if (axes := below.axes) is None:
        return None
    if _flattens(step):
        return lambda values: values[0].movedim(axes, (2, 3))
    fits = isinstance(step.reach, Window) and step.output.axes is not None
    if not fits or any(other.sides != below.sides for other in step.inputs) or step.has_positions():
        return None
    if isinstance(step, ReshapeStep):
        return lambda values: values[0].reshape(step.output.region_shape(-1, _sides(values[0], axes)))
    if isinstance(step, SliceStep) and step.reach != SAME:
        return None  # rows and columns up to a number
    return step.whole


def _sides(values: Tensor, axes: Axes) -> Pair:
    return values.shape[axes[0]], values.shape[axes[1]]


def _on_units(step: Step, units: Mapping[int, SlidingUnits]) -> Run | None:
    """A step on sliding units; None for one that mixes them in another way than a linear layer."""
    below = [units.get(tensor.number) for tensor in step.inputs]
    first, kind = below[0], step.call.kind
    if first is None or any(other != first for other in below) or len(step.output.shape) != 2:
        return None
    if kind == MATRIX:
        return _convolution(step, first)
    if isinstance(step, ReshapeStep):
        return (lambda values: values[0]) if step.output.shape == step.inputs[0].shape else None
    tensors = [value for value in step.constants() if isinstance(value, Tensor)]
    by_unit = kind == BATCH_NORM or (kind == ACTIVATION and len(step.inputs) == 1)
    if by_unit and first.is_by_position:
        return step.whole
    if any(value.numel() > 1 for value in tensors):
        return None
    return step.whole if kind in _SINGLE or (kind in _SEVERAL and first.is_by_position) else None


def _convolution(step: Step, below: SlidingUnits) -> Run:
    """The linear layer as a convolution."""
    arguments = step.call.arguments()
    weight, axes = arguments["weight"], below.source.axes
    if below.linear or axes is None:
        filters = weight[:, :, None, None]
    else:
        filters = weight.view(len(weight), *below.source.shape[1:]).movedim(axes, (2, 3))
    return lambda values: F.conv2d(values[0], filters, arguments.get("bias"))
