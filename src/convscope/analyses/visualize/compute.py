"""Which layers, maps and epochs of a net are shown, and how: conf/evolution."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from convscope.data.batches import Batch
from convscope.data.module import ImageData, SplitName
from convscope.engine.axes import axes_of, maps_shape
from convscope.engine.blocks import default_layers
from convscope.engine.cropped_projection import Watch, patches, project_fields
from convscope.engine.deconvnet import Units
from convscope.engine.progress import track
from convscope.engine.projection_rule import AUTO, RuleChoice, check_rule_or_auto, choose_rule, measured_maps
from convscope.engine.top9 import Search, Top9
from convscope.engine.trace import trace
from convscope.errors import UserError, meant

SIDE = 96  # pixels of a tile in the grid


@dataclass(frozen=True)
class FeatureChoice:
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
            raise UserError(f"evolution.tile={self.tile} is no size for a tile; possible: 16 to 512 pixels")
        if self.images not in ("val", "train"):
            raise UserError(f"evolution.images={self.images} is unknown; possible: val, train")
        if any(not isinstance(layer, str) for layer in self.layers or ()) and not isinstance(self.layers, str):
            raise UserError(f"evolution.layers={self.layers} is no list of layers; e.g. evolution.layers=[conv1,conv5]")
        if self.epochs is not None and not _is_whole_list(self.epochs):
            raise UserError(f"evolution.epochs={self.epochs} is no list of epochs; e.g. evolution.epochs=[1,5,10]")
        if isinstance(self.maps, Mapping) and not all(_is_whole_list(numbers) for numbers in self.maps.values()):
            raise UserError(f"evolution.maps={self.maps} names no maps; e.g. evolution.maps={{conv3: [0, 5]}}")
        if not isinstance(self.maps, Mapping) and (type(self.maps) is not int or self.maps < 1):
            raise UserError(f"evolution.maps={self.maps} shows nothing; take a number, or name them: {{conv3: [0, 5]}}")
        if isinstance(self.layers, str) or self.layers == []:
            raise UserError(f"evolution.layers={self.layers} is no list of layers; e.g. evolution.layers=[conv1,conv5]")

    def at(self, epoch: int) -> bool:
        """Whether this epoch (counted from 1) is shown."""
        return self.epochs is None or epoch in self.epochs

    def chosen_layers(self, net: nn.Module, image_size: int) -> list[str]:
        """The layers in the net's order; UserError lists the layers where a name is unknown."""
        wanted = list(self.maps) if isinstance(self.maps, dict) and self.layers is None else self.layers
        if wanted is None:
            return default_layers(net, image_size)
        if isinstance(self.maps, Mapping):  # told before training, not after its first epoch
            self._check_maps(net, image_size)
        known = [name for name, _ in net.named_modules() if name]
        if unknown := [name for name in wanted if name not in known]:
            near = meant(unknown[0], known)
            raise UserError(f"no layer {', '.join(unknown)} in this net{near}; its layers: {', '.join(known)}")
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
                raise UserError(f"evolution.maps: {layer} has maps 0 to {count - 1}, not {', '.join(map(str, wrong))}")
            return named
        order = np.random.default_rng([seed, *layer.encode()]).permutation(count)
        return sorted(order[: self.maps].tolist())


def _is_whole_list(numbers: object) -> bool:
    return isinstance(numbers, list | tuple) and all(type(number) is int for number in numbers)


OUTSIDE = 128  # grey level drawn where a receptive field leaves the image: the same grey as "no signal"


class FeatureView(NamedTuple):
    """Some maps of one layer and what excites them: `rank` 0 is the strongest image.

    top: the record of these maps [m, 9]. projections [m, 9, 3, S, S] float32, zero where there is no image.
    patches [m, 9, 3, S, S] uint8: the same boxes of the images. rule: how they were projected.
    """

    layer: str
    maps: list[int]
    top: Top9
    projections: torch.Tensor
    patches: torch.Tensor
    rule: RuleChoice


@dataclass(frozen=True)
class SplitPixels:
    """The images that a top-9 record's indices speak of."""

    data: ImageData
    split: Literal["val", "train"]


def feature_view(
    net: nn.Module,
    images: SplitPixels,
    layer: str,
    top: Top9,
    maps: list[int],
    rule: str | RuleChoice = AUTO,
    watch: Watch = iter,
) -> FeatureView:
    """Projects each shown map's strongest units down to the pixels and cuts the same boxes from their images.

    rule: auto measures some maps of the layer first. watch: sees the parts of the work go by, such as a progress bar.
    """
    choice = rule if isinstance(rule, RuleChoice) else rule_of(net, images, layer, top, rule)
    shown = Top9(*(field[maps] for field in top))  # [m, 9]
    map_of, rank = (shown.image >= 0).nonzero(as_tuple=True)  # [P]
    picks, indices = _picks(shown, maps, (map_of, rank))
    pictures = images.data.images(images.split, indices).to(next(net.parameters()).device)  # [n, 3, H, W]
    down = project_fields(net, pictures, layer, picks, choice.rule, watch=watch)
    pixels = images.data.pixels(images.split, indices)  # [n, 3, H, W] uint8
    boxes = patches(pixels, picks, down, fill=OUTSIDE)
    projections = torch.zeros(len(maps), 9, 3, *down.values.shape[-2:])
    projections[map_of, rank] = down.values.float().cpu()
    windows = torch.full((len(maps), 9, 3, *boxes.shape[-2:]), OUTSIDE, dtype=torch.uint8)
    windows[map_of, rank] = boxes
    return FeatureView(layer, maps, shown, projections, windows, choice)


def rule_of(
    net: nn.Module, images: SplitPixels, layer: str, top: Top9, rule: str = AUTO, watch: Watch = iter
) -> RuleChoice:
    """The rule that was asked for, or with auto the one that suits the layer, by its record top [C, 9].

    The deconvnet, unmeasured, where no map is excited by two images, as in a layer that is dead.
    """
    maps = measured_maps(top) if rule == AUTO else []
    if not maps:
        return RuleChoice("deconvnet" if rule == AUTO else rule)
    shown = Top9(*(field[maps] for field in top))
    picks, indices = _picks(shown, maps, ((shown.image >= 0) & (shown.score > 0)).nonzero(as_tuple=True))
    pictures = images.data.images(images.split, indices).to(next(net.parameters()).device)
    return choose_rule(net, pictures, layer, picks, watch)


def _picks(shown: Top9, maps: list[int], places: tuple[torch.Tensor, ...]) -> tuple[Units, torch.Tensor]:
    """The units at these places of the record [m, 9] of some maps, and the indices of the images they count in."""
    indices, image_of = shown.image[places].unique(return_inverse=True)
    return Units(image_of, torch.tensor(maps)[places[0]], shown.row[places], shown.col[places]), indices


def excited_count(view: FeatureView, position: int) -> int:
    """How many images excite the map; they are its first."""
    return int(((view.top.image[position] >= 0) & (view.top.score[position] > 0)).sum())


BATCH = 64


def strongest(
    net: nn.Module, data: ImageData, split: SplitName, layers: Sequence[str], index: Tensor | None = None
) -> dict[str, Top9]:
    """Layer -> the nine strongest of these images (None: of all) for every map.

    Raises UserError for an unknown layer.
    """
    device, words = next(net.parameters()).device, f"looking for what excites {', '.join(layers)}"
    with Search(net.eval(), layers) as search, torch.inference_mode():
        for batch in _batches(data, split, index, words):
            search.watch(batch.index)
            net(batch.image.to(device))
    return search.top


def _batches(data: ImageData, split: SplitName, index: Tensor | None, words: str) -> Iterable[Batch]:
    if index is None:
        yield from track(data.ordered_dataloader(split), words)
        return
    for part in track(index.split(BATCH), words):
        yield Batch(data.images(split, part), data.labels(split, part), part)
