"""A net run on from the end of its local part, by its own code, with the calls of the part skipped."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.engine.calls import leaves
from convscope.engine.hooks import evaluating
from convscope.engine.recomputation.local_part import LocalPart
from convscope.engine.steps import is_in_place
from convscope.engine.trace import PIXELS


def run_above(
    net: nn.Module, part: LocalPart, ends: Mapping[int, Tensor], layer: str | None
) -> tuple[Tensor, Tensor | None]:
    """Logits, and the output of one layer above the part, in eval mode.

    ends: the tensors at the end of the part [n, ...], by number; may be changed. layer: None for logits alone. The
    net's code runs, so that everything that depends on the number of images is right.
    """
    outputs: list[Tensor] = []
    handle = None
    if layer is not None:
        module = net.get_submodule(layer)
        handle = module.register_forward_hook(lambda module, args, output: outputs.append(output.clone()))
    skipped = _SkippedCalls(part, ends)
    try:
        with torch.inference_mode(), evaluating(net), skipped:
            logits = net(skipped.tensor(PIXELS))
    finally:
        if handle is not None:
            handle.remove()
    assert not skipped.calls, "the net did not make the same calls as in its trace"
    return logits, outputs[0] if outputs else None


class _SkippedCalls(TorchFunctionMode):
    """Returns the tensors at the end of the part, and placeholders of the right shape for the other ones in it."""

    def __init__(self, part: LocalPart, ends: Mapping[int, Tensor]):
        super().__init__()
        self.calls, self.ends, self.shapes = list(part.calls), ends, part.net_trace.shapes
        self.like = next(iter(ends.values()))
        self.tensors: dict[int, tuple[Tensor, int]] = {}  # tensors of the part and their numbers, by id

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = [leaf for leaf in leaves((*args, *kwargs.values())) if id(leaf) in self.tensors]
        if self._is_next(func, inputs):
            call = self.calls.pop(0)
            if is_in_place(call):
                return self._overwritten(args[0], call.outputs[0])
            outputs = [self.tensor(number) for number in call.outputs]
            return outputs[0] if len(outputs) == 1 else tuple(outputs)
        result = func(*args, **kwargs)
        for leaf in leaves(result):
            if isinstance(leaf, Tensor):
                self.tensors.pop(id(leaf), None)  # changed in place above the part
        return result

    def _is_next(self, func: Callable[..., Any], inputs: list[Any]) -> bool:
        if not self.calls or not inputs or func.__name__ != self.calls[0].name:
            return False
        return {self.tensors[id(leaf)][1] for leaf in inputs} == set(self.calls[0].inputs) & self._numbers()

    def _numbers(self) -> set[int]:
        return {number for _, number in self.tensors.values()}

    def tensor(self, number: int) -> Tensor:
        """The tensor of this number, or a placeholder of its shape."""
        value = self._value(number)
        self.tensors[id(value)] = value, number
        return value

    def _overwritten(self, tensor: Tensor, number: int) -> Tensor:
        """The same tensor with the value of another number."""
        tensor.set_(self._value(number))  # type: ignore[call-overload]
        self.tensors[id(tensor)] = tensor, number
        return tensor

    def _value(self, number: int) -> Tensor:
        if number in self.ends:
            return self.ends[number]
        return self.like.new_zeros(1).expand(len(self.like), *self.shapes[number][1:])
