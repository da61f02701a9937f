"""The trace of a net: every call of a torch function in one forward pass, in order, with the shapes of the tensors.

A TorchFunctionMode sees functions and methods wherever the net calls them, in place or not; module hooks give the
tensors their layer. Only shapes matter, so convolutions and linear layers, nearly all of the work, return zeros.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.engine.calls import Call, Ref, arguments_by_name, leaves, map_leaves
from convscope.engine.hooks import evaluating, is_scripted, on_output, outermost_scripted
from convscope.engine.operations import CONVOLUTION, MATRIX, WEIGHTS, operation
from convscope.errors import UserError, did_you_mean, reason_of

PIXELS = 0  # number of the net's input tensor


class Layer(NamedTuple):
    """A module in the pass. output: number of its last output. runs: how often it ran.

    input: number of its first argument in the last run; None where that is no tensor of the pass.
    """

    output: int
    runs: int
    input: int | None = None


@dataclass(frozen=True)
class Trace:
    """calls in order; shapes by tensor number; layers by module path, in the order in which they finish.

    owners: for each call the path of the innermost module in which it happened, "" for the net itself. output: number
    of the tensor that the net returns; None for another result.
    """

    calls: tuple[Call, ...]
    shapes: dict[int, tuple[int, ...]]
    layers: dict[str, Layer]
    owners: tuple[str, ...] = ()
    output: int | None = None

    def layer(self, path: str) -> Layer:
        """The layer of this path. Raises UserError for a layer that is not in the pass or runs more than once."""
        if path not in self.layers:
            raise UserError(unknown_layer_message(path, self.layers))
        if (runs := self.layers[path].runs) > 1:
            raise UserError(
                f"layer {path} runs {runs} times in one pass, so it has no single map; choose a layer that runs once"
            )
        return self.layers[path]


def unknown_layer_message(path: str, layers: Iterable[str]) -> str:
    """The message for a layer that a net does not have, with all its layers, or the nearest names of many layers."""
    names = list(layers)
    near = names if len(names) <= 40 else difflib.get_close_matches(path, names, 10, 0.3) or names[:10]
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    return f"no layer {path} in this net{did_you_mean(path, names)}; its layers: {', '.join(near)}{more}"


ImageSize = int | tuple[int, ...]  # side; height and width; or colors, height and width: 3 colors by default


def trace(net: nn.Module, image: ImageSize, remedy: str = "give it images of the size that its makers mean") -> Trace:
    """The trace of one image in eval mode; the net stays as it is.

    Raises UserError for an image size that the net cannot take. remedy: what the message suggests.
    """
    image = image_shape(image)
    like = next((value for value in net.parameters() if value.is_floating_point()), torch.empty(0))
    pixels = torch.zeros(1, *image, dtype=like.dtype, device=like.device)
    recorder = _Recorder(pixels)
    plain = {path: module for path, module in net.named_modules() if path and not is_scripted(module)}
    hooks = [module.register_forward_pre_hook(recorder.entry_hook(path)) for path, module in plain.items()]
    hooks += [module.register_forward_hook(recorder.layer_hook(path)) for path, module in plain.items()]
    hooks += [on_output(module, recorder.scripted_hook(path)) for path, module in outermost_scripted(net).items()]
    try:
        with evaluating(net), torch.no_grad(), recorder:
            result = net(pixels)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ZeroDivisionError) as error:
        raise UserError(
            f"the net cannot take an image of {' x '.join(map(str, image))} ({reason_of(error, 160)}); {remedy}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    calls, owners, output = tuple(recorder.calls), tuple(recorder.owners), recorder.numbers.get(id(result))
    return Trace(calls, recorder.shapes, recorder.layers, owners, output)


def image_shape(image: ImageSize) -> tuple[int, ...]:
    """Colors, height and width of an image of this size."""
    if isinstance(image, int):
        return 3, image, image
    return (3, *image) if len(image) == 2 else image


class _Recorder(TorchFunctionMode):
    """Numbers tensors as they appear. A tensor that is changed in place gets a new number, like a new tensor."""

    def __init__(self, pixels: Tensor):
        super().__init__()
        self.alive = [pixels]  # Python could give the id of a freed tensor to another one
        self.numbers = {id(pixels): PIXELS}
        self.shapes = {PIXELS: tuple(pixels.shape)}
        self.calls: list[Call] = []
        self.owners: list[str] = []
        self.layers: dict[str, Layer] = {}
        self.running: list[tuple[str, int | None]] = [("", PIXELS)]  # path and input of the modules that now run

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs: list[int] = []
        arguments = map_leaves((args, kwargs or {}), lambda leaf: self._with_ref(leaf, inputs))
        result = self._result(func, args, kwargs or {})
        returned = args[0] if func.__name__ == "__setitem__" else result
        outputs = [self._number(leaf) for leaf in leaves(returned) if isinstance(leaf, Tensor)]
        if outputs:
            self._add(Call(func, arguments[0], arguments[1], tuple(dict.fromkeys(inputs)), tuple(outputs)))
        return result

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        self.owners.append(self.running[-1][0])

    def _result(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of the call; zeros of the same shape for a convolution or a linear layer."""
        if (kind := operation(func.__name__).kind) not in (CONVOLUTION, MATRIX):
            return func(*args, **kwargs)
        arguments = arguments_by_name(func.__name__, args, kwargs)
        x, weight = arguments["input"], arguments["weight"]
        if kind == MATRIX:
            return x.new_zeros(*x.shape[:-1], *weight.shape[:-1])
        return x.new_zeros(*x.shape[:-3], len(weight), *_convolution_sides(x, weight, arguments))

    def entry_hook(self, path: str) -> Callable[[nn.Module, Any], None]:
        """A hook for the start of a module."""

        def hook(module: nn.Module, args: Any) -> None:
            self.running.append((path, self._input(args)))

        return hook

    def layer_hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        """A hook for the output of a module."""

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            input_number = self.running.pop()[1]
            if isinstance(output, Tensor) and id(output) not in self.numbers:  # from a call that Python did not see
                self._add_module_call(module, f"module {type(module).__name__}", args, output)
            self._finish(path, input_number, output)

        return hook

    def scripted_hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        """A hook for the output of a compiled module: one call with the name of its class in lower case.

        The name of a module with weights is no function's, because the call does not show its weights.
        """

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            input_number = self._input(args)  # before the output gets a number: it may be the input, changed in place
            name = str(module.original_name).lower()
            self._add_module_call(module, f"module {name}" if operation(name).kind in WEIGHTS else name, args, output)
            self._finish(path, input_number, output)

        return hook

    def _add_module_call(self, module: nn.Module, name: str, args: Any, output: Any) -> None:
        """Adds the whole module as one call."""
        inputs: list[int] = []
        arguments = map_leaves(args, lambda leaf: self._with_ref(leaf, inputs))
        if isinstance(output, Tensor) and inputs:
            outputs = (self._number(output),)
            self._add(Call(_ModuleCall(module, name), arguments, {}, tuple(dict.fromkeys(inputs)), outputs))

    def _input(self, args: Any) -> int | None:
        return self.numbers.get(id(args[0])) if args and isinstance(args[0], Tensor) else None

    def _finish(self, path: str, input_number: int | None, output: Any) -> None:
        if isinstance(output, Tensor) and id(output) in self.numbers:
            runs = self.layers.pop(path).runs if path in self.layers else 0
            self.layers[path] = Layer(self.numbers[id(output)], runs + 1, input_number)

    def _with_ref(self, leaf: Any, inputs: list[int]) -> Any:
        """A Ref in place of a tensor of the pass, whose number is added to `inputs`; other values as they are."""
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


def _convolution_sides(x: Tensor, weight: Tensor, arguments: dict[str, Any]) -> list[int]:
    """Rows and columns of a convolution's output."""
    padding = arguments.get("padding", 0)
    if padding == "same":
        return list(x.shape[-2:])
    pairs = (arguments.get("stride", 1), 0 if padding == "valid" else padding, arguments.get("dilation", 1))
    both = [(value, value) if isinstance(value, int) else (value[0], value[-1]) for value in pairs]
    sizes = zip(x.shape[-2:], weight.shape[2:], *both, strict=True)
    sides = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in sizes]
    if min(sides) < 1:
        raise ValueError(f"a window of {weight.shape[-1]} is larger than the map below")
    return sides
