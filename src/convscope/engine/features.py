"""Features: outputs of layers for a batch of images, as in the paper's Fig. 5 and Table 1."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.axes import MAPS, Axes, layer_axes, maps_of, traced_axes
from convscope.engine.hooks import evaluating, on_output
from convscope.engine.trace import unknown_layer_message
from convscope.errors import UserError


class Features(NamedTuple):
    """layers: what `take` made of each layer's output, by module path. logits: [N, K]."""

    layers: dict[str, Tensor]
    logits: Tensor


def features(
    net: nn.Module, images: Tensor, layers: Iterable[str], take: Callable[[Tensor], Tensor] = Tensor.clone
) -> Features:
    """Outputs of layers in one pass of images [N, 3, H, W] in eval mode, on the net's device; the net stays as it is.

    take: reduces a layer's output [N, C, h, w] or [N, C] while the layer's hook runs, because the next layer may write
    over it. Maps in another memory layout, such as [N, h, w, C], are permuted first. Where the layout of the net is not
    known yet, the net is traced, and the pass is repeated if there are such maps. Raises UserError for an unknown
    layer, and for a layer that runs not at all or more than once, or outputs no tensor.
    """
    paths = [path for path, _ in net.named_modules() if path]
    unique = list(dict.fromkeys(layers))
    if unknown := [layer for layer in unique if layer not in paths]:
        raise UserError(unknown_layer_message(unknown[0], paths))
    axes = traced_axes(net)
    takers = {layer: _Taker(layer, take, axes) for layer in unique}
    logits = _pass(net, images, takers)
    if axes is None and any(taker.maps for taker in takers.values()):
        axes = layer_axes(net, tuple(images.shape[1:]))
        if any(axes.get(layer, MAPS) != MAPS for layer in unique):
            takers = {layer: _Taker(layer, take, axes) for layer in unique}
            logits = _pass(net, images, takers)
    return Features({layer: taker.result() for layer, taker in takers.items()}, logits)


def _pass(net: nn.Module, images: Tensor, takers: "dict[str, _Taker]") -> Tensor:
    """Logits of one pass with the takers' hooks on their layers."""
    hooks = [on_output(net.get_submodule(layer), taker.hook) for layer, taker in takers.items()]
    try:
        with torch.inference_mode(), evaluating(net):
            return net(images.to(next(net.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()


class _Taker:
    """Takes one layer's output in a pass. maps: whether it has four dimensions. axes: by layer, None if not known."""

    def __init__(self, layer: str, take: Callable[[Tensor], Tensor], axes: dict[str, Axes] | None):
        self.layer, self.take, self.axes = layer, take, axes
        self.maps = False
        self.value: Tensor | Exception | None = None

    def hook(self, module: nn.Module, args: Any, output: Any) -> None:
        """A forward hook. Raises UserError for a second run and for an output that is no tensor."""
        if self.value is not None or not isinstance(output, Tensor):
            why = "puts out no single tensor" if self.value is None else "runs several times in one pass"
            raise UserError(f"layer {self.layer} {why}, so it has no features; choose another layer")
        self.maps = output.dim() == 4
        try:
            self.value = self.take(maps_of(output, (self.axes or {}).get(self.layer)))
        except (IndexError, RuntimeError, UserError) as error:  # may come from another memory layout
            self.value = error

    def result(self) -> Tensor:
        """What `take` made of the output. Raises the error of `take`, and UserError where the layer did not run."""
        if isinstance(self.value, Exception):
            raise self.value
        if self.value is None:
            raise UserError(f"layer {self.layer} does not run by itself, so it has no features; choose another layer")
        return self.value
