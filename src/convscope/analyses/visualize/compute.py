"""The nine images that excite each feature map most, projected back to pixels (section 4, Fig. 2)."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.batches import Batch
from convscope.data.images import Images, SplitName
from convscope.data.shared_passes import gathered
from convscope.engine.axes import axes_of, maps_shape
from convscope.engine.blocks import default_layers
from convscope.engine.deconvnet import Units
from convscope.engine.dependence import COMPARED, Dependence, measure
from convscope.engine.progress import track
from convscope.engine.projection import Projection, Watch, patches, project_fields
from convscope.engine.projection_rule import AUTO, RuleChoice, choose_rule, measured_maps
from convscope.engine.top9 import Top9, merge
from convscope.engine.top9_search import Search
from convscope.engine.trace import ImageSize, trace
from convscope.errors import UserError, did_you_mean


def drawn_layers(config: FeatureConfig, net: nn.Module, image: ImageSize) -> list[str]:
    """The layers whose features are drawn, in the net's order. Raises UserError, listing the layers, for another name.

    Maps that a layer does not have raise it too: before training, not after its first epoch.
    """
    names = list(config.maps) if isinstance(config.maps, dict) and config.layers is None else config.layers
    if names is None:
        return default_layers(net, image)
    if isinstance(config.maps, Mapping):
        _check_maps(config, net, image)
    layers = [name for name, _ in net.named_modules() if name]
    if unknown := [name for name in names if name not in layers]:
        near = did_you_mean(unknown[0], layers)
        raise UserError(f"no layer {', '.join(unknown)} in this net{near}; its layers: {', '.join(layers)}")
    return [name for name in layers if name in names]


def _check_maps(config: FeatureConfig, net: nn.Module, image: ImageSize) -> None:
    traced = trace(net, image)
    assert isinstance(config.maps, Mapping)
    for layer in config.maps:
        number = traced.layer(layer).output
        drawn_maps(config, layer, maps_shape(traced.shapes[number], axes_of(traced).get(number))[1], seed=0)


def drawn_maps(config: FeatureConfig, layer: str, count: int, seed: int) -> list[int]:
    """The maps drawn of a layer of `count` maps: those named, or a random choice by seed and layer alone."""
    if isinstance(config.maps, Mapping):
        numbers = list(config.maps.get(layer, []))
        if wrong := [number for number in numbers if not 0 <= number < count]:
            raise UserError(f"evolution.maps: {layer} has maps 0 to {count - 1}, not {', '.join(map(str, wrong))}")
        return numbers
    order = np.random.default_rng([seed, *layer.encode()]).permutation(count)
    return sorted(order[: config.maps].tolist())


OUTSIDE = 128  # grey level drawn where a receptive field leaves the image: the same grey as "no signal"


class FeatureView(NamedTuple):
    """Some maps of one layer with the images that excite them, the strongest first.

    top: the record of these maps [m, 9]. projections [m, 9, 3, S, S] float32, zero where there is no image. patches
    [m, 9, 3, S, S] uint8: the same boxes of the images. corners [m, 9, 2] int64: the row and column of the image at
    which each box begins. rule: how the units were projected. dependence: of some of these projections, where
    `with_dependence` has measured it.
    """

    layer: str
    maps: list[int]
    top: Top9
    projections: torch.Tensor
    patches: torch.Tensor
    corners: torch.Tensor
    rule: RuleChoice
    dependence: Dependence = Dependence()

    @property
    def how(self) -> str:
        """The rule with its reason, and what the projections depend on, for a caption."""
        return "; ".join(filter(None, [self.rule.words, self.dependence.words]))

    def first_maps(self, count: int) -> "FeatureView":
        """The view of its first `count` maps alone."""
        top = Top9(*(field[:count] for field in self.top))
        of_maps = {name: getattr(self, name)[:count] for name in ("maps", "projections", "patches", "corners")}
        return self._replace(top=top, **of_maps)


@dataclass(frozen=True)
class SplitPixels:
    """The images of a split, which a top-9 record names by index."""

    data: Images
    split: SplitName


def feature_view(
    net: nn.Module,
    images: SplitPixels,
    layer: str,
    top: Top9,
    maps: list[int],
    rule: str | RuleChoice = AUTO,
    watch: Watch = iter,
) -> FeatureView:
    """Projects each of the maps' strongest units down to the pixels and cuts the same boxes from their images.

    rule: auto measures some maps of the layer first. watch: wraps the parts of the work, such as a progress bar.
    """
    choice = rule if isinstance(rule, RuleChoice) else layer_rule(net, images, layer, top, rule)
    record = Top9(*(field[maps] for field in top))  # [m, 9]
    map_of, rank = (record.image >= 0).nonzero(as_tuple=True)  # [P]
    units, indices = _units(record, maps, (map_of, rank))
    inputs = images.data.images(images.split, indices).to(next(net.parameters()).device)  # [n, 3, H, W]
    down = project_fields(net, inputs, layer, units, choice.rule, watch=watch)
    pixels = images.data.pixels(images.split, indices)  # [n, 3, H, W] uint8
    boxes = patches(pixels, units, down, fill=OUTSIDE)
    projections = torch.zeros(len(maps), 9, 3, *down.values.shape[-2:])
    projections[map_of, rank] = down.values.float().cpu()
    windows = torch.full((len(maps), 9, 3, *boxes.shape[-2:]), OUTSIDE, dtype=torch.uint8)
    windows[map_of, rank] = boxes
    corners = torch.zeros(len(maps), 9, 2, dtype=torch.int64)
    corners[map_of, rank] = torch.stack([down.top, down.left], 1).cpu()
    return FeatureView(layer, maps, record, projections, windows, corners, choice)


def layer_rule(
    net: nn.Module, images: SplitPixels, layer: str, top: Top9, rule: str = AUTO, watch: Watch = iter
) -> RuleChoice:
    """The rule of this name, or with auto the one that suits the layer, by its record top [C, 9].

    The deconvnet, unmeasured, where no map is excited by two images, as in a dead layer.
    """
    maps = measured_maps(top) if rule == AUTO else []
    if not maps:
        return RuleChoice("deconvnet" if rule == AUTO else rule)
    units, inputs, _ = exciting_units(net, images, top, maps)
    return choose_rule(net, inputs, layer, units, watch)


def exciting_units(
    net: nn.Module, images: SplitPixels, top: Top9, maps: list[int], count: int = 9
) -> tuple[Units, Tensor, Tensor]:
    """The units of these maps in the `count` images that excite them most.

    top: the record [C, 9] of the layer. Also returns the images [N, 3, H, W] to which units.image refers, on the net's
    device, and their indices [N] in the split.
    """
    record = Top9(*(field[maps, :count] for field in top))
    units, indices = _units(record, maps, _exciting(record))
    return units, images.data.images(images.split, indices).to(next(net.parameters()).device), indices


def _exciting(record: Top9) -> tuple[Tensor, ...]:
    """The places in a record [m, 9] of images that excite the map."""
    return ((record.image >= 0) & (record.score > 0)).nonzero(as_tuple=True)


def with_dependence(net: nn.Module, images: SplitPixels, view: FeatureView) -> FeatureView:
    """The view with what projections of some of its maps depend on; as it is where no image excites these."""
    positions = measured_maps(view.top)
    if not positions:
        return view
    units, inputs, _ = exciting_units(net, images, view.top, positions, COMPARED)
    position, rank = _exciting(Top9(*(field[positions, :COMPARED] for field in view.top)))
    places = torch.tensor(positions)[position], rank
    units = units._replace(map=torch.tensor(view.maps)[units.map])
    values = view.projections[places][:, : inputs.shape[1]]  # a net of gray images has all three channels alike
    projection = Projection(values, *view.corners[places].T)
    measured = measure(net, inputs, view.layer, units, {view.rule.rule: projection})
    return view._replace(dependence=measured[view.rule.rule].mean)


def views_by_rule(
    net: nn.Module, images: SplitPixels, record: tuple[str, Top9, list[int]], rules: list[str], words: str
) -> dict[str, FeatureView]:
    """The maps of a layer by each rule; of two rules that come to the same, as auto may, the first.

    record: layer, its record, its maps. words: for the progress bars.
    """
    layer, top, maps = record
    trying, projecting = (functools.partial(track, words=f"{verb} {words}") for verb in ("trying", "projecting"))
    choices = dict[str, RuleChoice]()
    for name in rules:
        rule = layer_rule(net, images, layer, top, name, trying)
        choices.setdefault(rule.rule, rule)
    return {name: feature_view(net, images, layer, top, maps, rule, projecting) for name, rule in choices.items()}


def _units(record: Top9, maps: list[int], places: tuple[torch.Tensor, ...]) -> tuple[Units, torch.Tensor]:
    """The units at these places of the record [m, 9] of some maps, and the indices of their images."""
    indices, image_of = record.image[places].unique(return_inverse=True)
    return Units(image_of, torch.tensor(maps)[places[0]], record.row[places], record.col[places]), indices


def count_exciting(view: FeatureView, position: int) -> int:
    """How many images excite the map at this position of the view; they come first."""
    return int(((view.top.image[position] >= 0) & (view.top.score[position] > 0)).sum())


BATCH = 64


def search_top9(
    net: nn.Module, data: Images, split: SplitName, layers: Sequence[str], index: Tensor | None = None
) -> dict[str, Top9]:
    """The nine strongest of these images for every map, by layer; None: of all, by one pass that processes may share.

    Raises UserError for an unknown layer.
    """
    device, words = next(net.parameters()).device, f"looking for what excites {', '.join(layers)}"
    with Search(net.eval(), layers) as search, torch.inference_mode():
        for batch in _batches(data, split, index, words, device):
            search.watch(batch.index)
            net(batch.image.to(device))
    return search.top if index is not None else merged_tops(gathered(search.top))


def merged_tops(tops: Sequence[Mapping[str, Top9]]) -> dict[str, Top9]:
    """The records of several processes, which share no image, as one; a process without images has none."""
    merged = dict[str, Top9]()
    for by_layer in tops:
        merged |= {layer: merge(merged[layer], top) if layer in merged else top for layer, top in by_layer.items()}
    return merged


def _batches(data: Images, split: SplitName, index: Tensor | None, words: str, device: torch.device) -> Iterable[Batch]:
    if index is None:
        yield from track(data.ordered_dataloader(split, device), words)
        return
    for part in track(index.split(BATCH), words):
        yield Batch(data.images(split, part), data.labels(split, part), part)
