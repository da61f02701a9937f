"""Calls of torch functions in a traced pass, their arguments by name, and the windows of convolutions and pools."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from torch import Tensor

from convscope.engine.operations import CONVOLUTION, MATRIX, MAX_POOL, MEAN_POOL, operation


@dataclass(frozen=True)
class Ref:
    """The tensor of this number, in the arguments of a call."""

    number: int


class Call(NamedTuple):
    """One call of a torch function.

    args, kwargs: the arguments, with the net's own weights and a Ref for each tensor of the pass. inputs, outputs:
    numbers of the tensors that the call takes and returns.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.func.__name__

    @property
    def kind(self) -> str:
        """Kind of the operation, by the table."""
        return operation(self.name).kind

    def arguments(self) -> dict[str, Any]:
        """Arguments by name, without those at their default."""
        return arguments_by_name(self.name, self.args, self.kwargs)

    def again(self, x: Tensor) -> Any:
        """Result of the same call on another input."""
        args, kwargs = map_leaves((self.args, self.kwargs), lambda leaf: x if isinstance(leaf, Ref) else leaf)
        return self.func(*args, **kwargs)


def is_in_place(call: Call) -> bool:
    """Whether a call writes over its input."""
    name = call.name
    if name.startswith("__i") and name.endswith("__"):
        return True
    flag = call.kwargs.get("inplace", call.args[-1] if call.args and call.args[-1] is True else False)
    return (name.endswith("_") and not name.endswith("__")) or flag is True


def arguments_by_name(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name of a call of a function whose arguments are in the table of operations."""
    return dict(zip(operation(name).arguments, args, strict=False)) | dict(kwargs)


def map_leaves(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The same nested lists, tuples and dictionaries, with `change` applied to every value in them."""
    if isinstance(tree, dict):
        return {key: map_leaves(value, change) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(map_leaves(value, change) for value in tree)
    return change(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Yields the values in nested lists and tuples."""
    if isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


Pair = tuple[int, int]  # rows, columns


class Window(NamedTuple):
    """A sliding window. kernel, stride, padding (above and left), dilation: rows and columns."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def extent(self) -> Pair:
        """Positions from one end of the window to the other, holes of the dilation included."""
        rows, cols = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, cols

    def below(self, size: Pair) -> Pair:
        """Size of the area in the map below that an area of this size in the map above depends on."""
        rows, cols = ((n - 1) * s + e for n, s, e in zip(size, self.stride, self.extent(), strict=True))
        return rows, cols


def window_of(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> Window | None:
    """Window of a convolution or of a pool with a fixed window; None for other calls. shapes: by tensor number."""
    if call.kind == CONVOLUTION:
        arguments = call.arguments()
        weight = arguments["weight"]
        shape = shapes[weight.number] if isinstance(weight, Ref) else weight.shape
        return _window((shape[2], shape[3]), arguments, stride=1)
    if call.kind in (MAX_POOL, MEAN_POOL):
        arguments = call.arguments()
        kernel = _pair(arguments["kernel_size"])
        return _window(kernel, arguments, stride=kernel)
    return None


def _window(kernel: Pair, arguments: dict[str, Any], stride: Any) -> Window:
    stride = arguments.get("stride") or stride  # for pools, None and () mean the kernel
    dilation = _pair(arguments.get("dilation", 1))
    padding = arguments.get("padding", 0)
    if padding == "same":
        padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return Window(kernel, _pair(stride), _pair(0 if padding == "valid" else padding), dilation)


def _pair(value: Any) -> Pair:
    values = (value,) if isinstance(value, int) else tuple(value)
    return (values[0], values[-1])


def multiplications(call: Call, shapes: Mapping[int, tuple[int, ...]]) -> int:
    """Multiplications of a convolution or a linear layer; 0 for other calls."""
    weight = call.arguments().get("weight") if call.kind in (CONVOLUTION, MATRIX) else None
    if weight is None:
        return 0
    shape = shapes[weight.number] if isinstance(weight, Ref) else weight.shape
    return prod(shapes[call.outputs[0]]) * prod(shape[1:])
