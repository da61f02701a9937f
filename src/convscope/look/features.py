"""What chosen layers put out for a batch of images: features in the sense of the paper's Fig. 5 and Table 1."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.nets.axes import Axes, layer_axes, maps_of
from convscope.nets.scripted import on_output
from convscope.nets.trace import evaluating, no_layer
from convscope.problem import Problem


class Features(NamedTuple):
    """layers: what was taken of each layer's output, by module path. logits [N, K]."""

    layers: dict[str, Tensor]
    logits: Tensor


def features(
    net: nn.Module, images: Tensor, layers: Iterable[str], take: Callable[[Tensor], Tensor] = Tensor.clone
) -> Features:
    """One pass of images [N, 3, H, W], on the net's device, in eval mode; the net is left as it was.

    take: makes of a layer's output [N, C, h, w] or [N, C] what is kept of it, at once, because the next layer may write
    over it. Maps that a net puts out as [N, h, w, C] are turned round before. Raises Problem for an unknown layer, and
    for one that runs not at all or more than once or puts out no tensor.
    """
    known = {path: module for path, module in net.named_modules() if path}
    wanted = list(dict.fromkeys(layers))
    taken: dict[str, Tensor] = {}
    hooks = []
    axes = layer_axes(net, tuple(images.shape[1:]))
    try:
        for layer in wanted:
            if layer not in known:
                raise Problem(no_layer(layer, known))
            hooks.append(on_output(known[layer], _taker(layer, axes.get(layer), take, taken)))
        with torch.inference_mode(), evaluating(net):
            logits = net(images.to(next(net.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    if missing := [layer for layer in wanted if layer not in taken]:
        raise Problem(f"layer {missing[0]} does not run by itself, so it has no features; choose another layer")
    return Features({layer: taken[layer] for layer in wanted}, logits)


def _taker(
    layer: str, axes: Axes | None, take: Callable[[Tensor], Tensor], taken: dict[str, Tensor]
) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if layer in taken or not isinstance(output, Tensor):
            why = "runs several times in one pass" if layer in taken else "puts out no single tensor"
            raise Problem(f"layer {layer} {why}, so it has no features; choose another layer")
        taken[layer] = take(maps_of(output, axes))

    return hook
