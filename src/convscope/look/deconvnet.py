"""The deconvnet (Zeiler & Fergus, section 2.1): from one unit of a layer back down to the pixels that excite it.

Going down undoes each call of the way up: convolution by its transposed filters without bias, max pooling by putting
back at the switches (windows that share a switch add up; the paper does not say), contrast normalization and dropout
by passing through, batch normalization by its scale only. At a ReLU the rule decides what becomes of the signal
coming down:

    deconvnet   its negative part is set to 0 (the paper)
    guided      that, and 0 where the unit was off on the way up (Springenberg et al. 2015)
    gradient    0 where the unit was off on the way up

Ours: other activations (GELU, SiLU, hardswish, ...) are treated like ReLU, their slope in place of "off"; gates such as
sigmoid, layer normalization and attention keep their derivative. This engine works for every net, over the whole image.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.nets.trace import evaluating, trace
from convscope.problem import Problem

RULES = ("deconvnet", "guided", "gradient")
_NAMES = """
    relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu silu mish hardswish
    softplus prelu threshold clamp_min clamp_min_
"""
ACTIVATIONS = set(_NAMES.split())
PASSED = {"local_response_norm"}  # dropout is no call to pass: it does nothing in eval mode


class Picks(NamedTuple):
    """P units, int64 [P] each: image (its place in the batch), map and position; 0, 0 in a full row."""

    image: Tensor
    map: Tensor
    row: Tensor
    col: Tensor

    def part(self, start: int, stop: int) -> "Picks":
        return Picks(*(field[start:stop] for field in self))


def project(
    net: nn.Module, images: Tensor, layer: str, picks: Picks, rule: str = "deconvnet", chunk: int = 16
) -> Tensor:
    """Each picked unit, and nothing else of its layer, projected with the value 1: [P, 3, H, W].

    images [N, 3, H, W]; layer: a module path. `chunk` units at a time. The net is left as it was, training mode
    included. Raises Problem for an unknown rule or layer.
    """
    check_rule(rule)
    trace(net, tuple(images.shape[1:])).layer(layer)
    parts = [
        _descend(net, images[picks.image[at : at + chunk].to(images.device)], layer, picks.part(at, at + chunk), rule)
        for at in range(0, len(picks.image), chunk)
    ]
    return torch.cat(parts) if parts else images.new_zeros(0, *images.shape[1:])


def check_rule(rule: str) -> None:
    """Raises Problem for an unknown rule."""
    if rule not in RULES:
        raise Problem(f"rule {rule} is unknown; possible: {', '.join(RULES)}")


def slope(activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Derivative of an elementwise activation at each value of x; x is left as it is."""
    with torch.inference_mode(False), torch.enable_grad():
        at = x.detach().clone().requires_grad_()
        return torch.autograd.grad(activation(at * 1).sum(), at)[0]


def down_activation(rule: str, signal: Tensor, slopes: Tensor | None) -> Tensor:
    """The signal below an activation; slopes: its derivative on the way up, which deconvnet alone does without."""
    signal = signal if rule == "gradient" else signal.relu()
    return signal if slopes is None else signal * slopes


class _Reached(Exception):
    """Ends a forward pass at the layer."""


def _descend(net: nn.Module, pixels: Tensor, layer: str, picks: Picks, rule: str) -> Tensor:
    """pixels [p, 3, H, W], one for each of the p picks."""
    reached: list[Tensor] = []

    def stop(module: nn.Module, args: Any, output: Tensor) -> None:
        reached.append(output)
        raise _Reached

    with torch.inference_mode(False), torch.enable_grad(), evaluating(net):
        pixels = pixels.clone().requires_grad_()
        hook = net.get_submodule(layer).register_forward_hook(stop)
        try:
            with suppress(_Reached), _Rules(rule):
                net(pixels)
        finally:
            hook.remove()
        units = reached[0][:, :, None, None] if reached[0].dim() == 2 else reached[0]
        lit = [torch.arange(len(pixels)), picks.map, picks.row, picks.col]
        lit = [index.clone().to(units.device) for index in lit]  # autograd keeps no tensor made in inference mode
        return torch.autograd.grad(units[tuple(lit)].sum(), pixels)[0]


class _Rules(TorchFunctionMode):
    """Replaces what autograd does at activations and at contrast normalization; all other calls keep their adjoint."""

    def __init__(self, rule: str):
        super().__init__()
        self.rule = rule

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.__name__ in ACTIVATIONS | PASSED:
            x, *rest = args or (kwargs.pop("input"),)
            rule = self.rule if func.__name__ in ACTIVATIONS else None
            return _Down.apply(x, lambda value: func(value, *rest, **kwargs), rule)
        return func(*args, **kwargs)


class _Down(torch.autograd.Function):
    """The call itself on the way up; on the way down the rule, or the signal as it is where there is none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[Tensor], Tensor], rule: str | None) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward(slope(call, x) if rule in ("guided", "gradient") else None)
        result = call(x)
        if result is x:
            ctx.mark_dirty(x)
        return result

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None]:
        return signal if ctx.rule is None else down_activation(ctx.rule, signal, *ctx.saved_tensors), None, None
