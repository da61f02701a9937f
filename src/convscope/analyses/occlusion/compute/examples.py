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
from convscope.data.module import SplitName
from convscope.engine.features import features
from convscope.engine.projection_rule import RuleChoice
from convscope.engine.top9 import Top9


class OcclusionSetup(NamedTuple):
    """What is the same for all example images.

    top: the strongest images of the split for each map of the layer. rule: how the layer's units are projected.
    """

    subject: Subject
    split: SplitName
    layer: str
    occluder: Occluder
    top: Top9
    rule: RuleChoice

    @property
    def edges(self) -> list[int]:
        """Left (or top) edges of the square at its positions."""
        return occluder_edges(self.subject.data.settings.image_size, self.occluder)

    @property
    def centers(self) -> NDArray[np.float64]:
        """Centers of the square at its positions, along either side."""
        return np.array(self.edges) + self.occluder.size / 2


class OccludedImage(NamedTuple):
    """One example image without the square, and under it.

    class_name: of the class whose probability is followed. unknown: the data's class of the image where the net does
    not know that class, "" otherwise. map: the layer's strongest map; view: its projections, this image first. Without
    the square: probability, activity (the map's sum) and probable, the most probable class. change: of the projection,
    where that was computed.
    """

    example: Examples
    class_name: str
    unknown: str
    map: int
    view: FeatureView
    probability: float
    activity: float
    probable: int
    occluded: Occluded
    change: Tensor | None

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
    change = None
    if projections:
        change = projection_change(subject.net, image, layer, map_, setup.occluder, occluded, rule.rule)
    record = _with_first(setup.top, map_, int(example.index), activity)
    view = feature_view(subject.net, SplitPixels(subject.data, setup.split), layer, record, [map_], rule)
    label = int(example.label)
    unknown = "" if subject.targets[label] == target else subject.data.classes[label]
    without = float(logits.softmax(0)[target]), float(activity.sum()), int(logits.argmax())
    return OccludedImage(example, subject.classes[target], unknown, map_, view, *without, occluded, change)


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
