"""The head of a net: its first calls, in which every position depends only on a window of the map below.

The head ends where all positions come together (flattening, global pooling, a linear layer). From its output the net
can be run on without computing the head again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.engine.calls import Call, Pair, Ref, Window, leaves, window_of
from convscope.engine.hooks import evaluating
from convscope.engine.operations import BATCH_NORM, CHOICE, COMPARISON, POSITIONWISE
from convscope.engine.trace import PIXELS, Trace

_SAME_PLACE = POSITIONWISE - {BATCH_NORM, CHOICE, COMPARISON}


@dataclass(frozen=True)
class LocalStep:
    """One call of the head. size: rows and columns of its output. work: multiplications for the whole output.

    run: the call on windows [n, C, h, w] that hold everything it depends on, padding included; may change them.
    window: None for a call that works position by position. fill: value of positions outside the map. scale: factor
    for each position of the whole output [rows, cols], or None.
    """

    call: Call
    size: Pair
    work: int
    run: Callable[[Tensor], Tensor]
    window: Window | None = None
    fill: float = 0.0
    scale: Tensor | None = None


class Head(NamedTuple):
    """The first calls of a net. shapes: of all tensors of the trace, by tensor number."""

    steps: tuple[LocalStep, ...]
    shapes: Mapping[int, tuple[int, ...]]

    def level(self, number: int) -> int | None:
        """Number of steps up to the tensor of this number; None for a tensor that is not in the head."""
        numbers = [PIXELS, *(step.call.outputs[0] for step in self.steps)]
        return numbers.index(number) if number in numbers else None


def read_head(net_trace: Trace) -> Head | str:
    """The head of a traced net, or the reason, for a caption, why recomputing with a head does not pay."""
    steps: list[LocalStep] = []
    number = PIXELS
    while True:
        takers = [call for call in net_trace.calls if number in call.inputs]
        if len(takers) != 1:
            return "the net branches" if takers else "the net ends in maps"
        call = takers[0]
        if len(call.inputs) != 1 or len(call.outputs) != 1:
            return f"{call.name} takes or puts out several tensors"
        step = _local(call, net_trace.shapes)
        if step is None:
            break
        steps.append(step)
        number = call.outputs[0]
    total = sum(_work(call, net_trace.shapes) for call in net_trace.calls)
    if not steps or sum(step.work for step in steps) < 0.1 * total:
        return f"most of the work lies above {call.name}, where all positions come together"
    return Head(tuple(steps), net_trace.shapes)


def _work(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> int:
    """Multiplications of a convolution or a linear layer; 0 for other calls."""
    if call.name not in ("conv2d", "linear"):
        return 0
    weight = call.arguments()["weight"]
    shape = shapes[weight.number] if isinstance(weight, Ref) else weight.shape
    return prod(shapes[call.outputs[0]]) * prod(shape[1:])


def _local(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> LocalStep | None:
    """The step of a call; None for a call that depends on more than a window, or that is not in the tables here."""
    before, after = shapes[call.inputs[0]], shapes[call.outputs[0]]
    if len(before) != 4 or len(after) != 4:
        return None
    size, work = (after[2], after[3]), _work(call, shapes)
    if call.kind in _SAME_PLACE and before == after and _same_everywhere(call):
        return LocalStep(call, size, work, call.again)
    if call.name == "adaptive_avg_pool2d" and before == after:
        return LocalStep(call, size, work, lambda x: x)
    if call.name == "batch_norm" and not call.arguments().get("training", False):
        return LocalStep(call, size, work, call.again)
    if call.name == "conv2d":
        return _conv(call, size, work, shapes)
    if call.name == "max_pool2d":
        shape = _window(call, shapes)
        options = shape.kernel, shape.stride, 0, shape.dilation
        return LocalStep(call, size, work, lambda x: F.max_pool2d(x, *options), shape, -inf)
    return _mean(call, before, size, shapes) if call.name == "avg_pool2d" else None


def _same_everywhere(call: Call) -> bool:
    """Whether the operands besides the map are the same at all positions, such as one number for each channel."""
    operands = [leaf for leaf in leaves((*call.args, *call.kwargs.values())) if isinstance(leaf, Tensor)]
    return call.name == "prelu" or all(leaf.numel() == 1 or leaf.shape[-2:] == (1, 1) for leaf in operands)


def _conv(call: Call, size: Pair, work: int, shapes: Mapping[int, tuple[int, ...]]) -> LocalStep | None:
    """The step of a convolution; None where the filters are computed in the pass."""
    arguments, shape = call.arguments(), _window(call, shapes)
    weight, bias = arguments["weight"], arguments.get("bias")
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor | None):
        return None
    options = shape.stride, 0, shape.dilation, arguments.get("groups", 1)
    return LocalStep(call, size, work, lambda x: F.conv2d(x, weight, bias, *options), shape)


def _mean(call: Call, before: tuple[int, ...], size: Pair, shapes: Mapping[int, tuple[int, ...]]) -> LocalStep:
    """The step of an average pool, as a sum and a scale: windows at the border divide by another number."""
    shape, arguments = _window(call, shapes), call.arguments()
    ones = torch.ones(1, 1, *before[2:], dtype=torch.float64)
    options = shape.kernel, shape.stride
    ceil = bool(arguments.get("ceil_mode", False))
    counts = F.avg_pool2d(ones, *options, shape.padding, ceil, divisor_override=1)
    scale = (call.again(ones) / counts)[0, 0]
    return LocalStep(call, size, 0, lambda x: F.avg_pool2d(x, *options, divisor_override=1), shape, scale=scale)


def _window(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> Window:
    shape: Any = window_of(call, shapes)
    return shape


def run_above_head(
    net: nn.Module, head: Sequence[Call], shapes: Mapping[int, tuple[int, ...]], maps: Tensor, layer: str | None
) -> tuple[Tensor, Tensor | None]:
    """Logits, and the output of one layer above the head, in eval mode, for these outputs [n, ...] of the head.

    head: the first calls of the net's trace, in a chain. maps: may be changed. layer: None for logits alone. The net's
    code runs, so that everything that depends on the number of images is right.
    """
    outputs: list[Tensor] = []
    handle = None
    if layer is not None:
        module = net.get_submodule(layer)
        handle = module.register_forward_hook(lambda module, args, output: outputs.append(output.clone()))
    skip = _SkipHead(head, shapes, maps)
    try:
        with torch.inference_mode(), evaluating(net), skip:
            logits = net(skip.current)
    finally:
        if handle is not None:
            handle.remove()
    assert not skip.head, "the net did not make the same calls as in its trace"
    return logits, outputs[0] if outputs else None


class _SkipHead(TorchFunctionMode):
    """Returns the maps for the last call of the head, and placeholders of the right shape for the calls before it."""

    def __init__(self, head: Sequence[Call], shapes: Mapping[int, tuple[int, ...]], maps: Tensor):
        super().__init__()
        self.head, self.shapes, self.maps = list(head), shapes, maps
        self.current = self._placeholder(PIXELS)

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.head or func.__name__ != self.head[0].name or not self._takes(args, kwargs):
            return func(*args, **kwargs)
        call = self.head.pop(0)
        self.current = self._placeholder(call.outputs[0]) if self.head else self.maps
        return self.current

    def _takes(self, args: Any, kwargs: dict[str, Any]) -> bool:
        return any(leaf is self.current for leaf in leaves((*args, *kwargs.values())))

    def _placeholder(self, number: int) -> Tensor:
        return self.maps.new_zeros(1).expand(len(self.maps), *self.shapes[number][1:])
