"""Which calls are activations: a ReLU in any of its spellings, its relatives, and those that end at an upper bound."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine.calls import ACTIVATIONS, CLAMPS, Call, Ref
from convscope.engine.trace import Trace

_MAXIMA = {"maximum", "max", "fmax"}
_PRODUCTS = {"mul", "mul_", "__mul__", "__imul__", "__rmul__", "multiply"}
_LIMITED = "relu6 hardtanh hardtanh_ clamp clamp_ clip clip_ clamp_max clamp_max_"
_BOUNDED = set(f"{_LIMITED} hardsigmoid sigmoid sigmoid_ tanh tanh_".split())


Kind = tuple[str, tuple[int, ...]]  # a call's name and what of an image it takes


class Activation(NamedTuple):
    """x: what the call takes. again: the call as a function of that alone."""

    x: Tensor
    again: Callable[[Tensor], Tensor]


class Bounds(NamedTuple):
    """Values of x below `low` and from `high` on give all the same; None: there is no such value, or no finite one."""

    low: float | None
    high: float | None


class BoundedActivation(NamedTuple):
    """A layer that ends in an activation with an upper bound.

    call: the activation; kind, place: which of the calls of its `kind_of` in a pass it is. after: calls between it and
    the layer's output that keep the order of values, such as a max pool.
    """

    call: Call
    kind: Kind
    place: int
    bounds: Bounds
    after: tuple[Call, ...]


def is_activation(call: Call) -> bool:
    """Whether a traced call is an activation, as far as its name and its numbers tell."""
    return _is_named(call.name, call.args, call.kwargs)


def read_activation(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Activation | None:
    """The activation that this call, about to be made on real values with gradients, is; None where it is none.

    A ReLU may be written as maximum(x, 0), where(x > 0, x, 0), x * (x > 0), masked_fill(x < 0, 0) or x[x < 0] = 0,
    which the values tell.
    """
    name, given = func.__name__, [*args, *kwargs.values()]
    if _is_named(name, args, kwargs):
        options = dict(kwargs)
        x, *rest = args or (options.pop("input"),)
        return Activation(x, lambda value: func(value, *rest, **options))
    if name in _MAXIMA and len(given) == 2 and all(isinstance(value, Tensor) for value in given):
        return next((_relu(x) for x, other in (given, given[::-1]) if _depends(x) and _is_zero(other)), None)
    if name in _PRODUCTS and len(given) == 2 and all(isinstance(value, Tensor) for value in given):
        pairs = [given] if name in ("mul_", "__imul__") else [given, given[::-1]]
        where = next((x for x, mask in pairs if _depends(x) and _is_mask(mask, x, True)), None)
        return None if where is None else _relu(where, name in ("mul_", "__imul__"))
    if name in ("where", "masked_fill", "masked_fill_", "__setitem__") and len(given) == 3:
        return _masked(name, given)
    return None


def kind_of(func: Callable[..., Any], args: tuple[Any, ...]) -> Kind | None:
    """What a call that is about to be made counts as; None for one that has no upper bound in any case."""
    if func.__name__ not in _BOUNDED or not args or not isinstance(args[0], Tensor):
        return None
    return func.__name__, tuple(args[0].shape[1:])


def activation_bounds(call: Call) -> Bounds | None:
    """None for a call without an upper bound, or with one that is no number."""
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


def bounded_activation(pass_: Trace, layer: str) -> BoundedActivation | None:
    """What bounds the layer's output from above; None where nothing does."""
    makers = {number: place for place, call in enumerate(pass_.calls) for number in call.outputs}
    number, after = pass_.layer(layer).output, list[Call]()
    while number in makers:
        place = makers[number]
        call = pass_.calls[place]
        found = (
            activation_bounds(call) if len(call.inputs) == 1 and call.args and isinstance(call.args[0], Ref) else None
        )
        if found is not None:
            kinds = [(other.name, pass_.shapes[other.inputs[0]][1:] if other.inputs else ()) for other in pass_.calls]
            return BoundedActivation(call, kinds[place], kinds[:place].count(kinds[place]), found, tuple(after[::-1]))
        if call.name not in ("max_pool2d", "dropout", "contiguous", "clone") or len(call.inputs) != 1:
            return None
        after.append(call)
        number = call.inputs[0]
    return None


def slope(activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Derivative of an elementwise activation at each value of x; x is left as it is."""
    with torch.inference_mode(False), torch.enable_grad():
        at = x.detach().clone().requires_grad_()
        return torch.autograd.grad(activation(at * 1).sum(), at)[0]


def slopes_open_at_bound(slopes: Tensor, x: Tensor, found: Bounds | None) -> Tensor:
    """The slopes at x with 1 in place of the 0 of a unit at its upper bound, which is on as no other."""
    if found is None:
        return slopes
    return slopes.masked_fill((slopes == 0) & (x >= (found.high if found.high is not None else 0)), 1)


class CallCounter:
    """Finds an activation with an upper bound again in another pass of the same net."""

    def __init__(self) -> None:
        self.counts: dict[Kind, int] = {}

    def place(self, kind: Kind) -> int:
        """How many calls of this kind there were before this one."""
        self.counts[kind] = self.counts.get(kind, -1) + 1
        return self.counts[kind]


def _numbers(low: Any, high: Any) -> Bounds | None:
    if type(high) not in (int, float) or not (low is None or type(low) in (int, float)):
        return None
    return Bounds(low, high)


def _is_named(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return name in ACTIVATIONS or (name in CLAMPS and _begins_at_zero(args, kwargs))


def _begins_at_zero(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    low = kwargs.get("min", args[1] if len(args) > 1 else None)
    high = kwargs.get("max", args[2] if len(args) > 2 else None)
    begins = _is_zero(low) if isinstance(low, Tensor) else type(low) in (int, float) and low == 0
    return begins and (high is None or isinstance(high, Tensor) or high > 0)


def _relu(x: Tensor, in_place: bool = False) -> Activation:
    return Activation(x, F.relu_ if in_place else F.relu)


def _masked(name: str, given: list[Any]) -> Activation | None:
    """where(mask, x, 0), where(mask, 0, x), x.masked_fill(mask, 0) and x[mask] = 0; x.where(mask, 0) has x first."""
    if name == "where":
        mask, yes, no = given if getattr(given[0], "dtype", None) == torch.bool else (given[1], given[0], given[2])
        x, other, on = (yes, no, True) if _depends(yes) else (no, yes, False)
    else:
        (x, mask, other), on = given, False
    zero = _is_zero(other) if isinstance(other, Tensor) else type(other) in (int, float) and other == 0
    if not zero or not _depends(x) or not _is_mask(mask, x, on):
        return None
    return _relu(x, name in ("masked_fill_", "__setitem__"))


def _depends(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad and x.is_floating_point()


def _is_zero(x: Tensor) -> bool:
    return not x.requires_grad and not bool(x.any())


def _is_mask(mask: Any, x: Tensor, on: bool) -> bool:
    """Whether it says where x is positive (on), or where it is not, by 1 and 0 alone; 0.1 is a leaky ReLU's."""
    if not isinstance(mask, Tensor) or mask.requires_grad or mask.shape != x.shape:
        return False
    signs = (x > 0, x >= 0) if on else (x <= 0, x < 0)
    return any(torch.equal(mask, sign.to(mask.dtype)) for sign in signs)
