"""Steps of a traced graph: each call on whole maps or on regions of them, and its way down by the rule of a projection.

A step takes for each of its inputs the area on which a region of its output depends, padding included, and computes
that region. Down it takes the signal of the region and gives that of each area.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convscope.engine.activations import activation_bounds, slope, slopes_open_at_bound
from convscope.engine.calls import Call, Ref, leaves, map_leaves
from convscope.engine.operations import (
    ACTIVATION,
    CLAMP,
    CONVOLUTION,
    GATE,
    INDEX,
    INERT,
    JOIN,
    LINEAR,
    MATRIX,
    PAD,
    POWER,
    PRODUCT,
    SUM,
    VIEWS,
)
from convscope.engine.reach import SAME, Reach, span_below
from convscope.engine.regions import MapTensor, Regions, Shape, whole_map

_BROADCAST = {CLAMP, POWER, PRODUCT, SUM}  # their operands may be tensors that have a value for each position


class Place(NamedTuple):
    """The regions of a step's output, and for each input the areas on which they depend."""

    region: Regions
    areas: tuple[Regions, ...]


@dataclass(frozen=True)
class Step:
    """A call with one output. inputs: the tensors it takes that depend on the image.

    reach: on which positions of its inputs a position depends; None: on all of them. fixed: tensors of the pass that do
    not depend on the image, by number. work: multiplications for the whole output. fill: value outside the maps.
    """

    call: Call
    inputs: tuple[MapTensor, ...]
    output: MapTensor
    reach: Reach | None
    fixed: Mapping[int, Tensor]
    work: int = 0
    fill: float = 0.0

    def area(self, index: int, region: Regions) -> Regions:
        """The area of an input on which a region of the output depends; may extend over the map."""
        below = self.inputs[index]
        broadcast = below.sides != self.output.sides and self.reach == SAME and self.call.kind not in (INDEX, PAD)
        if self.reach is None or broadcast:
            return whole_map(len(region.rows.start), below.sides)
        rows, cols = (span_below(self.reach, span, axis, below.sides[axis]) for axis, span in enumerate(region))
        return Regions(rows, cols)

    def place(self, region: Regions) -> Place:
        return Place(region, tuple(self.area(index, region) for index in range(len(self.inputs))))

    def remembers(self, rule: str) -> bool:
        """Whether the way down needs values of the forward pass."""
        if self.call.kind != PRODUCT:
            return self.call.kind not in LINEAR
        factors = [self._of_image(leaf) for leaf in (*self.call.args, *self.call.kwargs.values())]
        return sum(factors) > 1 or ("div" in self.call.name and not factors[0])

    def _of_image(self, leaf: Any) -> bool:
        return isinstance(leaf, Ref) and leaf.number not in self.fixed

    def _value(self, leaf: Any) -> Any:
        """The value of an argument that does not depend on the image."""
        return self.fixed[leaf.number] if isinstance(leaf, Ref) else leaf

    @property
    def makes_new(self) -> bool:
        """Whether the output shares no memory with other tensors that are still needed."""
        return self.call.kind not in VIEWS

    def run(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        """The output in its regions; the areas stay as they are."""
        return self.compute([area.clone() for area in areas] if is_in_place(self.call) else areas, place)

    def compute(self, areas: Sequence[Tensor], place: Place) -> Tensor:
        """The output in its regions; a call in place writes over its area."""
        values = dict(zip((below.number for below in self.inputs), areas, strict=True))
        args, kwargs = map_leaves((self.call.args, self.call.kwargs), lambda leaf: self._operand(leaf, values, place))
        return self.call.func(*args, **kwargs)

    def whole(self, maps: Sequence[Tensor]) -> Tensor:
        """The output for whole inputs of any number of images; a call in place writes over them."""
        values = dict(zip((below.number for below in self.inputs), maps, strict=True))
        arguments = self.call.args, self.call.kwargs
        args, kwargs = map_leaves(
            arguments, lambda leaf: values[leaf.number] if self._of_image(leaf) else self._value(leaf)
        )
        return self.call.func(*args, **kwargs)

    def constants(self) -> list[Any]:
        """The arguments that do not depend on the image."""
        arguments = leaves([*self.call.args, *self.call.kwargs.values()])
        return [self._value(leaf) for leaf in arguments if not self._of_image(leaf)]

    def has_positions(self) -> bool:
        """Whether an argument that does not depend on the image has a value of its own for each position."""
        return any(map(self._has_positions, self.constants()))

    def _has_positions(self, leaf: Any) -> bool:
        if self.call.kind not in _BROADCAST | {JOIN} or not isinstance(leaf, Tensor) or self.output.axes is None:
            return False
        axes = [axis - len(self.output.shape) for axis in self.output.axes]
        return any(axis >= -leaf.dim() and leaf.shape[axis] != 1 for axis in axes)

    def _operand(self, leaf: Any, values: Mapping[int, Tensor], place: Place) -> Any:
        """The value of an argument of the call, cut to the region where it has a value for each position."""
        if isinstance(leaf, Ref) and leaf.number in values:
            return values[leaf.number]
        leaf = self._value(leaf)
        if not self._has_positions(leaf):
            return leaf
        whole = leaf.expand(self.output.region_shape(len(place.region.rows.start), self.output.sides))
        return self.output.recut(whole, whole_map(len(whole), self.output.sides), place.region)

    def up(self, areas: Sequence[Tensor], place: Place, rule: str) -> tuple[Tensor, Any]:
        """The output in its regions, and the memory for `down`."""
        return self.run(areas, place), list(areas)

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        """The signal in the area of each input, by the derivative of the call. memory: None where none is needed."""
        with torch.inference_mode(False), torch.enable_grad():
            areas = memory or [
                signal.new_zeros(below.region_shape(len(signal), area.size))
                for below, area in zip(self.inputs, place.areas, strict=True)
            ]
            areas = [area.detach().requires_grad_() for area in areas]
            return list(torch.autograd.grad(self.run(areas, place), areas, signal))


@dataclass(frozen=True)
class PassStep(Step):
    """A call that lets the signal pass unchanged, such as contrast normalization."""

    def remembers(self, rule: str) -> bool:
        return False

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        return [signal]


@dataclass(frozen=True)
class SumStep(PassStep):
    """A sum of maps of one shape: the signal goes to all of them."""

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        return [signal] * len(self.inputs)


@dataclass(frozen=True)
class MatrixStep(Step):
    """A linear layer over the last dimension."""

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        return [signal @ self._value(self.call.arguments()["weight"])]


@dataclass(frozen=True)
class BatchNormStep(Step):
    """Batch normalization in eval mode: the signal is multiplied by its scale."""

    def remembers(self, rule: str) -> bool:
        return False

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        arguments = self.call.arguments()
        variance, weight = self._value(arguments["running_var"]), self._value(arguments.get("weight"))
        scale = (variance + arguments.get("eps", 1e-5)).rsqrt()
        scale = scale if weight is None else scale * weight
        return [signal * scale.detach().view(-1, *[1] * (signal.dim() - 2))]


@dataclass(frozen=True)
class ActivationStep(Step):
    """An activation, with the rule as its way down. top: whether it bounds the projected layer from above."""

    top: bool = False

    def remembers(self, rule: str) -> bool:
        return rule != "deconvnet"

    def up(self, areas: Sequence[Tensor], place: Place, rule: str) -> tuple[Tensor, Any]:
        x = areas[0]
        limits = activation_bounds(self.call) if self.top or rule == "guided" else None
        slopes = slopes_open_at_bound(slope(self.call.again, x), x, limits) if self.remembers(rule) else None
        return self.run(areas, place), slopes

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        return [backward_by_rule(rule, signal, memory)]


@dataclass(frozen=True)
class GateStep(Step):
    """The bounded function at the end of the projected layer (sigmoid, tanh): its derivative, open at the bound."""

    def remembers(self, rule: str) -> bool:
        return True

    def up(self, areas: Sequence[Tensor], place: Place, rule: str) -> tuple[Tensor, Any]:
        x = areas[0]
        return self.run(areas, place), slopes_open_at_bound(slope(self.call.again, x), x, activation_bounds(self.call))

    def down(self, signal: Tensor, memory: Any, place: Place, rule: str) -> list[Tensor]:
        return [signal * memory]


def backward_by_rule(rule: str, signal: Tensor, slopes: Tensor | None) -> Tensor:
    """The signal below an activation. slopes: its derivative in the forward pass, unused by `deconvnet`."""
    signal = signal if rule == "gradient" else signal.relu()
    return signal if slopes is None else signal * slopes


def is_in_place(call: Call) -> bool:
    """Whether a call writes over its input."""
    name = call.name
    if name.startswith("__i") and name.endswith("__"):
        return True
    last = call.args[-1] if call.args and call.kind in (ACTIVATION, GATE, INERT) else False
    flag = call.kwargs.get("inplace", last)
    return (name.endswith("_") and not name.endswith("__")) or flag is True


def multiplications(call: Call, shapes: Mapping[int, Shape]) -> int:
    """Multiplications of a convolution or a linear layer; 0 for other calls."""
    weight = call.arguments().get("weight") if call.kind in (CONVOLUTION, MATRIX) else None
    if weight is None:
        return 0
    shape = shapes[weight.number] if isinstance(weight, Ref) else weight.shape
    return prod(shapes[call.outputs[0]]) * prod(shape[1:])
