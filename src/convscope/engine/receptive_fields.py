"""Receptive fields: the pixels on which a unit of a layer can depend, for any weights.

The fields are followed from the pixels through every call of a trace. Where branches meet, the field is the union of
theirs. Calls that mix all positions (linear layers, global pooling, squeeze-and-excitation gates), and calls that are
not in the table of operations, have the whole image as their field.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from convscope.engine.axes import position_axes
from convscope.engine.calls import Window
from convscope.engine.operations import CONSTANT
from convscope.engine.reach import Reach, reach_of
from convscope.engine.regions import MapTensor
from convscope.engine.trace import PIXELS, ImageSize, Trace, trace


class AxisField(NamedTuple):
    """Fields along one axis: that of unit i is the `size` pixels from start + i * stride on."""

    size: int
    stride: int
    start: int


class Box(NamedTuple):
    """Pixels top .. top + height - 1, left .. left + width - 1; may extend over the image."""

    top: int
    left: int
    height: int
    width: int


class Field(NamedTuple):
    """Receptive fields of all units of a layer."""

    rows: AxisField
    cols: AxisField

    def box(self, row: int, col: int) -> Box:
        """Receptive field of the unit at this position of the map."""
        (height, down, top), (width, across, left) = self.rows, self.cols
        return Box(top + row * down, left + col * across, height, width)


_PIXEL = AxisField(1, 1, 0)


def fields(net: nn.Module, image_size: ImageSize) -> dict[str, Field | None]:
    """Receptive field of every layer by module path, for images of this size; None: the whole image.

    Raises UserError as `trace` does.
    """
    net_trace = trace(net, image_size)
    tensor_fields = follow(net_trace)
    return {path: tensor_fields.get(layer.output) for path, layer in net_trace.layers.items()}


def follow(net_trace: Trace) -> dict[int, Field | None]:
    """Field of each tensor that depends on the image, by tensor number; None: the whole image."""
    axes, shapes = position_axes(net_trace), net_trace.shapes
    tensor_fields: dict[int, Field | None] = {PIXELS: Field(_PIXEL, _PIXEL)}
    for call in net_trace.calls:
        numbers = [number for number in call.inputs if number in tensor_fields]
        if not numbers or call.kind == CONSTANT:
            continue
        inputs = [MapTensor(number, shapes[number], axes.get(number)) for number in numbers]
        below = [tensor_fields[number] for number in numbers]
        for number in call.outputs:
            output = MapTensor(number, shapes[number], axes.get(number))
            tensor_fields[number] = _field_above(reach_of(call, inputs, output, shapes), inputs, below)
            if any(tensor.sides != inputs[0].sides for tensor in inputs):
                tensor_fields[number] = None
    return tensor_fields


def _field_above(reach: Reach | None, inputs: list[MapTensor], below: list[Field | None]) -> Field | None:
    """The field above a call; None where it depends on all positions, or fields differ from unit to unit."""
    fields = [field for field in below if field is not None]
    if not isinstance(reach, Window) or len(fields) < len(below) or any(tensor.axes is None for tensor in inputs):
        return None
    spans = [_union(axis) for axis in zip(*fields, strict=True)]  # rows of all inputs, then columns of all inputs
    if any(span is None for span in spans):
        return None
    rows, cols = (_windowed(span, reach, axis) for axis, span in enumerate(spans) if span is not None)
    return Field(rows, cols)


def _union(spans: Sequence[AxisField]) -> AxisField | None:
    """Smallest fields that hold those of all inputs; None where the strides differ."""
    if len({span.stride for span in spans}) > 1:
        return None
    start = min(span.start for span in spans)
    return AxisField(max(span.start + span.size for span in spans) - start, spans[0].stride, start)


def _windowed(span: AxisField, reach: Window, axis: int) -> AxisField:
    """Fields above a window."""
    stride = span.stride * reach.stride[axis]
    start = span.start - span.stride * reach.padding[axis]
    return AxisField(span.size + span.stride * (reach.extent()[axis] - 1), stride, start)
