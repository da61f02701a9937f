"""The deconvnet (Zeiler & Fergus, section 2.1): projection of one unit of a layer down to the pixels that excite it.

The backward pass undoes each call of the forward pass: convolution by its transposed filters without bias, max pooling
by unpooling to the switches (signals of windows that share a switch add up; the paper does not say), batch
normalization by its scale only. Contrast normalization and dropout let the signal pass. At a ReLU the rule decides:

    deconvnet   negative signals are set to 0 (the paper)
    guided      negative signals, and signals of units that were off in the forward pass (Springenberg et al. 2015)
    gradient    signals of units that were off in the forward pass

Ours: other activations (GELU, SiLU, hardswish, ...) are treated like ReLU, with their slope as a factor in place of on
and off. Gates such as sigmoid, layer normalization and attention keep their derivative. A unit at the upper bound of
its activation (6 of a ReLU6) is on: `guided` lets its signal pass, and so does the activation of the projected unit
itself by every rule. This engine projects over the whole image and works for every net, by autograd.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.engine.activations import (
    BoundedActivation,
    Bounds,
    CallCounter,
    activation_bounds,
    bounded_activation,
    kind_of,
    read_activation,
    slope,
    slopes_open_at_bound,
)
from convscope.engine.autograd_activations import Doubtful, apply_rule, is_doubtful, replaced_relus, warn
from convscope.engine.axes import Axes, axes_of, maps_of
from convscope.engine.calls import Call
from convscope.engine.hooks import evaluating, on_output
from convscope.engine.operations import CONTRAST_NORM, operation
from convscope.engine.steps import backward_by_rule
from convscope.engine.trace import trace
from convscope.errors import UserError

RULES = ("deconvnet", "guided", "gradient")


class Units(NamedTuple):
    """P units, int64 [P] each: image (its index in the batch), map and position; 0, 0 in a linear layer."""

    image: Tensor
    map: Tensor
    row: Tensor
    col: Tensor

    def part(self, start: int, stop: int) -> "Units":
        """The units start .. stop - 1."""
        return Units(*(field[start:stop] for field in self))


class TargetLayer(NamedTuple):
    """The layer of the projected unit, the axes of its output, and the activation that bounds the output from above."""

    layer: str
    axes: Axes | None
    bound: BoundedActivation | None


def project(
    net: nn.Module, images: Tensor, layer: str, units: Units, rule: str = "deconvnet", chunk: int = 16
) -> Tensor:
    """Projections [P, 3, H, W] of units, each with the value 1 and all other units of its layer 0.

    images: [N, 3, H, W]. layer: a module path. chunk: units at a time. The net stays as it is, training mode included.
    Raises UserError for an unknown rule or layer.
    """
    check_rule(rule)
    net_trace = trace(net, tuple(images.shape[1:]))
    target = TargetLayer(
        layer, axes_of(net_trace).get(net_trace.layer(layer).output), bounded_activation(net_trace, layer)
    )
    parts, doubtful = list[Tensor](), Doubtful(set(), set())
    for start in range(0, len(units.image), chunk):
        part = units.part(start, start + chunk)
        pixels = images[part.image.to(images.device)]
        parts.append(_descend(net, pixels, target, part, rule, doubtful))
    if rule != "gradient":
        warn(net, net_trace, rule, doubtful)
    return torch.cat(parts) if parts else images.new_zeros(0, *images.shape[1:])


def check_rule(rule: str) -> None:
    """Raises UserError for an unknown rule."""
    if rule not in RULES:
        raise UserError(f"rule {rule} is unknown; possible: {', '.join(RULES)}")


class _LayerReached(Exception):
    """Ends a forward pass at the target layer."""


def _descend(
    net: nn.Module, pixels: Tensor, target: TargetLayer, units: Units, rule: str, doubtful: Doubtful
) -> Tensor:
    """Projections [p, 3, H, W] of p units. pixels: an image for each. doubtful: gets the doubtful calls and nodes."""
    outputs: list[Tensor] = []

    def stop(module: nn.Module, args: Any, output: Tensor) -> None:
        outputs.append(output)
        raise _LayerReached

    with torch.inference_mode(False), torch.enable_grad(), evaluating(net):
        pixels = pixels.clone().requires_grad_()
        rules = _RuleMode(rule, target.bound)
        with replaced_relus(net, rules.relu):
            hook = on_output(net.get_submodule(target.layer), stop)
            try:
                with suppress(_LayerReached), rules:
                    net(pixels)
            finally:
                hook.remove()
        maps = maps_of(outputs[0], target.axes)
        maps = maps[:, :, None, None] if maps.dim() == 2 else maps
        index = [torch.arange(len(pixels)), units.map, units.row, units.col]
        index = [axis.clone().to(maps.device) for axis in index]  # autograd saves no tensors of inference mode
        chosen = maps[tuple(index)].sum()
        with apply_rule(chosen, rule, f"{_RuleFunction.__name__}Backward", rules.doubtful) as below:
            doubtful.calls.update(below.calls)
            doubtful.nodes.update(below.nodes)
            return torch.autograd.grad(chosen, pixels)[0]


class _RuleMode(TorchFunctionMode):
    """Replaces the backward pass of activations and contrast normalization; all other calls keep their derivative.

    top: the activation that bounds the projected layer from above; None where there is none.
    """

    def __init__(self, rule: str, top: BoundedActivation | None):
        super().__init__()
        self.rule, self.top, self.counter = rule, top, CallCounter()
        self.doubtful: dict[Any, str] = {}  # node of autograd -> name of the call that made it

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = kind_of(func, args)
        at_top = kind is not None and self._is_top(kind, self.counter.place(kind))
        if operation(func.__name__).kind == CONTRAST_NORM:
            x, *rest = args or (kwargs.pop("input"),)
            return _RuleFunction.apply(x, lambda value: func(value, *rest, **kwargs), None, None)
        activation = read_activation(func, args, kwargs)
        if activation is not None:
            limits = activation_bounds(Call(func, args, kwargs, (), ())) if at_top or self.rule == "guided" else None
            result = _RuleFunction.apply(activation.x, activation.again, self.rule, limits)
            return None if func.__name__ == "__setitem__" else result
        if at_top and args[0].requires_grad:
            limits = activation_bounds(Call(func, args, kwargs, (), ()))
            return _RuleFunction.apply(args[0], lambda value: func(value, *args[1:], **kwargs), "gradient", limits)
        result = func(*args, **kwargs)
        if is_doubtful(func.__name__, args[0] if args else None, result):
            self.doubtful[result.grad_fn] = func.__name__
        return result

    def relu(self, x: Tensor) -> Tensor:
        """A ReLU with the rule as its backward pass."""
        return _RuleFunction.apply(x, torch.relu, self.rule, None)

    def _is_top(self, kind: Any, place: int) -> bool:
        return self.top is not None and (self.top.kind, self.top.place) == (kind, place)


class _RuleFunction(torch.autograd.Function):
    """A call with the rule as its backward pass; without a rule the signal passes unchanged.

    limits: bounds of an activation; its units at the upper bound let the signal pass.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, call: Callable[[Tensor], Tensor], rule: str | None, limits: Bounds | None
    ) -> Tensor:
        ctx.rule = rule
        needs_slopes = rule in ("guided", "gradient")
        ctx.save_for_backward(slopes_open_at_bound(slope(call, x), x, limits) if needs_slopes else None)
        result = call(x)
        if result is x:
            ctx.mark_dirty(x)
        return result

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None, None]:
        below = signal if ctx.rule is None else backward_by_rule(ctx.rule, signal, *ctx.saved_tensors)
        return below, None, None, None
