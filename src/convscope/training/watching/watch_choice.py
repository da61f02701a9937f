"""The arguments of `FeatureEvolution` and `watch` that say what is drawn of a net, checked before anything begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from torch import nn

from convscope.analyses.visualize.about import FeatureConfig, RuleName, check_measures
from convscope.analyses.visualize.compute import drawn_layers
from convscope.data.items import colors_of_arguments
from convscope.data.loader_order import undisturbed_random
from convscope.errors import UserError, did_you_mean
from convscope.models.library_metadata import Colors
from convscope.models.wrappers import eagerly
from convscope.training.watching.watched_net import named_layers

Shape = tuple[int, int, int]  # [C, H, W] of an image


@dataclass(frozen=True)
class WatchChoice:
    """What is drawn of a net, and when. The arguments of `FeatureEvolution` and `watch`, which describe them.

    Raises UserError for values that are not possible.
    """

    layers: Sequence[str] | None = None
    maps: int | Mapping[str, Sequence[int]] = 16
    every_n_epochs: int = 1
    epochs: Sequence[int] | None = None
    rule: str = "auto"
    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None
    net: str | None = None
    classes: Sequence[str] | None = None
    tile: int | None = None
    seed: int = 0
    measures: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.layers, str) or not _are(str, [] if self.layers is None else self.layers):
            raise UserError(f"layers={self.layers!r} is no list of names; type layers=['layer1', 'layer4']")
        if self.layers is not None and not list(self.layers):
            raise UserError("layers=[] names no layer; leave it out for a choice that suits the net")
        if isinstance(self.maps, Mapping):
            if not all(isinstance(layer, str) and _are(int, numbers) for layer, numbers in self.maps.items()):
                raise UserError(f"maps={self.maps!r}: type the numbers of maps by layer, as maps={{'layer1': [0, 5]}}")
        elif type(self.maps) is not int or self.maps < 1:
            raise UserError(f"maps={self.maps!r} is no number of maps; take 1 or more, e.g. maps=16")
        if type(self.every_n_epochs) is not int or self.every_n_epochs < 1:
            raise UserError(f"every_n_epochs={self.every_n_epochs!r}; take 1 or more")
        if self.epochs is not None and not (_are(int, self.epochs) and all(epoch > 0 for epoch in self.epochs)):
            raise UserError(f"epochs={self.epochs!r} is no list of epochs, which count from 1; type epochs=[1, 2, 5]")
        if self.rule not in get_args(RuleName):
            near, names = did_you_mean(str(self.rule), get_args(RuleName)), ", ".join(get_args(RuleName))
            raise UserError(f"rule={self.rule!r} is unknown{near}; possible: {names}")
        if self.tile is not None and (type(self.tile) is not int or not 16 <= self.tile <= 512):
            raise UserError(f"tile={self.tile!r} is no side of a tile; take 16 to 512 pixels")
        if isinstance(self.measures, str) or not _are(str, self.measures):
            raise UserError(f"measures={self.measures!r} is no list of names; type measures=['match']")
        check_measures("measures", self.measures)
        colors_of_arguments(self.mean, self.std)  # raises

    def colors(self, channels: int) -> Colors | None:
        """Mean and deviation, None without. Raises UserError for numbers that are none, and of other colors."""
        colors = colors_of_arguments(self.mean, self.std)
        for name, values in zip(Colors._fields, colors or (), strict=False):
            if len(values) not in (1, channels):
                raise UserError(
                    f"{name} has {len(values)} numbers, and the images {channels} colors; give one for each"
                )
        return colors

    def draws_at(self, epoch: int) -> bool:
        """Whether features are drawn after this epoch, counted from 1."""
        return epoch in self.epochs if self.epochs is not None else epoch % self.every_n_epochs == 0

    def drawn_epochs(self, last: int | None, step: int = 1) -> int | None:
        """The number of epochs that are drawn; None where it is not known.

        last: of the run, None where that is not known. step: from one epoch with a validation to the next.
        """
        if last is None or last < 0:
            return None if self.epochs is None else len(self.epochs)
        return sum(self.draws_at(epoch) for epoch in range(step, last + 1, step))

    def features(self, net: nn.Module, image_shape: Shape) -> FeatureConfig:
        """The features of this net. Raises UserError for layers and maps that it does not have."""
        maps: int | dict[str, list[int]]
        if isinstance(self.maps, int):
            maps = self.maps
        else:
            maps = {named_layers(net, [layer])[0]: list(numbers) for layer, numbers in self.maps.items()}
        layers = None if self.layers is None else named_layers(net, list(self.layers))
        rule: Any = self.rule
        chosen = FeatureConfig(layers, maps, None, "val", rule, self.tile, list(self.measures))
        try:
            with eagerly(net), undisturbed_random():
                names = drawn_layers(chosen, net, image_shape)
        except UserError as error:
            raise UserError(str(error).replace("evolution.maps:", "maps:")) from None
        if isinstance(maps, Mapping) and (without := [name for name in names if name not in maps]):
            raise UserError(f"maps names no maps of {', '.join(without)}; add them, as {{{without[0]!r}: [0, 1]}}")
        return FeatureConfig(names, maps, None, "val", rule, self.tile, list(self.measures))


def _are(kind: type, values: Any) -> bool:
    return not isinstance(values, str) and hasattr(values, "__iter__") and all(type(value) is kind for value in values)
