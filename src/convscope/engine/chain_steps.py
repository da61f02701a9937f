"""Steps of the deconvnet in a chain of calls without branches: each call forward, and its backward pass by the rule.

A step works on whole maps or on regions of them. `padded`: whole maps get the call's padding, regions already hold it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from convscope.engine.activations import (
    activation_bounds,
    bounded_activation,
    is_activation,
    slope,
    slopes_open_at_bound,
)
from convscope.engine.calls import Call, Pair, Window, window_of
from convscope.engine.deconvnet import PASSED_THROUGH, backward_by_rule
from convscope.engine.trace import Trace, chain

_INERT = {"dropout", "dropout2d", "feature_dropout", "alpha_dropout", "contiguous", "clone"}  # in eval mode


@dataclass(frozen=True)
class Step:
    """A call that lets the signal pass unchanged; its subclasses do more.

    window: None for a call that works position by position. fill: value of positions outside the map. remembers:
    whether `down` needs the memory of `up`.
    """

    call: Call
    window: Window | None
    fill: ClassVar[float] = 0.0
    remembers: ClassVar[bool] = False

    def up(self, x: Tensor, padded: bool) -> tuple[Tensor, Any]:
        """The maps above, and the memory for `down`; may change x."""
        return self.call.again(x), None

    def down(self, signal: Tensor, memory: Any, size: Pair, padded: bool) -> Tensor:
        """The signal below: of `size` rows and columns if padded, else of all positions on which the region depends."""
        return signal


@dataclass(frozen=True)
class ScaleStep(Step):
    """Batch normalization in eval mode: the signal is multiplied by its scale."""

    def down(self, signal: Tensor, memory: Any, size: Pair, padded: bool) -> Tensor:
        arguments = self.call.arguments()
        scale = (arguments["running_var"] + arguments.get("eps", 1e-5)).rsqrt()
        scale = scale if arguments.get("weight") is None else scale * arguments["weight"]
        return signal * scale[:, None, None]


@dataclass(frozen=True)
class ActivationStep(Step):
    """An activation, with the rule as its backward pass. open: whether units at its upper bound let the signal pass."""

    rule: str
    open: bool

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        return self.rule != "deconvnet"

    def up(self, x: Tensor, padded: bool) -> tuple[Tensor, Any]:
        limits = activation_bounds(self.call) if self.open else None
        slopes = slopes_open_at_bound(slope(self.call.again, x), x, limits) if self.remembers else None
        return self.call.again(x), slopes

    def down(self, signal: Tensor, memory: Any, size: Pair, padded: bool) -> Tensor:
        return backward_by_rule(self.rule, signal, memory)


@dataclass(frozen=True)
class PoolStep(Step):
    """Max pooling: the signal goes to the switches, and adds up where windows share one."""

    window: Window
    fill = -torch.inf
    remembers = True

    def _arguments(self, padded: bool) -> tuple[Any, ...]:
        kernel, stride, padding, dilation = self.window
        ceil = bool(self.call.arguments().get("ceil_mode", False))
        return (kernel, stride, padding, dilation, ceil) if padded else (kernel, stride, (0, 0), dilation, False)

    def up(self, x: Tensor, padded: bool) -> tuple[Tensor, Any]:
        pooled, switches = F.max_pool2d(x, *self._arguments(padded), return_indices=True)
        return pooled, (x, switches)

    def down(self, signal: Tensor, memory: Any, size: Pair, padded: bool) -> Tensor:
        x, switches = memory
        return torch.ops.aten.max_pool2d_with_indices_backward(signal, x, *self._arguments(padded), switches)


@dataclass(frozen=True)
class MeanStep(Step):
    """Average pooling over windows of equal weight: the signal is spread over the window."""

    window: Window

    def _arguments(self, padded: bool) -> tuple[Any, ...]:
        kernel, stride, padding, _ = self.window
        return kernel, stride, padding if padded else (0, 0)

    def up(self, x: Tensor, padded: bool) -> tuple[Tensor, Any]:
        return F.avg_pool2d(x, *self._arguments(padded)), None

    def down(self, signal: Tensor, memory: Any, size: Pair, padded: bool) -> Tensor:
        below = size if padded else self.window.below((signal.shape[2], signal.shape[3]))
        like = signal.new_empty(*signal.shape[:2], *below)
        return torch.ops.aten.avg_pool2d_backward(signal, like, *self._arguments(padded), False, True, None)


@dataclass(frozen=True)
class ConvStep(Step):
    """Convolution: the signal goes through the transposed filters, without bias."""

    window: Window
    weight: Tensor
    bias: Tensor | None
    groups: int

    def up(self, x: Tensor, padded: bool) -> tuple[Tensor, Any]:
        _, stride, padding, dilation = self.window
        return F.conv2d(x, self.weight, self.bias, stride, padding if padded else 0, dilation, self.groups), None

    def down(self, signal: Tensor, memory: Any, size: Pair, padded: bool) -> Tensor:
        _, stride, padding, dilation = self.window
        if padded:
            shape = (len(signal), self.weight.shape[1] * self.groups, *size)
            return conv2d_input(shape, self.weight, signal, stride, padding, dilation, self.groups)
        if self._pixel_filters is not None:
            return self._down_to_pixels(signal)
        return F.conv_transpose2d(signal, self.weight, None, stride, 0, 0, self.groups, dilation)

    def down_unit(self, signal: Tensor, maps: Tensor) -> Tensor:
        """`down` for one position [p, C, 1, 1] with one nonzero map in each signal: the filters of those maps."""
        count, below = len(maps), self.weight.shape[1]
        signals = torch.arange(count, device=maps.device)
        filters = self.weight[maps] * signal[signals, maps, None]
        rows, cols = self.window.extent()
        result = signal.new_zeros(count, self.groups, below, rows, cols)
        group = maps // (len(self.weight) // self.groups)
        result[signals, group, :, :: self.window.dilation[0], :: self.window.dilation[1]] = filters
        return result.flatten(1, 2).contiguous(memory_format=torch.channels_last)

    @cached_property
    def _pixel_filters(self) -> Tensor | None:
        """Filters [stride * stride * c, C, t, t] of a plain convolution equal to the transposed convolution.

        One set of filters for each position between the strides, t = kernel / stride. Down to the three maps of the
        pixels this takes a third of the time. None where it does not pay or does not apply.
        """
        kernel, stride, _, dilation = self.window
        step, maps, below = stride[0], *self.weight.shape[:2]
        square = kernel[0] == kernel[1] and stride[0] == stride[1]
        if below > 4 or self.groups > 1 or dilation != (1, 1) or not square:
            return None
        taps = -(-kernel[0] // step)
        filters = self.weight.new_zeros(below, step, step, maps, taps, taps)
        for row in range(min(step, kernel[0])):
            for col in range(min(step, kernel[0])):
                part = self.weight[:, :, row::step, col::step].flip(2, 3).transpose(0, 1)
                filters[:, row, col, :, taps - part.shape[2] :, taps - part.shape[3] :] = part
        return filters.reshape(below * step * step, maps, taps, taps).contiguous(memory_format=torch.channels_last)

    def _down_to_pixels(self, signal: Tensor) -> Tensor:
        assert self._pixel_filters is not None
        size = self.window.below((signal.shape[2], signal.shape[3]))
        places = F.conv2d(signal, self._pixel_filters, padding=self._pixel_filters.shape[2] - 1)
        return F.pixel_shuffle(places, self.window.stride[0])[:, :, : size[0], : size[1]]


def read_steps(net_trace: Trace, layer: str, rule: str) -> list[Step] | None:
    """Steps from the pixels to the layer; None where the net branches, or has a call that is no step."""
    top = bounded_activation(net_trace, layer)
    last = None if top is None else top.call
    steps = [_step(call, rule, net_trace.shapes, call is last) for call in chain(net_trace, layer) or [None]]
    return None if None in steps else steps  # type: ignore[return-value]


def _step(call: Call | None, rule: str, shapes: Mapping[int, tuple[int, ...]], at_top: bool) -> Step | None:
    if call is None:
        return None
    before, after = shapes[call.inputs[0]], shapes[call.outputs[0]]
    if is_activation(call):
        return ActivationStep(call, None, rule, at_top or rule == "guided")
    if call.name in PASSED_THROUGH | _INERT or (call.name == "adaptive_avg_pool2d" and before == after):
        return Step(call, None)
    if call.name == "batch_norm" and not call.arguments().get("training", False):
        return ScaleStep(call, None)
    if call.name == "max_pool2d":
        return PoolStep(call, window_of(call, shapes))  # type: ignore[arg-type]
    if call.name == "avg_pool2d":
        return _mean(call, window_of(call, shapes))  # type: ignore[arg-type]
    return _conv(call, shapes) if call.name == "conv2d" and len(before) == 4 else None


def _mean(call: Call, window: Window) -> MeanStep | None:
    """The step of an average pool; None where windows at the border average over fewer positions."""
    arguments = call.arguments()
    fewer = any(window.padding) and not arguments.get("count_include_pad", True)
    return None if fewer or arguments.get("ceil_mode") or arguments.get("divisor_override") else MeanStep(call, window)


def _conv(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> ConvStep | None:
    """The step of a convolution; None where its padding is uneven, or its filters are computed in the pass."""
    arguments, shape = call.arguments(), window_of(call, shapes)
    weight, bias = arguments["weight"], arguments.get("bias")
    uneven = arguments.get("padding") == "same" and any(extent % 2 == 0 for extent in shape.extent())  # type: ignore[union-attr]
    if uneven or not isinstance(weight, Tensor) or not isinstance(bias, Tensor | None):
        return None
    return ConvStep(call, shape, weight, bias, arguments.get("groups", 1))  # type: ignore[arg-type]
