"""Receptive fields: the pixels on which a unit of a layer can depend, for any weights.

The fields are followed from the pixels through every call of a trace. Where branches meet, the field is the union of
theirs. Calls that mix all positions (linear layers, global pooling, squeeze-and-excitation gates), and calls that are
not in the tables here, have the whole image as their field.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from convscope.engine.calls import ACTIVATIONS, CLAMPS, Call, Ref, Window, window_of
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


class UnitFields(NamedTuple):
    """Field of a tensor's units (None: the whole image), and the dimensions that are rows and columns."""

    field: Field | None
    axes: tuple[int, int] = (2, 3)


IMAGE = UnitFields(None)
_PIXEL = AxisField(1, 1, 0)
_NAMES = """
    rrelu hardsigmoid sigmoid sigmoid_ tanh tanh_ clamp_max clamp_max_ masked_fill masked_fill_ gt __gt__ ge __ge__ lt
    __lt__ le __le__ sign
    local_response_norm batch_norm dropout dropout_ dropout2d feature_dropout alpha_dropout
    add add_ __add__ __iadd__ __radd__ sub sub_ __sub__ __isub__ __rsub__ mul mul_ __mul__ __imul__ __rmul__
    div div_ __truediv__ __itruediv__ abs exp log neg pow __pow__ sqrt square maximum minimum fmax where
    contiguous clone detach to float double half bfloat16 type_as
"""
_SAME_PLACE = ACTIVATIONS | CLAMPS | set(_NAMES.split())
_CONSTANT = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_tensor"}


def fields(net: nn.Module, image_size: ImageSize) -> dict[str, Field | None]:
    """Receptive field of every layer by module path, for images of this size; None: the whole image.

    Raises UserError as `trace` does.
    """
    net_trace = trace(net, image_size)
    tensor_fields = follow(net_trace)
    return {path: tensor_fields.get(layer.output, IMAGE).field for path, layer in net_trace.layers.items()}


def follow(net_trace: Trace) -> dict[int, UnitFields]:
    """Fields of each tensor, by tensor number, without tensors that do not depend on the image."""
    tensor_fields = {PIXELS: UnitFields(Field(_PIXEL, _PIXEL))}
    for call in net_trace.calls:
        inputs = {number: tensor_fields[number] for number in call.inputs if number in tensor_fields}
        if inputs and call.name not in _CONSTANT:
            for number in call.outputs:
                tensor_fields[number] = _step(call, inputs, number, net_trace.shapes)
    return tensor_fields


def _step(call: Call, inputs: dict[int, UnitFields], output: int, shapes: Mapping[int, tuple[int, ...]]) -> UnitFields:
    number, first = next(iter(inputs.items()))
    if any(units.field is None or units.axes != first.axes for units in inputs.values()):
        return IMAGE
    before, after, rows_cols = shapes[number], shapes[output], first.axes
    if (shape := window_of(call, shapes)) is not None:
        return _windowed(shape, list(inputs.values())) if rows_cols == (2, 3) and len(before) == 4 else IMAGE
    if call.name in _SAME_PLACE or _compares(call) or _sets(call, shapes):
        tensors = (*inputs, output)
        same = all(len(shapes[tensor]) == len(before) for tensor in tensors)
        sizes = {tuple(shapes[tensor][axis] for axis in rows_cols) for tensor in tensors} if same else set()
        return _union(list(inputs.values())) if len(sizes) == 1 else IMAGE
    if call.name == "cat":
        dim = call.arguments().get("dim", 0) % len(after)
        return _union(list(inputs.values())) if dim not in rows_cols else IMAGE
    return _rearranged(call, first, before, after) if len(inputs) == 1 else IMAGE


def _compares(call: Call) -> bool:
    """Whether the call is max(x, y) of two tensors, and not the maximum over a dimension."""
    second = call.kwargs.get("other", call.args[1] if len(call.args) > 1 else None)
    return call.name in ("max", "min") and isinstance(second, Ref | Tensor)


def _sets(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> bool:
    """Whether the call is x[mask] = number, with a mask of the shape of x."""
    if call.name != "__setitem__" or not isinstance(call.args[1], Ref):
        return False
    return shapes[call.args[1].number] == shapes[call.outputs[0]] and not isinstance(call.args[2], Ref)


def _windowed(shape: Window, inputs: list[UnitFields]) -> UnitFields:
    """Fields above a convolution or a pool; the whole image where a convolution's filters depend on the image."""
    if len(inputs) > 1 or inputs[0].field is None:
        return IMAGE
    rows, cols = (
        AxisField(span.size + span.stride * (extent - 1), span.stride * stride, span.start - span.stride * padding)
        for span, extent, stride, padding in zip(
            inputs[0].field, shape.extent(), shape.stride, shape.padding, strict=True
        )
    )
    return UnitFields(Field(rows, cols))


def _union(inputs: list[UnitFields]) -> UnitFields:
    """Smallest fields that hold those of all inputs; the whole image where the strides differ."""
    fields = [units.field for units in inputs if units.field is not None]
    spans = []
    for axis in zip(*fields, strict=True):  # rows of all inputs, then columns of all inputs
        if len({span.stride for span in axis}) > 1:
            return IMAGE
        start = min(span.start for span in axis)
        spans.append(AxisField(max(span.start + span.size for span in axis) - start, axis[0].stride, start))
    return UnitFields(Field(*spans), inputs[0].axes)


def _rearranged(call: Call, units: UnitFields, before: tuple[int, ...], after: tuple[int, ...]) -> UnitFields:
    """Fields above a call that moves, cuts or mixes channels and leaves positions as they are; else the whole image."""
    rows, cols = units.axes
    last_two = units.axes == (len(before) - 2, len(before) - 1)
    match call.name:
        case "view" | "reshape" if last_two and len(after) > 2 and after[-2:] == before[-2:]:
            return UnitFields(units.field, (len(after) - 2, len(after) - 1))
        case "adaptive_avg_pool2d" | "adaptive_max_pool2d" if before[-2:] == after[-2:]:
            return units
        case "permute":
            order = call.args[1] if len(call.args) == 2 else call.args[1:]
            order = [axis % len(before) for axis in call.kwargs.get("dims", order)]
            return UnitFields(units.field, (order.index(rows), order.index(cols)))
        case "transpose":
            arguments = call.arguments()
            swap = {arguments["dim0"] % len(before): arguments["dim1"] % len(before)}
            swap |= {to: start for start, to in swap.items()}
            return UnitFields(units.field, (swap.get(rows, rows), swap.get(cols, cols)))
        case "chunk" | "split" if call.arguments().get("dim", 0) % len(before) not in units.axes:
            return units
        case "layer_norm" if len(call.arguments()["normalized_shape"]) == 1 and cols < len(before) - 1 > rows:
            return units
        case "linear" if cols < len(before) - 1 > rows:
            return units
        case "__getitem__" if _cuts_channels(call.args[1], units.axes):
            return units
        case "pad" if call.arguments().get("mode", "constant") == "constant" and last_two:
            return _padded(units, call.arguments()["pad"])
    return IMAGE


def _cuts_channels(key: Any, axes: tuple[int, int]) -> bool:
    """Whether x[key] is of slices that cut only dimensions before the rows."""
    keys = key if isinstance(key, tuple) else (key,)
    return all(isinstance(part, slice) for part in keys) and all(part == slice(None) for part in keys[min(axes) :])


def _padded(units: UnitFields, pad: Any) -> UnitFields:
    left, _, top = (*pad, 0, 0)[:3]
    assert units.field is not None
    rows, cols = units.field
    moved = rows._replace(start=rows.start - rows.stride * top), cols._replace(start=cols.start - cols.stride * left)
    return UnitFields(Field(*moved), units.axes) if len(pad) <= 4 else IMAGE
