"""Running a net from the middle of its pass, where what its first calls put out is known already."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.engine.calls import Call, leaves
from convscope.engine.trace import PIXELS, evaluating


def resume(
    net: nn.Module, head: Sequence[Call], shapes: Mapping[int, tuple[int, ...]], maps: Tensor, layer: str | None
) -> tuple[Tensor, Tensor | None]:
    """What the net and one layer above the head put out, in eval mode, if the head puts out these maps [n, ...].

    head: the first calls of the net's traced pass, each taking what the one before it puts out; maps may be changed.
    The net's own code runs, so that whatever depends on the number of images is right.
    """
    seen: list[Tensor] = []
    handle = None
    if layer is not None:
        module = net.get_submodule(layer)
        handle = module.register_forward_hook(lambda module, args, output: seen.append(output.clone()))
    skip = _Skip(head, shapes, maps)
    try:
        with torch.inference_mode(), evaluating(net), skip:
            logits = net(skip.at)
    finally:
        if handle is not None:
            handle.remove()
    assert not skip.head, "the net did not take the same way as when it was traced"
    return logits, seen[0] if seen else None


class _Skip(TorchFunctionMode):
    """Puts out empty stand-ins of the right shape for all calls of the head but the last one."""

    def __init__(self, head: Sequence[Call], shapes: Mapping[int, tuple[int, ...]], maps: Tensor):
        super().__init__()
        self.head, self.shapes, self.maps = list(head), shapes, maps
        self.at = self._stand_in(PIXELS)

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.head or func.__name__ != self.head[0].name or not self._takes(args, kwargs):
            return func(*args, **kwargs)
        call = self.head.pop(0)
        self.at = self._stand_in(call.outputs[0]) if self.head else self.maps
        return self.at

    def _takes(self, args: Any, kwargs: dict[str, Any]) -> bool:
        return any(leaf is self.at for leaf in leaves((*args, *kwargs.values())))

    def _stand_in(self, number: int) -> Tensor:
        return self.maps.new_zeros(1).expand(len(self.maps), *self.shapes[number][1:])
