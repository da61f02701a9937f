"""How much of what excites a layer's maps is new (section 4.1): one shown epoch against the one before."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from convscope.engine.top9 import Top9
from convscope.metrics.convergence import TopImages, is_alive, keep_exciting, layer_overlap, mean_of_living


class Change(NamedTuple):
    """One layer at one shown epoch, each 0..1.

    stayed: share of the top-9 images of its living maps that were among them at the previous shown epoch, mean over
    these maps. similarity: cosine of the strongest projection with its predecessor, mean over the shown living maps.
    Both are 0 at the first shown epoch, and nan where no map is alive. dead: share of all maps that no image excites.
    """

    stayed: float
    similarity: float
    dead: float

    @property
    def measured(self) -> dict[str, float]:
        """By name, without what could not be measured."""
        return {name: value for name, value in self._asdict().items() if not math.isnan(value)}


class EpochProjections(NamedTuple):
    """One layer at one shown epoch: the record of all maps, and [m, 3, S, S] of the m shown ones the strongest
    projection.
    """

    top: Top9
    maps: list[int]
    strongest: torch.Tensor


def change_since(now: EpochProjections, then: EpochProjections | None) -> Change:
    """Compares a layer with itself at the previous shown epoch."""
    images = _images(now)
    alive = is_alive(images)
    dead = float(1 - alive.mean())
    if then is None:
        return Change(0.0, 0.0, dead)
    similar = F.cosine_similarity(now.strongest.flatten(1), then.strongest.flatten(1)).numpy()
    return Change(layer_overlap(_images(then), images), mean_of_living(similar, alive[now.maps]), dead)


def _images(seen: EpochProjections) -> TopImages:
    return keep_exciting(seen.top.score.numpy(), seen.top.image.numpy())
