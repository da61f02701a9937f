"""Which layers, maps and epochs of a net are shown, and how: conf/evolution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import nn

from convscope.look.rules import check_rule_or_auto
from convscope.nets.axes import axes_of, maps_shape
from convscope.nets.blocks import default_layers
from convscope.nets.trace import trace
from convscope.problem import Problem, meant

SIDE = 96  # pixels of a tile in the grid


@dataclass(frozen=True)
class Choice:
    """conf/evolution: which layers and maps are shown, at which epochs (None: every one), from which images.

    rule: how they are projected; runs of version 0.1, which do not say it, go on with the deconvnet. tile: pixels.
    """

    layers: list[str] | None
    maps: int | dict[str, list[int]]
    epochs: list[int] | None
    images: Literal["val", "train"]
    rule: str = "deconvnet"
    tile: int = SIDE

    def __post_init__(self) -> None:
        check_rule_or_auto(self.rule)
        if not 16 <= self.tile <= 512:
            raise Problem(f"evolution.tile={self.tile} is no size for a tile; possible: 16 to 512 pixels")
        if self.images not in ("val", "train"):
            raise Problem(f"evolution.images={self.images} is unknown; possible: val, train")
        if any(not isinstance(layer, str) for layer in self.layers or ()) and not isinstance(self.layers, str):
            raise Problem(f"evolution.layers={self.layers} is no list of layers; e.g. evolution.layers=[conv1,conv5]")
        if self.epochs is not None and not _whole(self.epochs):
            raise Problem(f"evolution.epochs={self.epochs} is no list of epochs; e.g. evolution.epochs=[1,5,10]")
        if isinstance(self.maps, Mapping) and not all(_whole(numbers) for numbers in self.maps.values()):
            raise Problem(f"evolution.maps={self.maps} names no maps; e.g. evolution.maps={{conv3: [0, 5]}}")
        if not isinstance(self.maps, Mapping) and (type(self.maps) is not int or self.maps < 1):
            raise Problem(f"evolution.maps={self.maps} shows nothing; take a number, or name them: {{conv3: [0, 5]}}")
        if isinstance(self.layers, str) or self.layers == []:
            raise Problem(f"evolution.layers={self.layers} is no list of layers; e.g. evolution.layers=[conv1,conv5]")

    def at(self, epoch: int) -> bool:
        """Whether this epoch (counted from 1) is shown."""
        return self.epochs is None or epoch in self.epochs

    def chosen_layers(self, net: nn.Module, image_size: int) -> list[str]:
        """The layers in the net's order; Problem lists the layers where a name is unknown."""
        wanted = list(self.maps) if isinstance(self.maps, dict) and self.layers is None else self.layers
        if wanted is None:
            return default_layers(net, image_size)
        if isinstance(self.maps, Mapping):  # told before training, not after its first epoch
            self._check_maps(net, image_size)
        known = [name for name, _ in net.named_modules() if name]
        if unknown := [name for name in wanted if name not in known]:
            near = meant(unknown[0], known)
            raise Problem(f"no layer {', '.join(unknown)} in this net{near}; its layers: {', '.join(known)}")
        return [name for name in known if name in wanted]

    def _check_maps(self, net: nn.Module, image_size: int) -> None:
        pass_ = trace(net, (3, image_size, image_size))
        assert isinstance(self.maps, Mapping)
        for layer in self.maps:
            number = pass_.layer(layer).output
            self.chosen_maps(layer, maps_shape(pass_.shapes[number], axes_of(pass_).get(number))[1], seed=0)

    def chosen_maps(self, layer: str, count: int, seed: int) -> list[int]:
        """The maps of a layer of `count` maps: those named, or a random choice that depends on seed and layer alone."""
        if isinstance(self.maps, Mapping):
            named = list(self.maps.get(layer, []))
            if wrong := [number for number in named if not 0 <= number < count]:
                raise Problem(f"evolution.maps: {layer} has maps 0 to {count - 1}, not {', '.join(map(str, wrong))}")
            return named
        order = np.random.default_rng([seed, *layer.encode()]).permutation(count)
        return sorted(order[: self.maps].tolist())


def _whole(numbers: object) -> bool:
    return isinstance(numbers, list | tuple) and all(type(number) is int for number in numbers)
