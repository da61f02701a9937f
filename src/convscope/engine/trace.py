"""What a net does with an image: one forward pass, written down call by call.

Functions and methods are seen wherever they are called, from a module or not, in place or not; modules only name the
tensors they put out. Only shapes matter, so convolutions and linear layers, nearly all of the work, put out zeros.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.engine.calls import Call, Ref, arguments_by_name, leaves, map_leaves
from convscope.engine.hooks import evaluating, is_scripted, on_output, outermost
from convscope.errors import UserError

PIXELS = 0  # number of the tensor that goes into the net


class Layer(NamedTuple):
    """A module in the pass: the number of the tensor that it put out last, how often it ran, and what it took last.

    input: number of its first argument, None where that is no tensor of the pass.
    """

    output: int
    runs: int
    input: int | None = None


@dataclass(frozen=True)
class Trace:
    """calls in order; shapes by tensor number; layers by module path, in the order in which they finish.

    owners: of each call the path of the innermost module in which it was made, "" for the net itself.
    """

    calls: tuple[Call, ...]
    shapes: dict[int, tuple[int, ...]]
    layers: dict[str, Layer]
    owners: tuple[str, ...] = ()

    def layer(self, path: str) -> Layer:
        """Raises UserError, naming what is possible, for a layer that is not in the pass or has several outputs."""
        if path not in self.layers:
            raise UserError(unknown_layer_message(path, self.layers))
        if (runs := self.layers[path].runs) > 1:
            raise UserError(
                f"layer {path} runs {runs} times in one pass, so it has no single map; choose a layer that runs once"
            )
        return self.layers[path]


def unknown_layer_message(path: str, layers: Iterable[str]) -> str:
    """The message about a layer that a net does not have: all its layers, or the nearest names of many."""
    names = list(layers)
    near = names if len(names) <= 40 else difflib.get_close_matches(path, names, 10, 0.3) or names[:10]
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    return f"no layer {path} in this net; its layers: {', '.join(near)}{more}"


def trace(net: nn.Module, image: tuple[int, ...], remedy: str = "set data.image_size as its makers mean it") -> Trace:
    """The pass, in eval mode, of one image of shape `image` [3, H, W]. Nothing is changed in the net.

    Raises UserError for an image that the net cannot take, with what to do about it, the remedy.
    """
    like = next((value for value in net.parameters() if value.is_floating_point()), torch.empty(0))
    pixels = torch.zeros(1, *image, dtype=like.dtype, device=like.device)
    seen = _Recorder(pixels)
    plain = {path: module for path, module in net.named_modules() if path and not is_scripted(module)}
    hooks = [module.register_forward_pre_hook(seen.entry_hook(path)) for path, module in plain.items()]
    hooks += [module.register_forward_hook(seen.layer_hook(path)) for path, module in plain.items()]
    hooks += [on_output(module, seen.scripted_hook(path)) for path, module in outermost(net).items()]
    try:
        with evaluating(net), torch.no_grad(), seen:
            net(pixels)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"the net cannot take an image of {' x '.join(map(str, image))} ({reason}); {remedy}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return Trace(tuple(seen.calls), seen.shapes, seen.layers, tuple(seen.owners))


def chain(trace: Trace, layer: str) -> tuple[Call, ...] | None:
    """The calls from the pixels to the layer if each takes one tensor and gives one; None where paths meet."""
    makers = {call.outputs[0]: call for call in trace.calls if len(call.outputs) == 1}
    number, calls = trace.layer(layer).output, []
    while number != PIXELS:
        call = makers.get(number)
        if call is None or len(call.inputs) != 1:
            return None
        calls.append(call)
        number = call.inputs[0]
    return tuple(reversed(calls))


class _Recorder(TorchFunctionMode):
    """Numbers tensors as they appear. A tensor changed in place gets a new number, as if it were another."""

    def __init__(self, pixels: Tensor):
        super().__init__()
        self.alive = [pixels]  # so that no id comes back as another tensor
        self.numbers = {id(pixels): PIXELS}
        self.shapes = {PIXELS: tuple(pixels.shape)}
        self.calls: list[Call] = []
        self.owners: list[str] = []
        self.layers: dict[str, Layer] = {}
        self.running: list[tuple[str, int | None]] = [("", PIXELS)]  # path and input of the modules now at work

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs: list[int] = []
        named = map_leaves((args, kwargs or {}), lambda leaf: self._named(leaf, inputs))
        result = self._result(func, args, kwargs or {})
        made = args[0] if func.__name__ == "__setitem__" else result
        outputs = [self._number(leaf) for leaf in leaves(made) if isinstance(leaf, Tensor)]
        if outputs:
            self._add(Call(func, named[0], named[1], tuple(dict.fromkeys(inputs)), tuple(outputs)))
        return result

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        self.owners.append(self.running[-1][0])

    def _result(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__ not in ("conv2d", "linear"):
            return func(*args, **kwargs)
        given = arguments_by_name(func.__name__, args, kwargs)
        x, weight = given["input"], given["weight"]
        if func.__name__ == "linear":
            return x.new_zeros(*x.shape[:-1], *weight.shape[:-1])
        return x.new_zeros(*x.shape[:-3], len(weight), *_sides(x, weight, given))

    def entry_hook(self, path: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            self.running.append((path, self._input(args)))

        return hook

    def layer_hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            taken = self.running.pop()[1]
            if isinstance(output, Tensor) and id(output) not in self.numbers:  # by a call that is not seen
                self._add_whole(module, f"module {type(module).__name__}", args, output)
            self._finish(path, taken, output)

        return hook

    def scripted_hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        """All that a compiled module does is one call, known by the name of its class in lower case."""

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            taken = self._input(args)  # before a module that works in place gives it another number
            self._add_whole(module, str(module.original_name).lower(), args, output)
            self._finish(path, taken, output)

        return hook

    def _add_whole(self, module: nn.Module, name: str, args: Any, output: Any) -> None:
        """The whole module as one call."""
        inputs: list[int] = []
        named = map_leaves(args, lambda leaf: self._named(leaf, inputs))
        if isinstance(output, Tensor) and inputs:
            outputs = (self._number(output),)
            self._add(Call(_ModuleCall(module, name), named, {}, tuple(dict.fromkeys(inputs)), outputs))

    def _input(self, args: Any) -> int | None:
        return self.numbers.get(id(args[0])) if args and isinstance(args[0], Tensor) else None

    def _finish(self, path: str, taken: int | None, output: Any) -> None:
        if isinstance(output, Tensor) and id(output) in self.numbers:
            runs = self.layers.pop(path).runs if path in self.layers else 0
            self.layers[path] = Layer(self.numbers[id(output)], runs + 1, taken)

    def _named(self, leaf: Any, inputs: list[int]) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) in self.numbers:
            inputs.append(self.numbers[id(leaf)])
            return Ref(inputs[-1])
        return leaf

    def _number(self, tensor: Tensor) -> int:
        self.alive.append(tensor)
        self.numbers[id(tensor)] = number = len(self.shapes)
        self.shapes[number] = tuple(tensor.shape)
        return number


class _ModuleCall:
    """A module as the function of a call: torch.jit.script(nn.ReLU()) is a relu."""

    def __init__(self, module: nn.Module, name: str):
        self.module, self.__name__ = module, name

    def __call__(self, *args: Any) -> Any:
        return self.module(*args)


def _sides(x: Tensor, weight: Tensor, given: dict[str, Any]) -> list[int]:
    """Rows and columns that a convolution puts out."""
    padding = given.get("padding", 0)
    if padding == "same":
        return list(x.shape[-2:])
    pairs = (given.get("stride", 1), 0 if padding == "valid" else padding, given.get("dilation", 1))
    both = [(value, value) if isinstance(value, int) else (value[0], value[-1]) for value in pairs]
    sizes = zip(x.shape[-2:], weight.shape[2:], *both, strict=True)
    found = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in sizes]
    if min(found) < 1:
        raise ValueError(f"a window of {weight.shape[-1]} is larger than the map below")
    return found
