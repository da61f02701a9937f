"""The dimensions of a tensor that are rows and columns of the image, in any memory layout that a net uses.

Most nets keep [N, C, h, w]. Some work on [N, h, w, C] (Swin), or on [N, h * w, C] for a while (transformers), and move
dimensions. The layout is followed from the pixels through every call of a trace. Where it is lost (windows of
attention), the next addition of a tensor of known layout gives it back, to the sum and to both summands.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from convscope.engine.calls import Call
from convscope.engine.operations import (
    ASSIGNMENT,
    CUT,
    INDEX,
    JOIN,
    MATRIX,
    MIX,
    MOVE,
    OF_MAPS,
    PAD,
    ROLL,
    SHAPE,
)
from convscope.engine.trace import PIXELS, Trace, trace
from convscope.models.build import ConvNet

Axes = tuple[int, int]  # the dimensions that are rows and columns
Shape = tuple[int, ...]
MAPS: Axes = (2, 3)
_RESIZES = {JOIN, PAD, ROLL, CUT, MATRIX}
_LOST = {MIX}


class TokenAxis(NamedTuple):
    """Rows and columns in one dimension, row by row, as a transformer has its tokens."""

    axis: int
    rows: int
    cols: int


Layout = Axes | TokenAxis


def maps_of(output: Tensor, axes: Axes | None) -> Tensor:
    """View [N, C, h, w] of a layer's output; unchanged where it has not four dimensions, or axes is None (unknown)."""
    if output.dim() != 4 or axes is None or axes == MAPS:
        return output
    rows, cols = axes
    return output.permute(0, 6 - rows - cols, rows, cols)


def maps_shape(shape: Shape, axes: Axes | None) -> Shape:
    """Shape of the view that `maps_of` makes of a tensor of this shape."""
    if len(shape) != 4 or axes is None:
        return shape
    rows, cols = axes
    return shape[0], shape[6 - rows - cols], shape[rows], shape[cols]


def layer_axes(net: nn.Module, image: Shape) -> dict[str, Axes]:
    """Rows and columns of every layer that outputs maps, by module path.

    A net is traced once, with an image of shape `image` [3, H, W].
    """
    if (axes := traced_axes(net)) is None:
        net_trace = trace(net, image)
        tensor_axes = axes_of(net_trace)
        axes = {
            path: tensor_axes[layer.output] for path, layer in net_trace.layers.items() if layer.output in tensor_axes
        }
        _TRACED[net] = _modules(net), axes
    return axes


def traced_axes(net: nn.Module) -> dict[str, Axes] | None:
    """The result of `layer_axes` where the net was traced before; else None."""
    if isinstance(net, ConvNet):
        return {}  # all its rows output [N, C, h, w]
    modules, axes = _TRACED.get(net, ((), None))
    return axes if modules == _modules(net) else None


def _modules(net: nn.Module) -> tuple[int, ...]:
    return tuple(map(id, net.modules()))


_TRACED: "WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], dict[str, Axes]]]" = WeakKeyDictionary()


def axes_of(net_trace: Trace) -> dict[int, Axes]:
    """Rows and columns of each tensor of four dimensions, by tensor number, where they are known."""
    return {number: axes for number, axes in position_axes(net_trace).items() if len(net_trace.shapes[number]) == 4}


def position_axes(net_trace: Trace) -> dict[int, Axes]:
    """Rows and columns of each tensor that has both as dimensions, by tensor number, where they are known."""
    layouts: dict[int, Layout] = {PIXELS: MAPS}
    for call in net_trace.calls:
        for number in call.outputs:
            layout = _above(call, layouts, number, net_trace.shapes)
            if layout is not None:
                layouts[number] = layout
    for call in reversed(net_trace.calls):
        _set_input_layouts(call, layouts, net_trace.shapes)
    return {
        number: layout for number, layout in layouts.items() if not isinstance(layout, TokenAxis) and 0 not in layout
    }


def _above(call: Call, layouts: Mapping[int, Layout], output: int, shapes: Mapping[int, Shape]) -> Layout | None:
    """Layout of a call's output; None where it is not known."""
    numbers = [number for number in call.inputs if number in layouts]
    after = shapes[output]
    if call.kind in OF_MAPS:
        return MAPS if call.inputs and len(after) == 4 else layouts[numbers[0]] if numbers else None
    if not numbers or call.kind in _LOST:
        return None
    largest = max(numbers, key=lambda number: prod(shapes[number]))  # smaller operands are broadcast to it
    layout, before = layouts[largest], shapes[largest]
    if call.kind == MOVE:
        return _moved(layout, call, len(before))
    if call.kind == SHAPE:
        return _reshaped(layout, before, after)
    if call.kind == INDEX:
        return _cut(layout, call.args[1])
    if len(after) != len(before):
        return None
    if call.kind in _RESIZES:
        return layout if not isinstance(layout, TokenAxis) or after[layout.axis] == before[layout.axis] else None
    return layout if after == before or _same_sides(layout, before, after) else None


def _set_input_layouts(call: Call, layouts: dict[int, Layout], shapes: Mapping[int, Shape]) -> None:
    """Sets unknown layouts of a call's inputs: maps for a convolution or a pool, else the layout of the output.

    The output's layout is also the input's where the call adds tensors or works value by value.
    """
    if call.kind in OF_MAPS and call.inputs and len(shapes[call.inputs[0]]) == 4:
        layouts.setdefault(call.inputs[0], MAPS)
    layout = layouts.get(call.outputs[0])
    if layout is None or call.kind in OF_MAPS | _LOST | _RESIZES | {MOVE, SHAPE, INDEX, ASSIGNMENT}:
        return
    for number in call.inputs:
        if shapes[number] == shapes[call.outputs[0]]:
            layouts.setdefault(number, layout)


def _same_sides(layout: Layout, before: Shape, after: Shape) -> bool:
    axes = [layout.axis] if isinstance(layout, TokenAxis) else layout
    return all(before[axis] == after[axis] for axis in axes)


def _moved(layout: Layout, call: Call, count: int) -> Layout | None:
    """Layout after a call that moves the dimensions, of which there are `count`."""
    order = _order(call, count)
    if order is None:
        return None
    if isinstance(layout, TokenAxis):
        return layout._replace(axis=order.index(layout.axis))
    return order.index(layout[0]), order.index(layout[1])


def _order(call: Call, count: int) -> list[int] | None:
    """For each dimension of the result the dimension of the input that it was; None where that is not known."""
    if call.name == "permute":
        dims = call.kwargs.get("dims", call.args[1] if len(call.args) == 2 else call.args[1:])
        return [axis % count for axis in dims]
    pair = [*call.args[1:], *call.kwargs.values()] or [0, 1]  # t() has none
    if len(pair) != 2 or not all(isinstance(axis, int) for axis in pair):
        return None
    start, end = (axis % count for axis in pair)
    order = list(range(count))
    if call.name in ("movedim", "moveaxis"):
        order.insert(end, order.pop(start))
    else:
        order[start], order[end] = end, start
    return order


def _reshaped(layout: Layout, before: Shape, after: Shape) -> Layout | None:
    """Layout after a reshape: a dimension is the same one if its length and its stride in memory stay the same."""
    steps = {(size, prod(after[axis + 1 :])): axis for axis, size in enumerate(after)}
    if isinstance(layout, TokenAxis):
        step = prod(before[layout.axis + 1 :])
        if (before[layout.axis], step) in steps:
            return layout._replace(axis=steps[before[layout.axis], step])
        rows, cols = steps.get((layout.rows, layout.cols * step)), steps.get((layout.cols, step))
        return None if rows is None or cols is None else (rows, cols)
    (height, down), (width, across) = ((before[axis], prod(before[axis + 1 :])) for axis in layout)
    rows, cols = _same_dimension(height, down, steps), _same_dimension(width, across, steps)
    if rows is not None and cols is not None and rows != cols:
        return rows, cols
    together = steps.get((height * width, across)) if down == width * across else None
    return None if together is None else TokenAxis(together, height, width)


def _same_dimension(size: int, step: int, steps: Mapping[tuple[int, int], int]) -> int | None:
    """The dimension of this size and step, else that of every second, third, ... position (space to depth).

    steps: dimension by size and step.
    """
    if (size, step) in steps:
        return steps[size, step]
    coarse = [axis for (fewer, wider), axis in steps.items() if 1 < fewer < size and fewer * wider == size * step]
    return coarse[0] if len(coarse) == 1 else None


def _cut(layout: Layout, key: Any) -> Layout | None:
    """Layout of x[key] where the key holds slices, and numbers for other dimensions; a number removes a dimension."""
    keys = key if isinstance(key, tuple) else (key,)
    if isinstance(layout, TokenAxis) or not all(isinstance(part, slice | int) or part is Ellipsis for part in keys):
        return None
    if Ellipsis in keys:
        return layout if all(part is Ellipsis or isinstance(part, slice) for part in keys) else None
    if any(isinstance(part, int) for axis, part in enumerate(keys) if axis in layout):
        return None
    removed = [sum(isinstance(part, int) for part in keys[:axis]) for axis in layout]
    return layout[0] - removed[0], layout[1] - removed[1]
