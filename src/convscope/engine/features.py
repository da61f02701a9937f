"""What chosen layers put out for a batch of images: features in the sense of the paper's Fig. 5 and Table 1."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.axes import MAPS, Axes, layer_axes, maps_of, traced_axes
from convscope.engine.hooks import evaluating, on_output
from convscope.engine.trace import unknown_layer_message
from convscope.errors import UserError


class Features(NamedTuple):
    """layers: what was taken of each layer's output, by module path. logits [N, K]."""

    layers: dict[str, Tensor]
    logits: Tensor


def features(
    net: nn.Module, images: Tensor, layers: Iterable[str], take: Callable[[Tensor], Tensor] = Tensor.clone
) -> Features:
    """One pass of images [N, 3, H, W], on the net's device, in eval mode; the net is left as it was.

    take: makes of a layer's output [N, C, h, w] or [N, C] what is kept of it, at once, because the next layer may write
    over it. Maps that a net puts out as [N, h, w, C] are turned round before: where that is not known of the net yet, a
    pass is traced, and another one made where there are such maps. Raises UserError for an unknown layer, and for one
    that runs not at all or more than once or puts out no tensor.
    """
    known = [path for path, _ in net.named_modules() if path]
    wanted = list(dict.fromkeys(layers))
    if unknown := [layer for layer in wanted if layer not in known]:
        raise UserError(unknown_layer_message(unknown[0], known))
    axes = traced_axes(net)
    takers = {layer: _Taker(layer, take, axes) for layer in wanted}
    logits = _pass(net, images, takers)
    if axes is None and any(taker.maps for taker in takers.values()):
        axes = layer_axes(net, tuple(images.shape[1:]))
        if any(axes.get(layer, MAPS) != MAPS for layer in wanted):
            takers = {layer: _Taker(layer, take, axes) for layer in wanted}
            logits = _pass(net, images, takers)
    return Features({layer: taker.result() for layer, taker in takers.items()}, logits)


def _pass(net: nn.Module, images: Tensor, takers: "dict[str, _Taker]") -> Tensor:
    """The logits of one pass in which the takers take what they are for."""
    hooks = [on_output(net.get_submodule(layer), taker.hook) for layer, taker in takers.items()]
    try:
        with torch.inference_mode(), evaluating(net):
            return net(images.to(next(net.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()


class _Taker:
    """Takes what one layer puts out in a pass. maps: whether that has four dimensions; axes: by layer, if known."""

    def __init__(self, layer: str, take: Callable[[Tensor], Tensor], axes: dict[str, Axes] | None):
        self.layer, self.take, self.axes = layer, take, axes
        self.maps = False
        self.taken: Tensor | Exception | None = None

    def hook(self, module: nn.Module, args: Any, output: Any) -> None:
        if self.taken is not None or not isinstance(output, Tensor):
            why = "puts out no single tensor" if self.taken is None else "runs several times in one pass"
            raise UserError(f"layer {self.layer} {why}, so it has no features; choose another layer")
        self.maps = output.dim() == 4
        try:
            self.taken = self.take(maps_of(output, (self.axes or {}).get(self.layer)))
        except (IndexError, RuntimeError, UserError) as error:  # may be of rows taken for maps
            self.taken = error

    def result(self) -> Tensor:
        if isinstance(self.taken, Exception):
            raise self.taken
        if self.taken is None:
            raise UserError(f"layer {self.layer} does not run by itself, so it has no features; choose another layer")
        return self.taken
