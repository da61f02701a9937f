"""Which dimensions of a tensor are rows and columns of the image, wherever a net puts them.

Most nets keep [N, C, h, w]. Some work on [N, h, w, C] (Swin), or on [N, h * w, C] for a while (transformers), and move
their dimensions about. Followed here from the pixels upwards through every call of a pass. Where the rows and columns
are lost (windows of attention) an addition of what still has them brings them back, and tells of what was added, too.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from convscope.engine.calls import Call
from convscope.engine.trace import PIXELS, Trace, trace
from convscope.models.build import ConvNet

Axes = tuple[int, int]  # the dimensions that are rows and columns
Shape = tuple[int, ...]
MAPS: Axes = (2, 3)

_WINDOWS = """
    conv2d max_pool2d avg_pool2d lp_pool2d adaptive_avg_pool2d adaptive_max_pool2d batch_norm group_norm instance_norm
    local_response_norm interpolate pixel_shuffle pixel_unshuffle dropout2d feature_dropout channel_shuffle
"""
_WINDOWED = set(_WINDOWS.split())
MOVES = {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t"}
SHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"}
_RESIZES = {"cat", "concat", "pad", "roll", "chunk", "split", "linear"}
_MIXES = """
    matmul __matmul__ bmm einsum scaled_dot_product_attention gather index_select take rot90 as_strided
"""
_LOST = set(_MIXES.split())


class TokenAxis(NamedTuple):
    """Rows and columns in one dimension, row by row: a transformer's tokens."""

    axis: int
    rows: int
    cols: int


Layout = Axes | TokenAxis


def maps_of(output: Tensor, axes: Axes | None) -> Tensor:
    """The view [N, C, h, w] of what a layer puts out; what has not four dimensions stays as it is. None: unknown."""
    if output.dim() != 4 or axes is None or axes == MAPS:
        return output
    rows, cols = axes
    return output.permute(0, 6 - rows - cols, rows, cols)


def maps_shape(shape: Shape, axes: Axes | None) -> Shape:
    """The shape of `maps_of` what has this shape."""
    if len(shape) != 4 or axes is None:
        return shape
    rows, cols = axes
    return shape[0], shape[6 - rows - cols], shape[rows], shape[cols]


def layer_axes(net: nn.Module, image: Shape) -> dict[str, Axes]:
    """Path -> rows and columns of every layer that puts out maps; one image [3, H, W] is traced, once a net."""
    if (axes := traced_axes(net)) is None:
        pass_ = trace(net, image)
        known = axes_of(pass_)
        axes = {path: known[layer.output] for path, layer in pass_.layers.items() if layer.output in known}
        _TRACED[net] = _modules(net), axes
    return axes


def traced_axes(net: nn.Module) -> dict[str, Axes] | None:
    """The same where it is known already, else None."""
    if isinstance(net, ConvNet):
        return {}  # its rows put out [N, C, h, w], all of them
    modules, axes = _TRACED.get(net, ((), None))
    return axes if modules == _modules(net) else None


def _modules(net: nn.Module) -> tuple[int, ...]:
    return tuple(map(id, net.modules()))


_TRACED: "WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], dict[str, Axes]]]" = WeakKeyDictionary()


def axes_of(pass_: Trace) -> dict[int, Axes]:
    """Rows and columns of each tensor of four dimensions, by tensor number; absent where they are not known."""
    layouts: dict[int, Layout] = {PIXELS: MAPS}
    for call in pass_.calls:
        for number in call.outputs:
            layout = _above(call, layouts, number, pass_.shapes)
            if layout is not None:
                layouts[number] = layout
    for call in reversed(pass_.calls):
        _tell_inputs(call, layouts, pass_.shapes)
    return {
        number: layout
        for number, layout in layouts.items()
        if not isinstance(layout, TokenAxis) and len(pass_.shapes[number]) == 4 and 0 not in layout
    }


def _above(call: Call, layouts: Mapping[int, Layout], output: int, shapes: Mapping[int, Shape]) -> Layout | None:
    known = [number for number in call.inputs if number in layouts]
    after = shapes[output]
    if call.name in _WINDOWED:
        return MAPS if call.inputs and len(after) == 4 else layouts[known[0]] if known else None
    if not known or call.name in _LOST:
        return None
    largest = max(known, key=lambda number: prod(shapes[number]))  # what is added to it or multiplied is broadcast
    layout, before = layouts[largest], shapes[largest]
    if call.name in MOVES:
        return _moved(layout, call, len(before))
    if call.name in SHAPES:
        return _reshaped(layout, before, after)
    if call.name == "__getitem__":
        return _cut(layout, call.args[1])
    if len(after) != len(before):
        return None
    if call.name in _RESIZES:
        return layout if not isinstance(layout, TokenAxis) or after[layout.axis] == before[layout.axis] else None
    return layout if after == before or _same_sides(layout, before, after) else None


def _tell_inputs(call: Call, layouts: dict[int, Layout], shapes: Mapping[int, Shape]) -> None:
    """What is added to a tensor of known rows and columns, or is changed value by value to it, has the same ones; what
    a convolution or a pool takes are maps."""
    if call.name in _WINDOWED and call.inputs and len(shapes[call.inputs[0]]) == 4:
        layouts.setdefault(call.inputs[0], MAPS)
    layout = layouts.get(call.outputs[0])
    if layout is None or call.name in _WINDOWED | _LOST | MOVES | SHAPES | _RESIZES | {"__getitem__", "__setitem__"}:
        return
    for number in call.inputs:
        if shapes[number] == shapes[call.outputs[0]]:
            layouts.setdefault(number, layout)


def _same_sides(layout: Layout, before: Shape, after: Shape) -> bool:
    axes = [layout.axis] if isinstance(layout, TokenAxis) else layout
    return all(before[axis] == after[axis] for axis in axes)


def _moved(layout: Layout, call: Call, count: int) -> Layout | None:
    """Where the dimensions go; `count` of them."""
    order = _order(call, count)
    if order is None:
        return None
    if isinstance(layout, TokenAxis):
        return layout._replace(axis=order.index(layout.axis))
    return order.index(layout[0]), order.index(layout[1])


def _order(call: Call, count: int) -> list[int] | None:
    """For each dimension of the result the one that it was."""
    if call.name == "permute":
        given = call.kwargs.get("dims", call.args[1] if len(call.args) == 2 else call.args[1:])
        return [axis % count for axis in given]
    pair = [*call.args[1:], *call.kwargs.values()] or [0, 1]  # t() has none
    if len(pair) != 2 or not all(isinstance(axis, int) for axis in pair):
        return None
    one, other = (axis % count for axis in pair)
    order = list(range(count))
    if call.name in ("movedim", "moveaxis"):
        order.insert(other, order.pop(one))
    else:
        order[one], order[other] = other, one
    return order


def _reshaped(layout: Layout, before: Shape, after: Shape) -> Layout | None:
    """A dimension stays itself where its length and the number of values in one step along it stay the same."""
    steps = {(size, prod(after[axis + 1 :])): axis for axis, size in enumerate(after)}
    if isinstance(layout, TokenAxis):
        step = prod(before[layout.axis + 1 :])
        if (before[layout.axis], step) in steps:
            return layout._replace(axis=steps[before[layout.axis], step])
        rows, cols = steps.get((layout.rows, layout.cols * step)), steps.get((layout.cols, step))
        return None if rows is None or cols is None else (rows, cols)
    (height, down), (width, across) = ((before[axis], prod(before[axis + 1 :])) for axis in layout)
    rows, cols = _kept(height, down, steps), _kept(width, across, steps)
    if rows is not None and cols is not None and rows != cols:
        return rows, cols
    together = steps.get((height * width, across)) if down == width * across else None
    return None if together is None else TokenAxis(together, height, width)


def _kept(size: int, step: int, steps: Mapping[tuple[int, int], int]) -> int | None:
    """The dimension of this size and step, else the one of every second, third ... of its places (space to depth)."""
    if (size, step) in steps:
        return steps[size, step]
    coarse = [axis for (few, far), axis in steps.items() if 1 < few < size and few * far == size * step]
    return coarse[0] if len(coarse) == 1 else None


def _cut(layout: Layout, key: Any) -> Layout | None:
    """x[key] of slices alone, rows and columns cut or not; numbers before them take a dimension away."""
    keys = key if isinstance(key, tuple) else (key,)
    if isinstance(layout, TokenAxis) or not all(isinstance(part, slice | int) or part is Ellipsis for part in keys):
        return None
    if Ellipsis in keys:
        return layout if all(part is Ellipsis or isinstance(part, slice) for part in keys) else None
    if any(isinstance(part, int) for axis, part in enumerate(keys) if axis in layout):
        return None
    gone = [sum(isinstance(part, int) for part in keys[:axis]) for axis in layout]
    return layout[0] - gone[0], layout[1] - gone[1]
