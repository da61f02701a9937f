"""Example images of a subject under the gray square: all that Fig. 7 shows of each."""

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
from convscope.analyses.subject import Examples, Subject
from convscope.analyses.visualize.compute import FeatureView, SplitPixels, feature_view
from convscope.data.images import Images, SplitName
from convscope.engine.features import features
from convscope.engine.projection_rule import RuleChoice
from convscope.engine.top9 import Top9


class OcclusionSetup(NamedTuple):
    """Properties that all example images share.

    top: the strongest images of the split for each map of the layer. rule: how the layer's units are projected.
    """

    subject: Subject
    split: SplitName
    layer: str
    occluder: Occluder
    top: Top9
    rule: RuleChoice


class OccludedImage(NamedTuple):
    """One example image without the square, and under it.

    classes: names of the net's classes. target: number of the class whose probability is followed. unknown: the data's
    class of the image where the net does not know that class, "" otherwise. pixels [S, S, 3] uint8: the image. gray
    [S, S, 3] uint8: the square's color at every pixel. edges: left (or top) edges of the square at its positions. map:
    the layer's strongest map. view: its projections, this image first. Without the square: probability, activity (the
    map's sum) and probable, the most probable class. change: of the projection, where that was computed.
    """

    classes: list[str]
    target: int
    unknown: str
    pixels: NDArray[np.uint8]
    gray: NDArray[np.uint8]
    occluder: Occluder
    edges: list[int]
    map: int
    view: FeatureView
    probability: float
    activity: float
    probable: int
    occluded: Occluded
    change: Tensor | None

    @property
    def centers(self) -> NDArray[np.float64]:
        """Centers of the square at its positions, along either side."""
        return np.array(self.edges) + self.occluder.size / 2

    @property
    def worst(self) -> tuple[int, int]:
        """Row and column of the position with the lowest probability, the first one in reading order."""
        return divmod(int(self.occluded.probability.argmin()), self.occluded.probability.shape[1])


def occlude_example(setup: OcclusionSetup, example: Examples, projections: bool) -> OccludedImage:
    """Covers every position of one image. example: the fields of a single one. Raises UserError for an unknown layer.

    projections: whether the projection is computed at every position too.
    """
    subject, layer, rule, target = setup.subject, setup.layer, setup.rule, int(example.target)
    image = example.image.to(subject.device)
    map_ = strongest_map(subject.net, image, layer)
    plain = features(subject.net, image[None], [layer], lambda maps: maps[0, map_].clone())
    activity, logits = plain.layers[layer].cpu(), plain.logits[0].cpu()
    occluded = occlude(subject.net, image, layer, map_, target, setup.occluder)
    arguments = subject.net, image, layer, map_, setup.occluder, occluded, rule.rule
    change = projection_change(*arguments) if projections else None
    record, label = _with_first(setup.top, map_, int(example.index), activity), int(example.label)
    return OccludedImage(
        classes=subject.classes,
        target=target,
        unknown="" if subject.targets[label] == target else subject.data.classes[label],
        pixels=example.pixels.permute(1, 2, 0).numpy(),
        gray=_gray_levels(subject.data, setup.occluder),
        occluder=setup.occluder,
        edges=occluder_edges(subject.data.settings.image_size, setup.occluder),
        map=map_,
        view=feature_view(subject.net, SplitPixels(subject.data, setup.split), layer, record, [map_], rule),
        probability=float(logits.softmax(0)[target]),
        activity=float(activity.sum()),
        probable=int(logits.argmax()),
        occluded=occluded,
        change=change,
    )


def _gray_levels(data: Images, occluder: Occluder) -> NDArray[np.uint8]:
    """The levels [S, S, 3] of a picture where the net takes the square's value: the mean image for 0."""
    margin = (data.mean.shape[-1] - data.settings.image_size) // 2
    crop = slice(margin, margin + data.settings.image_size)
    levels = data.mean.permute(1, 2, 0).numpy() + occluder.value / np.asarray(data.settings.pixel_scale)
    return np.rint(levels[crop, crop].clip(0, 255)).astype(np.uint8)


def _with_first(top: Top9, map_: int, image: int, activity: Tensor) -> Top9:
    """The layer's record, in which one image comes first for the map, and only there.

    activity: the map for that image, [h, w], or a single unit.
    """
    row, col = divmod(int(activity.argmax()), activity.shape[-1] if activity.dim() else 1)
    rest = top.image[map_] != image
    entry = torch.tensor(torch.inf), torch.tensor(image), torch.tensor(row), torch.tensor(col)
    record = Top9(*(field.clone() for field in top))
    for field, first in zip(record, entry, strict=True):
        field[map_] = torch.cat([first[None].to(field), field[map_][rest]])[: field.shape[1]]
    return record
