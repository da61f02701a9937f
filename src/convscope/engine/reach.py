"""On which positions below a position of a map depends, for each kind of operation, and spans of them along an axis."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convscope.engine.axes import MAPS, Axes
from convscope.engine.calls import Call, Pair, Ref, Window, window_of
from convscope.engine.operations import (
    ASSIGNMENT,
    CONVOLUTION,
    CUT,
    FROM_SPACE,
    GLOBAL_POOL,
    INDEX,
    JOIN,
    LAYER_NORM,
    MATRIX,
    MAX_POOL,
    MEAN_POOL,
    MOVE,
    PAD,
    POSITIONWISE,
    REDUCTION,
    RESAMPLE,
    SHAPE,
    SHUFFLE,
    TO_SPACE,
    TRANSPOSED,
)
from convscope.engine.regions import MapTensor, Shape, Span


class Scaling(NamedTuple):
    """Position i below reaches `extent` positions above, from i * factor - padding on."""

    factor: Pair
    extent: Pair
    padding: Pair


Reach = Window | Scaling  # of a position; what depends on every position has no reach
SAME = Window((1, 1), (1, 1), (0, 0), (1, 1))


def span_below(reach: Reach, span: Span, axis: int, limit: int) -> Span:
    """Positions below on which a span above depends. Windows may extend over the map of `limit` positions."""
    if isinstance(reach, Window):
        start = span.start * reach.stride[axis] - reach.padding[axis]
        return Span(start, (span.size - 1) * reach.stride[axis] + reach.extent()[axis])
    factor, extent, padding = reach.factor[axis], reach.extent[axis], reach.padding[axis]
    start = -((extent - 1 - padding - span.start) // factor)  # rounded up
    last = (span.start + span.size - 1 + padding) // factor
    return Span(start, int((last - start).max()) + 1).inside(limit)


def changed_above(reach: Reach, first: Tensor, last: Tensor, axis: int, limit: int) -> tuple[Tensor, Tensor]:
    """First and last of `limit` positions above that depend on first .. last below; last < first: none."""
    if isinstance(reach, Window):
        stride, padding = reach.stride[axis], reach.padding[axis]
        low = -((reach.extent()[axis] - 1 - padding - first) // stride)  # rounded up
        high = (last + padding) // stride
    else:
        factor, padding = reach.factor[axis], reach.padding[axis]
        low, high = first * factor - padding, last * factor - padding + reach.extent[axis] - 1
    return low.clamp(0, limit - 1), torch.minimum(high, torch.tensor(limit - 1))


def reach_of(call: Call, inputs: Sequence[MapTensor], output: MapTensor, shapes: Mapping[int, Shape]) -> Reach | None:
    """On which positions of the inputs a position of the output depends; None: on all, or not known.

    inputs: the tensors that depend on the image. shapes: of all tensors of the pass, by number.
    """
    first = inputs[0]
    if call.kind in _WINDOWS:
        if len(inputs) > 1 or first.axes != MAPS or len(first.shape) != 4:
            return None
        return _windowed(call, first, output, shapes)
    if any(below.axes is None for below in inputs) or output.axes is None:
        return SAME if all(tensor.axes is None for tensor in (*inputs, output)) and call.kind in POSITIONWISE else None
    if call.kind == INDEX:
        return _sliced(call, first, output)
    if any(below.sides not in (output.sides, (1, 1)) for below in inputs) or not _keeps_positions(call, first):
        return None
    return SAME


_WINDOWS = {CONVOLUTION, TRANSPOSED, MAX_POOL, MEAN_POOL, RESAMPLE, TO_SPACE, FROM_SPACE, PAD}
_MOVES = {MOVE, SHAPE, SHUFFLE}  # keep positions where rows and columns stay the same dimensions


def _keeps_positions(call: Call, below: MapTensor) -> bool:
    """Whether a call whose input and output have the same sides works position by position."""
    dims, arguments, axes = len(below.shape), call.arguments(), below.axes or MAPS
    if call.kind in (JOIN, CUT):
        return arguments.get("dim", 0) % dims not in axes
    if call.kind == REDUCTION:
        return bool(reduced := reduced_dimensions(call)) and all(axis % dims not in axes for axis in reduced)
    if call.kind == ASSIGNMENT:
        key = call.args[1]
        return isinstance(key, Ref | Tensor) or _cuts_other_dimensions(key, dims, axes)
    if call.kind in (MATRIX, LAYER_NORM):
        count = len(arguments["normalized_shape"]) if call.name == "layer_norm" else 1
        return call.name != "rms_norm" and max(axes) < dims - count
    return call.kind in POSITIONWISE | _MOVES | {GLOBAL_POOL}


def reduced_dimensions(call: Call) -> list[int]:
    """The dimensions over which a mean, a sum or a softmax is taken; none where the call does not say."""
    dims = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
    return [] if dims is None else [dims] if isinstance(dims, int) else list(dims)


def _cuts_other_dimensions(key: Any, dims: int, axes: tuple[int, ...]) -> bool:
    """Whether x[key] is of all rows and columns."""
    key = key if isinstance(key, tuple) else (key,)
    slices = axis_slices(key, dims, (axes[0], axes[1])) if all(isinstance(part, slice | int) for part in key) else None
    return slices == (slice(None), slice(None))


def _sliced(call: Call, below: MapTensor, output: MapTensor) -> Reach | None:
    """The reach of x[key] with slices of rows and columns; the same positions where only others are cut."""
    key = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if not all(part is Ellipsis or isinstance(part, slice | int) for part in key):
        return None
    slices = axis_slices(key, len(below.shape), below.axes or MAPS)
    if slices is None:
        return None
    spans = [part.indices(size) for part, size in zip(slices, below.sides, strict=True)]
    if any(step < 1 for _, _, step in spans):
        return None
    (top, _, down), (left, _, across) = spans
    return Window((1, 1), (down, across), (-top, -left), (1, 1))


def axis_slices(key: tuple[Any, ...], dims: int, axes: Axes) -> tuple[slice, slice] | None:
    """The slices of rows and columns in x[key]; None where a row or a column is taken out alone."""
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key = (*key[:at], *[slice(None)] * (dims - len(key) + 1), *key[at + 1 :])
    key = (*key, *[slice(None)] * (dims - len(key)))
    rows, cols = (key[axis] for axis in axes)
    return (rows, cols) if isinstance(rows, slice) and isinstance(cols, slice) else None


def _windowed(call: Call, below: MapTensor, output: MapTensor, shapes: Mapping[int, Shape]) -> Reach | None:
    if call.kind == TRANSPOSED:
        return _transposed(call)
    if call.kind in (RESAMPLE, TO_SPACE, FROM_SPACE):
        return _scaled(call, below.sides, output.sides)
    if call.kind == PAD:
        return _padded(call)
    return window_of(call, shapes)


def _transposed(call: Call) -> Scaling | None:
    arguments = call.arguments()
    weight = arguments["weight"]
    if not isinstance(weight, Tensor):
        return None
    stride, padding, dilation = (
        _pair(arguments.get(name, default)) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    rows, cols = ((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))
    if any(_pair(arguments.get("output_padding", 0))) or stride[0] > rows or stride[1] > cols:
        return None  # positions that no position below reaches
    return Scaling(stride, (rows, cols), padding)


def _scaled(call: Call, below: Pair, above: Pair) -> Reach | None:
    """The reach of a change of scale by whole numbers; None of another one."""
    if any(after % before for before, after in zip(below, above, strict=True)):
        return _unshuffled(call) if call.kind == FROM_SPACE else None
    factor = (above[0] // below[0], above[1] // below[1])
    if call.kind == TO_SPACE:
        return Scaling(factor, factor, (0, 0))
    arguments = call.arguments()
    taps = {"nearest": 1, "nearest-exact": 1, "bilinear": 2, "bicubic": 4}.get(arguments.get("mode", "nearest"))
    if taps is None or arguments.get("align_corners") or arguments.get("antialias"):
        return None
    more = taps > 1  # interpolation reaches beyond the positions above a position itself
    rows, cols = (taps * scale + more for scale in factor)
    top, left = (-(-(taps - 1) * scale // 2) for scale in factor)
    return Scaling(factor, (rows, cols), (top, left))


def _unshuffled(call: Call) -> Window:
    factor = call.arguments()["downscale_factor"]
    return Window((factor, factor), (factor, factor), (0, 0), (1, 1))


def _padded(call: Call) -> Window | None:
    """Constant padding as a window of one position; None of padding that repeats or mirrors the map."""
    arguments = call.arguments()
    if arguments.get("mode", "constant") != "constant" or len(arguments["pad"]) > 4:
        return None
    left, _, top, _ = (*arguments["pad"], 0, 0)[:4]
    return Window((1, 1), (1, 1), (top, left), (1, 1))


def _pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
