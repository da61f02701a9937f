"""The step of a call, for each kind of operation in the table."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine import operations
from convscope.engine.activations import is_activation
from convscope.engine.calls import Call, Ref, Window
from convscope.engine.reach import SAME, Reach, Scaling, axis_slices, reach_of, reduced_dimensions
from convscope.engine.regions import MapTensor, Shape
from convscope.engine.shape_steps import JoinStep, PartStep, ReshapeStep
from convscope.engine.steps import (
    ActivationStep,
    BatchNormStep,
    MatrixStep,
    PassStep,
    Step,
    SumStep,
    multiplications,
)
from convscope.engine.window_steps import (
    AreaStep,
    ConvolutionStep,
    MaxPoolStep,
    MeanPoolStep,
    ScalingStep,
    SliceStep,
)

_ONE_INPUT = {
    operations.ACTIVATION,
    operations.BATCH_NORM,
    operations.CLAMP,
    operations.CONTRAST_NORM,
    operations.CONVOLUTION,
    operations.CUT,
    operations.GATE,
    operations.GLOBAL_POOL,
    operations.GROUP_NORM,
    operations.INDEX,
    operations.INERT,
    operations.LAYER_NORM,
    operations.MATRIX,
    operations.MAX_POOL,
    operations.MEAN_POOL,
    operations.MOVE,
    operations.PAD,
    operations.POWER,
    operations.REDUCTION,
    operations.RESAMPLE,
    operations.TO_SPACE,
    operations.FROM_SPACE,
    operations.SHAPE,
    operations.SHUFFLE,
    operations.TRANSPOSED,
}
_COVERED = _ONE_INPUT | {operations.JOIN, operations.PRODUCT, operations.SUM}


class _Common(NamedTuple):
    """The fields that every step has."""

    call: Call
    inputs: tuple[MapTensor, ...]
    output: MapTensor
    reach: Reach | None
    fixed: Mapping[int, Tensor]
    work: int


def read_step(
    call: Call,
    inputs: tuple[MapTensor, ...],
    output: MapTensor,
    fixed: Mapping[int, Tensor],
    shapes: Mapping[int, Shape],
    part: int,
) -> Step | None:
    """The step that makes output number `part` of a call; None for a call that is an obstacle.

    inputs: the tensors that depend on the image. fixed: those that do not. shapes: of all tensors, by number.
    """
    kind = call.kind
    if kind not in _COVERED or (kind in _ONE_INPUT and len(inputs) > 1) or hasattr(call.func, "module"):
        return _compiled_activation(call, inputs, output, fixed)
    if (len(call.outputs) > 1 and kind != operations.CUT) or not _is_alike_for_each_image(call, inputs[0], output):
        return None
    fields = _Common(call, inputs, output, reach_of(call, inputs, output, shapes), fixed, multiplications(call, shapes))
    match kind:
        case operations.CONVOLUTION:
            return _convolution(fields)
        case operations.TRANSPOSED | operations.RESAMPLE | operations.TO_SPACE:
            return (ScalingStep if isinstance(fields.reach, Scaling) else Step)(*fields)
        case operations.MAX_POOL:
            return MaxPoolStep(*fields) if fields.reach else None
        case operations.MEAN_POOL:
            return _mean_pool(fields)
        case operations.GLOBAL_POOL:
            return (AreaStep if inputs[0].shape == output.shape else Step)(*fields)
        case operations.BATCH_NORM:
            return None if call.arguments().get("training", False) else BatchNormStep(*fields)
        case operations.CONTRAST_NORM | operations.INERT:
            return PassStep(*fields)
        case operations.ACTIVATION | operations.CLAMP:
            return ActivationStep(*fields) if is_activation(call) else None
        case operations.GATE:
            return None if "clamp" in call.name else Step(*fields)
        case operations.SUM:
            return _sum(fields)
        case operations.MATRIX:
            return MatrixStep(*fields)
        case operations.SHAPE:
            return ReshapeStep(*fields)
        case operations.JOIN:
            return _join(fields)
        case operations.CUT:
            return PartStep(*fields, part=part)
        case operations.INDEX:
            return _index(fields)
        case operations.PAD:
            return _pad(fields)
    return Step(*fields)


def _compiled_activation(
    call: Call, inputs: tuple[MapTensor, ...], output: MapTensor, fixed: Mapping[int, Tensor]
) -> Step | None:
    """The step of an activation that torch.jit compiled as a module; None for anything else."""
    if call.kind != operations.ACTIVATION or len(inputs) > 1:
        return None
    return ActivationStep(call, inputs, output, SAME, fixed)


def _is_alike_for_each_image(call: Call, below: MapTensor, output: MapTensor) -> bool:
    """Whether the call does the same for each image of a batch, whose images are the first dimension throughout."""
    arguments = list(call.args[1:]) + list(call.kwargs.values())
    if call.kind == operations.INDEX:
        key = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
        return key[0] is Ellipsis or key[0] == slice(None)
    if call.kind == operations.SHAPE:
        return below.shape[:1] == output.shape[:1] == (1,)
    if call.kind == operations.MOVE:
        return (
            output.shape[:1] == (1,)
            and 0 not in [axis for axis in arguments if isinstance(axis, int)][:2]
            or (call.name == "permute" and _first_dimension(call) == 0)
        )
    if call.kind in (operations.JOIN, operations.CUT):
        return call.arguments().get("dim", 0) % len(below.shape) != 0
    if call.kind == operations.REDUCTION:
        dims = reduced_dimensions(call)
        return bool(dims) and all(axis % len(below.shape) for axis in dims)
    return True


def _first_dimension(call: Call) -> int:
    dims = call.kwargs.get("dims", call.args[1] if len(call.args) == 2 else call.args[1:])
    return int(dims[0])


def _convolution(fields: _Common) -> Step | None:
    """A convolution, also one whose filters are computed from weights in the pass."""
    arguments = fields.call.arguments()
    weight, bias = (_fixed(arguments.get(name), fields.fixed) for name in ("weight", "bias"))
    if fields.reach is None or weight is None:
        return None
    return ConvolutionStep(*fields, weight=weight, bias=bias, groups=arguments.get("groups", 1))


def _fixed(value: Any, fixed: Mapping[int, Tensor]) -> Tensor | None:
    return fixed[value.number] if isinstance(value, Ref) else value


def _mean_pool(fields: _Common) -> Step | None:
    """An average pool; None where it has maps in another layout."""
    if not isinstance(fields.reach, Window):
        return None
    ones = torch.ones(1, 1, *fields.inputs[0].sides, dtype=torch.float64)
    kernel, stride, padding, _ = fields.reach
    ceil = bool(fields.call.arguments().get("ceil_mode", False))
    counts = F.avg_pool2d(ones, kernel, stride, padding, ceil, divisor_override=1)
    return MeanPoolStep(*fields, scale=(fields.call.again(ones) / counts)[0, 0])


def _sum(fields: _Common) -> Step:
    """A sum; the signal passes unchanged where all maps have one shape and one sign, and none is added twice."""
    refs = [leaf for leaf in fields.call.args if isinstance(leaf, Ref) and leaf.number not in fields.fixed]
    alike = all(below.shape == fields.output.shape for below in fields.inputs) and len(refs) == len(fields.inputs)
    return (SumStep if alike and "add" in fields.call.name and not fields.call.kwargs else Step)(*fields)


def _join(fields: _Common) -> Step | None:
    arguments = fields.call.arguments()
    if not all(isinstance(leaf, Ref | Tensor) for leaf in arguments["tensors"]):
        return None
    return JoinStep(*fields, dim=arguments.get("dim", 0) % len(fields.output.shape))


def _index(fields: _Common) -> Step | None:
    """x[key] of slices and numbers; None for other keys."""
    key = fields.call.args[1] if isinstance(fields.call.args[1], tuple) else (fields.call.args[1],)
    if not all(part is Ellipsis or isinstance(part, slice | int) for part in key):
        return None
    below = fields.inputs[0]
    if fields.reach is None or below.axes is None:
        return Step(*fields)
    slices = axis_slices(key, len(below.shape), below.axes)
    assert slices is not None
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key = (*key[:at], *[slice(None)] * (len(below.shape) - len(key) + 1), *key[at + 1 :])
    steps = dict(zip(below.axes, (slice(None, None, part.step) for part in slices), strict=True))
    key = (*key, *[slice(None)] * (len(below.shape) - len(key)))
    return SliceStep(*fields, key=tuple(steps.get(axis, part) for axis, part in enumerate(key)))


def _pad(fields: _Common) -> Step | None:
    """Constant padding of rows and columns is part of the area already; other padding needs whole maps."""
    arguments = fields.call.arguments()
    if fields.reach is not None:
        return AreaStep(*fields, fill=arguments.get("value") or 0.0)
    return Step(*fields) if len(arguments["pad"]) < 2 * len(fields.output.shape) else None
