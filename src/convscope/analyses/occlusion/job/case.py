"""One image under the square, as Fig. 7 shows it: what was measured becomes what analyses/occlusion/figure.py draws."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.occlusion.compute import (
    Occluded,
    Occluder,
    occlude,
    occluder_edges,
    projection_change,
    strongest_map,
)
from convscope.analyses.occlusion.figure import Case, Label, Values
from convscope.analyses.subject import Examples, Subject
from convscope.analyses.visualize.compute import SplitPixels, feature_view
from convscope.analyses.visualize.figure import map_tiles
from convscope.data.module import SplitName
from convscope.engine.features import features
from convscope.engine.projection_rule import RuleChoice
from convscope.engine.top9 import Top9


class OcclusionSetup(NamedTuple):
    """What is the same for all images. top: the strongest images of split for each map of the layer. rule: how the
    layer's projections are drawn.
    """

    subject: Subject
    split: SplitName
    layer: str
    square: Occluder
    top: Top9
    rule: RuleChoice

    @property
    def edges(self) -> list[int]:
        """Left (or top) edges of the square at its places."""
        return occluder_edges(self.subject.data.settings.image_size, self.square)

    @property
    def centers(self) -> NDArray[np.float64]:
        """Of the square at its places, along either side."""
        return np.array(self.edges) + self.square.size / 2


class OccludedImage(NamedTuple):
    """One image. map: the strongest one of the layer; row, col: where. Without the square: probability of the class
    that is looked at, activity (the map's sum), the most probable class. change: of the projection, where asked for."""

    map: int
    row: int
    col: int
    probability: float
    activity: float
    probable: int
    found: Occluded
    change: Tensor | None

    @property
    def worst(self) -> tuple[int, int]:
        """Row and column of the place where the probability is lowest, the first one in reading order."""
        return divmod(int(self.found.probability.argmin()), self.found.probability.shape[1])


def look(way: OcclusionSetup, one: Examples, projections: bool) -> OccludedImage:
    """Covers every place of one image. UserError for an unknown layer."""
    net, layer, target = way.subject.net, way.layer, int(one.target)
    image = one.image.to(way.subject.device)
    strongest = strongest_map(net, image, layer)
    plain = features(net, image[None], [layer], lambda maps: maps[0, strongest].clone())
    activity, logits = plain.layers[layer].cpu(), plain.logits[0].cpu()
    row, col = divmod(int(activity.argmax()), activity.shape[-1] if activity.dim() else 1)
    found = occlude(net, image, layer, strongest, target, way.square)
    change = projection_change(net, image, layer, strongest, way.square, found, way.rule.rule) if projections else None
    probability = float(logits.softmax(0)[target])
    return OccludedImage(strongest, row, col, probability, float(activity.sum()), int(logits.argmax()), found, change)


def case(way: OcclusionSetup, one: Examples, name: str, seen: OccludedImage) -> Case:
    """As analyses/occlusion/figure.py shows it; name: what the image is called."""
    row, col = seen.worst
    y, x, size = way.edges[row], way.edges[col], way.square.size
    image = one.pixels.permute(1, 2, 0).numpy()
    covered = image.copy()
    covered[y : y + size, x : x + size] = _gray(way)[y : y + size, x : x + size]
    labels, legend = _legend(way, seen)
    images = SplitPixels(way.subject.data, way.split)
    view = feature_view(way.subject.net, images, way.layer, _own_first(way, one, seen), [seen.map], way.rule)
    tiles = map_tiles(view, 0, side=216)
    return Case(
        title=_title(way, one, name, seen),
        image=image,
        covered=covered,
        square=(x, y, size),
        centers=way.centers,
        activity=Values(seen.found.activity.double().numpy(), seen.activity),
        change=None if seen.change is None else Values(seen.change.double().numpy()),
        probability=Values(seen.found.probability.double().numpy(), seen.probability),
        labels=labels,
        legend=legend,
        projections=tiles.projections,
        patches=tiles.patches,
    )


def _title(way: OcclusionSetup, one: Examples, name: str, seen: OccludedImage) -> str:
    known = way.subject.targets[int(one.label)] == int(one.target)
    class_ = way.subject.classes[int(one.target)]
    shown = class_ if known else f"{way.subject.data.classes[int(one.label)]}, unknown to the net, seen as {class_}"
    lowest = float(seen.found.probability.min())
    probability = f"probability {seen.probability:.3g}, at the worst place {lowest:.3g}"
    if seen.probable != int(one.target):
        probability += f"; the net says {way.subject.classes[seen.probable]}"
    return f"{name} · {shown}: {probability} · {way.layer} map {seen.map}"


def _own_first(way: OcclusionSetup, one: Examples, seen: OccludedImage) -> Top9:
    """The layer's record, in which this image comes first for its map, and only there."""
    others = way.top.image[seen.map] != one.index
    own = torch.tensor(torch.inf), one.index, torch.tensor(seen.row), torch.tensor(seen.col)
    record = Top9(*(field.clone() for field in way.top))
    for field, first in zip(record, own, strict=True):
        field[seen.map] = torch.cat([first[None].to(field), field[seen.map][others]])[: field.shape[1]]
    return record


def _gray(way: OcclusionSetup) -> NDArray[np.uint8]:
    """[S, S, 3]: what a picture shows where the net takes the square's value."""
    data = way.subject.data
    margin = (data.mean.shape[-1] - data.settings.image_size) // 2
    seen = slice(margin, margin + data.settings.image_size)
    levels = data.mean.permute(1, 2, 0).numpy() + way.square.value / np.asarray(data.settings.pixel_scale)
    return np.rint(levels[seen, seen].clip(0, 255)).astype(np.uint8)


def _legend(way: OcclusionSetup, seen: OccludedImage) -> tuple[NDArray[np.int64], list[Label]]:
    """The most probable classes as numbers of a legend: the one without the square first, then the most frequent."""
    probable = seen.found.probable.numpy()
    classes, counts = np.unique(probable, return_counts=True)
    numbers, legend = np.zeros_like(probable), []
    for number, at in enumerate(np.lexsort((classes, -counts, classes != seen.probable))):
        numbers[probable == classes[at]] = number
        legend.append(Label(way.subject.classes[classes[at]], counts[at] / probable.size))
    return numbers, legend
