"""Which maps and units a set of images excites: dead maps, dead and saturated units.

A map is dead if no image excites it anywhere (section 4.1 speaks of dead features). A unit of a linear layer is
saturated at 0 if no image turns it on, and at the other end if every image does; both tell images apart no more. The
paper names no measure; these are ours.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.activations import is_activation
from convscope.engine.calls import Call
from convscope.engine.features import features
from convscope.engine.operations import BATCH_NORM, CLAMP, INERT, RECTIFIERS
from convscope.engine.trace import ImageSize, Trace, trace

SURE = 0.999  # probability from which an image's most probable class counts as saturated


class WatchedLayer(NamedTuple):
    """A layer, and the module whose output tells what excites the layer: its batch normalization, where it has one.

    rectified: whether a unit is on where that output is above zero. Otherwise (the last convolution of a residual
    block) every value passes, and only a constant map is dead.
    """

    layer: str
    module: str
    kind: Literal["maps", "units"]
    rectified: bool


class Activity(NamedTuple):
    """A layer's C maps or units over all images.

    on [C]: share of images that turn it on somewhere. low, high [C]: its lowest and highest output.
    """

    on: Tensor
    low: Tensor
    high: Tensor


class UnitStatistics(NamedTuple):
    """layers: by name. sure: share of images whose most probable class has a probability above 0.999."""

    layers: dict[str, Activity]
    sure: float


def watched_layers(net: nn.Module, image_size: ImageSize) -> list[WatchedLayer]:
    """The layers that run once, in order: convolutions with more than one position, linear layers but the last."""
    pass_ = trace(net, image_size)
    ends = [path for path in pass_.layers if isinstance(net.get_submodule(path), nn.Conv2d | nn.Linear)]
    layers = []
    for path in ends[:-1]:
        shape = pass_.shapes[pass_.layers[path].output]
        maps = isinstance(net.get_submodule(path), nn.Conv2d) and len(shape) == 4 and shape[2:] != (1, 1)
        units = isinstance(net.get_submodule(path), nn.Linear) and len(shape) == 2
        if pass_.layers[path].runs == 1 and (maps or units):
            layers.append(WatchedLayer(path, *_watched_module(net, pass_, path, "maps" if maps else "units")))
    return layers


def unit_statistics(net: nn.Module, batches: Iterable[Tensor], layers: Iterable[WatchedLayer]) -> UnitStatistics:
    """Statistics of layers by one pass over batches of images [n, 3, H, W]. Raises ValueError for no batches."""
    layers, parts, sure = list(layers), list[dict[str, Tensor]](), list[Tensor]()
    for images in batches:
        outputs = features(net, images, {watch.module for watch in layers}, _extremes)
        parts.append({layer: ends.cpu() for layer, ends in outputs.layers.items()})
        sure.append((outputs.logits.float().softmax(1).amax(1) > SURE).cpu())
    if not parts:
        raise ValueError("no images to judge a net by")
    return UnitStatistics(
        {watch.layer: _over_images(watch, parts) for watch in layers}, float(torch.cat(sure).float().mean())
    )


def dead_units(outputs: Activity, rectified: bool) -> Tensor:
    """Numbers [n] of the maps or units that no image excites."""
    return (outputs.on == 0 if rectified else outputs.high <= outputs.low).nonzero()[:, 0]


def always_on_units(outputs: Activity) -> Tensor:
    """Numbers [n] of the units that every image turns on."""
    return (outputs.on == 1).nonzero()[:, 0]


def _extremes(output: Tensor) -> Tensor:
    """Lowest and highest value [n, C, 2] over the positions."""
    flat = output.detach().float().flatten(2) if output.dim() > 2 else output.detach().float()[:, :, None]
    return torch.stack([flat.amin(2), flat.amax(2)], 2)


def _over_images(watch: WatchedLayer, parts: list[dict[str, Tensor]]) -> Activity:
    low, high = torch.cat([part[watch.module] for part in parts]).unbind(2)  # [N, C]
    return Activity((high > 0).float().mean(0), low.amin(0), high.amax(0))


def _watched_module(
    net: nn.Module, pass_: Trace, path: str, kind: Literal["maps", "units"]
) -> tuple[str, Literal["maps", "units"], bool]:
    """Follows the layer's output through batch normalization (and dropout) to the call that rectifies it, if any."""
    modules = {layer.output: name for name, layer in pass_.layers.items() if layer.runs == 1}
    if _rectifies_itself(pass_, path):
        return path, kind, True
    number, module = pass_.layers[path].output, path
    while True:
        takers = [call for call in pass_.calls if number in call.inputs]
        if len(takers) == 1 and _rectifies(takers[0]):
            return module, kind, True
        if len(takers) != 1 or takers[0].kind not in (BATCH_NORM, INERT):
            return module, kind, False
        number = takers[0].outputs[0]
        module = modules.get(number, module)


def _rectifies_itself(pass_: Trace, path: str) -> bool:
    """Whether the layer's output is already rectified, as in nets of rows."""
    makers = {number: call for call in pass_.calls for number in call.outputs}
    maker = makers.get(pass_.layers[path].output)
    while maker is not None and maker.kind == INERT:
        maker = makers.get(maker.inputs[0])
    return maker is not None and _rectifies(maker)


def _rectifies(call: Call) -> bool:
    return call.name in RECTIFIERS or (call.kind == CLAMP and is_activation(call))
