"""The deconvnet (Zeiler & Fergus, section 2.1): from one unit of a layer back down to the pixels that excite it.

Going down undoes each call of the way up: convolution by its transposed filters without bias, max pooling by putting
back at the switches (windows that share a switch add up; the paper does not say), contrast normalization and dropout
by passing through, batch normalization by its scale only. At a ReLU the rule decides what becomes of the signal
coming down:

    deconvnet   its negative part is set to 0 (the paper)
    guided      that, and 0 where the unit was off on the way up (Springenberg et al. 2015)
    gradient    0 where the unit was off on the way up

Ours: other activations (GELU, SiLU, hardswish, ...) are treated like ReLU, their slope in place of "off"; gates such as
sigmoid, layer normalization and attention keep their derivative. A unit at the upper bound of its activation (6 of a
ReLU6) is on: `guided` lets its signal pass, and by every rule so does the activation of the projected unit itself. This
engine works for every net, over the whole image.
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
from convscope.engine.trace import trace
from convscope.errors import UserError

RULES = ("deconvnet", "guided", "gradient")
PASSED_THROUGH = {"local_response_norm"}  # dropout is no call to pass: it does nothing in eval mode


class Units(NamedTuple):
    """P units, int64 [P] each: image (its place in the batch), map and position; 0, 0 in a full row."""

    image: Tensor
    map: Tensor
    row: Tensor
    col: Tensor

    def part(self, start: int, stop: int) -> "Units":
        return Units(*(field[start:stop] for field in self))


class TargetLayer(NamedTuple):
    """Where the way down begins: a layer, the rows and columns of what it puts out, and what bounds that from above."""

    layer: str
    axes: Axes | None
    bound: BoundedActivation | None


def project(
    net: nn.Module, images: Tensor, layer: str, picks: Units, rule: str = "deconvnet", chunk: int = 16
) -> Tensor:
    """Each picked unit, and nothing else of its layer, projected with the value 1: [P, 3, H, W].

    images [N, 3, H, W]; layer: a module path. `chunk` units at a time. The net is left as it was, training mode
    included. Raises UserError for an unknown rule or layer.
    """
    check_rule(rule)
    pass_ = trace(net, tuple(images.shape[1:]))
    top = TargetLayer(layer, axes_of(pass_).get(pass_.layer(layer).output), bounded_activation(pass_, layer))
    parts, doubtful = list[Tensor](), Doubtful(set(), set())
    for at in range(0, len(picks.image), chunk):
        pixels, part = images[picks.image[at : at + chunk].to(images.device)], picks.part(at, at + chunk)
        parts.append(_descend(net, pixels, top, part, rule, doubtful))
    if rule != "gradient":
        warn(net, pass_, rule, doubtful)
    return torch.cat(parts) if parts else images.new_zeros(0, *images.shape[1:])


def check_rule(rule: str) -> None:
    """Raises UserError for an unknown rule."""
    if rule not in RULES:
        raise UserError(f"rule {rule} is unknown; possible: {', '.join(RULES)}")


def backward_by_rule(rule: str, signal: Tensor, slopes: Tensor | None) -> Tensor:
    """The signal below an activation; slopes: its derivative on the way up, which deconvnet alone does without."""
    signal = signal if rule == "gradient" else signal.relu()
    return signal if slopes is None else signal * slopes


class _LayerReached(Exception):
    """Ends a forward pass at the layer."""


def _descend(net: nn.Module, pixels: Tensor, top: TargetLayer, picks: Units, rule: str, doubtful: Doubtful) -> Tensor:
    """pixels [p, 3, H, W], one for each of the p picks. doubtful: gets what was not recognized on the way."""
    reached: list[Tensor] = []

    def stop(module: nn.Module, args: Any, output: Tensor) -> None:
        reached.append(output)
        raise _LayerReached

    with torch.inference_mode(False), torch.enable_grad(), evaluating(net):
        pixels = pixels.clone().requires_grad_()
        rules = _RuleMode(rule, top.bound)
        with replaced_relus(net, rules.relu):
            hook = on_output(net.get_submodule(top.layer), stop)
            try:
                with suppress(_LayerReached), rules:
                    net(pixels)
            finally:
                hook.remove()
        units = maps_of(reached[0], top.axes)
        units = units[:, :, None, None] if units.dim() == 2 else units
        lit = [torch.arange(len(pixels)), picks.map, picks.row, picks.col]
        lit = [index.clone().to(units.device) for index in lit]  # autograd keeps no tensor made in inference mode
        chosen = units[tuple(lit)].sum()
        with apply_rule(chosen, rule, f"{_RuleFunction.__name__}Backward", rules.doubtful) as below:
            doubtful.calls.update(below.calls)
            doubtful.nodes.update(below.nodes)
            return torch.autograd.grad(chosen, pixels)[0]


class _RuleMode(TorchFunctionMode):
    """Replaces what autograd does at activations and at contrast normalization; all other calls keep their adjoint.

    top: the activation that bounds the projected layer, if any does.
    """

    def __init__(self, rule: str, top: BoundedActivation | None):
        super().__init__()
        self.rule, self.top, self.counter = rule, top, CallCounter()
        self.doubtful: dict[Any, str] = {}  # node of autograd -> name of the call that made it

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = kind_of(func, args)
        at_top = kind is not None and self._is_top(kind, self.counter.place(kind))
        if func.__name__ in PASSED_THROUGH:
            x, *rest = args or (kwargs.pop("input"),)
            return _RuleFunction.apply(x, lambda value: func(value, *rest, **kwargs), None, None)
        found = read_activation(func, args, kwargs)
        if found is not None:
            limits = activation_bounds(Call(func, args, kwargs, (), ())) if at_top or self.rule == "guided" else None
            result = _RuleFunction.apply(found.x, found.again, self.rule, limits)
            return None if func.__name__ == "__setitem__" else result
        if at_top and args[0].requires_grad:
            limits = activation_bounds(Call(func, args, kwargs, (), ()))
            return _RuleFunction.apply(args[0], lambda value: func(value, *args[1:], **kwargs), "gradient", limits)
        result = func(*args, **kwargs)
        if is_doubtful(func.__name__, args[0] if args else None, result):
            self.doubtful[result.grad_fn] = func.__name__
        return result

    def relu(self, x: Tensor) -> Tensor:
        return _RuleFunction.apply(x, torch.relu, self.rule, None)

    def _is_top(self, kind: Any, place: int) -> bool:
        return self.top is not None and (self.top.kind, self.top.place) == (kind, place)


class _RuleFunction(torch.autograd.Function):
    """The call itself on the way up; on the way down the rule, or the signal as it is where there is none.

    limits: of an activation whose units at the upper bound let the signal pass.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, call: Callable[[Tensor], Tensor], rule: str | None, limits: Bounds | None
    ) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward(
            slopes_open_at_bound(slope(call, x), x, limits) if rule in ("guided", "gradient") else None
        )
        result = call(x)
        if result is x:
            ctx.mark_dirty(x)
        return result

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None, None]:
        below = signal if ctx.rule is None else backward_by_rule(ctx.rule, signal, *ctx.saved_tensors)
        return below, None, None, None
