"""Activations among the calls of a net: a ReLU in any spelling, related functions, functions with an upper bound."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine.calls import Call, Ref
from convscope.engine.operations import ACTIVATION, BOUNDED, CLAMP, INERT, MAX_POOL, PRODUCT, operation
from convscope.engine.trace import Trace

_MAXIMA = {"maximum", "max", "fmax"}  # of two tensors

Kind = tuple[str, tuple[int, ...]]  # name of a call, and shape of its input for one image


class Activation(NamedTuple):
    """An activation about to run. x: its input. again: the call as a function of the input alone."""

    x: Tensor
    again: Callable[[Tensor], Tensor]


class Bounds(NamedTuple):
    """Input values at which an activation becomes flat: below `low` and from `high` on. None: at no finite value."""

    low: float | None
    high: float | None


class BoundedActivation(NamedTuple):
    """An activation with an upper bound at the end of a layer.

    call: the activation. kind, place: it is call number `place` of its `kind_of` in a pass. after: calls between it
    and the layer's output that keep the order of values, such as a max pool.
    """

    call: Call
    kind: Kind
    place: int
    bounds: Bounds
    after: tuple[Call, ...]


def is_activation(call: Call) -> bool:
    """Whether a traced call is an activation by its name and its constant arguments."""
    return _is_named(call.name, call.args, call.kwargs)


def read_activation(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Activation | None:
    """The activation in a call that is about to run on real values with gradients; None for other calls.

    A ReLU may be written as maximum(x, 0), where(x > 0, x, 0), x * (x > 0), masked_fill(x < 0, 0) or x[x < 0] = 0:
    these are recognized by their values.
    """
    name, values = func.__name__, [*args, *kwargs.values()]
    if _is_named(name, args, kwargs):
        options = dict(kwargs)
        x, *rest = args or (options.pop("input"),)
        return Activation(x, lambda value: func(value, *rest, **options))
    pair = len(values) == 2 and all(isinstance(value, Tensor) for value in values)
    if name in _MAXIMA and pair:
        return next((_relu(x) for x, zero in (values, values[::-1]) if _depends(x) and _is_zero(zero)), None)
    if operation(name).kind == PRODUCT and "div" not in name and pair:
        orders = [values] if name in ("mul_", "__imul__") else [values, values[::-1]]
        masked = next((x for x, mask in orders if _depends(x) and _is_mask(mask, x, True)), None)
        return None if masked is None else _relu(masked, name in ("mul_", "__imul__"))
    if name in ("where", "masked_fill", "masked_fill_", "__setitem__") and len(values) == 3:
        return _masked(name, values)
    return None


def kind_of(func: Callable[..., Any], args: tuple[Any, ...]) -> Kind | None:
    """Kind of a call that is about to run, by which a CallCounter counts it; None for one without upper bound."""
    if func.__name__ not in BOUNDED or not args or not isinstance(args[0], Tensor):
        return None
    return func.__name__, tuple(args[0].shape[1:])


def activation_bounds(call: Call) -> Bounds | None:
    """Bounds of an activation; None for a call without an upper bound, or with a bound that is no number."""
    first, second = (*call.args[1:], None, None)[:2]
    match call.name:
        case "relu6":
            return Bounds(0, 6)
        case "hardtanh" | "hardtanh_":
            low, high = call.kwargs.get("min_val", first), call.kwargs.get("max_val", second)
            return Bounds(-1.0 if low is None else low, 1.0 if high is None else high)
        case "hardsigmoid":
            return Bounds(-3, 3)
        case "sigmoid" | "sigmoid_" | "tanh" | "tanh_":
            return Bounds(None, None)
        case "clamp_max" | "clamp_max_":
            return _numbers(None, call.kwargs.get("max", first))
        case "clamp" | "clamp_" | "clip" | "clip_":
            return _numbers(call.kwargs.get("min", first), call.kwargs.get("max", second))
    return None


def bounded_activation(net_trace: Trace, layer: str) -> BoundedActivation | None:
    """The activation that bounds the layer's output from above; None where there is none."""
    makers = {number: place for place, call in enumerate(net_trace.calls) for number in call.outputs}
    number, after = net_trace.layer(layer).output, list[Call]()
    while number in makers:
        place = makers[number]
        call = net_trace.calls[place]
        takes_one = len(call.inputs) == 1 and call.args and isinstance(call.args[0], Ref)
        bounds = activation_bounds(call) if takes_one else None
        if bounds is not None:
            shapes = net_trace.shapes
            kinds = [(step.name, shapes[step.inputs[0]][1:] if step.inputs else ()) for step in net_trace.calls]
            return BoundedActivation(call, kinds[place], kinds[:place].count(kinds[place]), bounds, tuple(after[::-1]))
        if call.kind not in (MAX_POOL, INERT) or len(call.inputs) != 1:
            return None
        after.append(call)
        number = call.inputs[0]
    return None


def slope(activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Derivative of an elementwise activation at each value of x; x stays as it is."""
    with torch.inference_mode(False), torch.enable_grad():
        at = x.detach().clone().requires_grad_()
        return torch.autograd.grad(activation(at * 1).sum(), at)[0]


def slopes_open_at_bound(slopes: Tensor, x: Tensor, bounds: Bounds | None) -> Tensor:
    """Slopes at x with 1 in place of 0 for units at their upper bound, because such a unit is on."""
    if bounds is None:
        return slopes
    return slopes.masked_fill((slopes == 0) & (x >= (bounds.high if bounds.high is not None else 0)), 1)


class CallCounter:
    """Counts calls by kind, to find a traced activation in another pass of the same net."""

    def __init__(self) -> None:
        self.counts: dict[Kind, int] = {}

    def place(self, kind: Kind) -> int:
        """Number of calls of this kind before this one, which is counted too."""
        self.counts[kind] = self.counts.get(kind, -1) + 1
        return self.counts[kind]


def _numbers(low: Any, high: Any) -> Bounds | None:
    if type(high) not in (int, float) or not (low is None or type(low) in (int, float)):
        return None
    return Bounds(low, high)


def _is_named(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    kind = operation(name).kind
    return kind == ACTIVATION or (kind == CLAMP and _begins_at_zero(args, kwargs))


def _begins_at_zero(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    low = kwargs.get("min", args[1] if len(args) > 1 else None)
    high = kwargs.get("max", args[2] if len(args) > 2 else None)
    begins = _is_zero(low) if isinstance(low, Tensor) else type(low) in (int, float) and low == 0
    return begins and (high is None or isinstance(high, Tensor) or high > 0)


def _relu(x: Tensor, in_place: bool = False) -> Activation:
    return Activation(x, F.relu_ if in_place else F.relu)


def _masked(name: str, values: list[Any]) -> Activation | None:
    """The ReLU in where(mask, x, 0), where(mask, 0, x), x.where(mask, 0), x.masked_fill(mask, 0) or x[mask] = 0."""
    if name == "where":
        mask_first = getattr(values[0], "dtype", None) == torch.bool
        mask, yes, no = values if mask_first else (values[1], values[0], values[2])
        x, fill, on = (yes, no, True) if _depends(yes) else (no, yes, False)
    else:
        (x, mask, fill), on = values, False
    zero = _is_zero(fill) if isinstance(fill, Tensor) else type(fill) in (int, float) and fill == 0
    if not zero or not _depends(x) or not _is_mask(mask, x, on):
        return None
    return _relu(x, name in ("masked_fill_", "__setitem__"))


def _depends(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad and x.is_floating_point()


def _is_zero(x: Tensor) -> bool:
    return not x.requires_grad and not bool(x.any())


def _is_mask(mask: Any, x: Tensor, on: bool) -> bool:
    """Whether a mask of 1 and 0 marks where x is positive (on), or where it is not; a leaky ReLU has other values."""
    if not isinstance(mask, Tensor) or mask.requires_grad or mask.shape != x.shape:
        return False
    signs = (x > 0, x >= 0) if on else (x <= 0, x < 0)
    return any(torch.equal(mask, sign.to(mask.dtype)) for sign in signs)
