"""Calls of torch functions in a traced pass, with their arguments by name; and the names of activations."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

_NAMES = """
    relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu silu mish hardswish
    softplus prelu threshold _threshold threshold_
"""
ACTIVATIONS = set(_NAMES.split())
CLAMPS = {"clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_"}  # a ReLU where the lower limit is 0

_ORDER = {  # of positional arguments
    "conv2d": "input weight bias stride padding dilation groups",
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "batch_norm": "input running_mean running_var weight bias training momentum eps",
    "cat": "tensors dim",
    "chunk": "input chunks dim",
    "split": "input split_size_or_sections dim",
    "pad": "input pad mode value",
    "linear": "input weight bias",
    "layer_norm": "input normalized_shape weight bias eps",
    "transpose": "input dim0 dim1",
}


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

    def arguments(self) -> dict[str, Any]:
        """Arguments by name, without those at their default."""
        return arguments_by_name(self.name, self.args, self.kwargs)

    def again(self, x: Tensor) -> Any:
        """Result of the same call on another input."""
        args, kwargs = map_leaves((self.args, self.kwargs), lambda leaf: x if isinstance(leaf, Ref) else leaf)
        return self.func(*args, **kwargs)


def arguments_by_name(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name of a call of one of the functions in _ORDER."""
    return dict(zip(_ORDER[name].split(), args, strict=False)) | dict(kwargs)


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
