"""Matched maps side by side, and the partners of the maps that the page of the first net's run shows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from convscope.analyses.matching.about import MatchConfig
from convscope.analyses.matching.compute import Matching
from convscope.analyses.matching.compute.correlation import LayerMatch
from convscope.analyses.matching.compute.layers import same_weights
from convscope.analyses.matching.figure import MatchedView, matched_grid
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import FeatureView, SplitPixels, feature_view, search_top9
from convscope.analyses.visualize.figure import exciting_images, feature_grid, thumbnail_sheets
from convscope.engine.progress import track
from convscope.engine.top9 import Top9, to_arrays
from convscope.runs.index import PARTNERS
from convscope.runs.reading import read_run
from convscope.runs.record import Arrays, Picture, Result


class MatchedNet(NamedTuple):
    """A net with its images, and its name in tables."""

    name: str
    subject: Subject


def same_weights_line(first: MatchedNet, others: Sequence[MatchedNet]) -> str:
    """Says which of the other nets have the weights of the first, all of whose maps recur there; "" where none has."""
    same = [second.name for second in others if same_weights(first.subject.net, second.subject.net)]
    if not same:
        return ""
    return f"{', '.join(same)} and {first.name} have the same weights, so that every map finds itself. "


class Searched(NamedTuple):
    """A net with its images of one split, and the nine of the compared ones that excite each map most, by layer."""

    net: MatchedNet
    images: SplitPixels
    tops: dict[str, Top9]

    def view(self, layer: str, maps: Sequence[int]) -> FeatureView:
        """The maps with the images that excite them, projected to pixels."""
        watch = partial(track, words=f"projecting {layer} of {self.net.name}")
        subject = self.net.subject
        return feature_view(subject.net, self.images, layer, self.tops[layer], list(maps), watch=watch)


def search(net: MatchedNet, layers: Sequence[str], plan: MatchConfig, index: Tensor) -> Searched:
    """The strongest of the compared images for the maps of these layers."""
    subject = net.subject
    tops = search_top9(subject.net, subject.data, plan.split, list(dict.fromkeys(layers)), index)
    return Searched(net, SplitPixels(subject.data, plan.split), tops)


def pair_pictures(first: Searched, second: Searched, matching: Matching, plan: MatchConfig) -> Iterator[Picture]:
    """For each layer the best, the median and the worst matches: the map of the first net beside its partner."""
    nets = first.net, second.net
    for (layer, peer), pairing in matching.layers.items():
        places = pictured_places(len(pairing.first), plan.pairs)
        if not places:
            continue
        views = (
            first.view(layer, pairing.first[places].tolist()),
            second.view(peer, pairing.second[places].tolist()),
        )
        title = f"{layer}: the best, the median and the worst matches of {nets[0].name} (left) and {nets[1].name}"
        grid = matched_grid(MatchedView(views, _captions(nets, (layer, peer), pairing, places)), title, plan.tile)
        yield Picture(f"match/pairs/{layer}", grid, title, layer=layer)


def pictured_places(count: int, group: int) -> list[int]:
    """Places of the first, the middle and the last `each` of a list of this length, without repeats."""
    middle = max(0, count // 2 - group // 2)
    places = [*range(group), *range(middle, middle + group), *range(count - group, count)]
    return sorted({place for place in places if 0 <= place < count})


def _captions(
    nets: Sequence[MatchedNet], layers: Sequence[str], pairing: LayerMatch, places: Sequence[int]
) -> list[list[str]]:
    words = [
        f" · r {pairing.correlation[place]:.2f}{'' if pairing.recurs[place] else ', as shuffled'}" for place in places
    ]
    ours = [f"{layers[0]} map {pairing.first[place]}{end}" for place, end in zip(places, words, strict=True)]
    return [ours, [f"{nets[1].name}: {layers[1]} map {pairing.second[place]}" for place in places]]


def shown_maps(run: Path) -> dict[str, list[int]]:
    """Layer -> the maps that the page of a run shows, by its last grid."""
    entries = [entry for entry in read_run(run).entries if entry.name.startswith("top9/") and entry.layer]
    pictured = dict[str, list[int]]()
    for entry in sorted(entries, key=lambda entry: entry.epoch or 0):
        if entry.sheet is not None and "projections" in entry.sheet:
            pictured[str(entry.layer)] = list(entry.sheet["maps"])
    return pictured


def partner_pictures(
    first: Searched, second: Searched, matching: Matching, plan: MatchConfig, pictured: Mapping[str, Sequence[int]]
) -> Iterator[Result]:
    """Grids of the second net's partners of the maps `pictured`, with their record and the images in them.

    The page of the first net's run cuts its tiles "compare with" from them.
    """
    layers = {layer: pair for pair in matching.layers if (layer := pair[0]) in pictured}
    if not layers:
        return
    yield Arrays("top9/top9", to_arrays({layer: second.tops[peer] for layer, (_, peer) in layers.items()}))
    excited = set[int]()
    for layer, pair in layers.items():
        pairing = matching.layers[pair]
        partner = dict(zip(pairing.first.tolist(), pairing.second.tolist(), strict=True))
        maps = list(dict.fromkeys(partner[map_] for map_ in pictured[layer] if map_ in partner))
        if not maps:
            continue
        view = second.view(pair[1], maps)
        caption = f"{pair[1]} of {second.net.name}: the partners of the maps that the page of {first.net.name} shows"
        grid = feature_grid(view, caption, plan.tile)
        yield Picture(f"{PARTNERS}{layer}", grid.image, caption, layer=layer, sheet=grid.sheet)
        excited |= set(exciting_images(view))
    for number, (image, sheet) in enumerate(thumbnail_sheets(second.images, sorted(excited))):
        yield Picture(f"images/{number}", image, "Images that excite the partners", sheet=sheet)
