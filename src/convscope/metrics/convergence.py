"""When maps and layers settle (section 4.1, Fig. 4).

The overlap of a layer's top-9 images with those of the previous shown epoch is the one measure behind the column
stayed/<layer> of metrics.csv, the sentence on the page, the bars of its atlas, and the claim that lower layers settle
first. A dead map has no images that could stay or change, so these measures leave it out; the share of dead maps is a
measure of its own. The threshold of one half is ours. The paper judges by eye.
"""

import math
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5
COMPARED = "stayed/", "similarity/"  # columns that compare a shown epoch with the one before
TopImages = NDArray[np.int64]  # [C, 9]: the images that excite each map, -1 in empty places; all -1 in a dead map


def keep_exciting(score: NDArray[np.float32], image: NDArray[np.int64]) -> TopImages:
    """The images of a top-9 record [C, 9] that excite their map at all (score above 0), -1 in place of the others."""
    return np.where((score > 0) & (image >= 0), image, -1)


def is_alive(images: TopImages) -> NDArray[np.bool_]:
    """[C]: whether any image excites the map."""
    return np.any(images >= 0, axis=1)


def overlap_with_previous(before: TopImages, after: TopImages) -> NDArray[np.float64]:
    """[C]: share of a map's images after that excited it before too; nan for a map that is dead after."""
    same = (after[:, :, None] == before[:, None, :]) & (after >= 0)[:, :, None]  # [C, 9, 9]
    count = (after >= 0).sum(axis=1)
    return np.where(count > 0, same.any(axis=2).sum(axis=1) / np.maximum(count, 1), np.nan)


def mean_of_living(values: NDArray[np.floating], alive: NDArray[np.bool_]) -> float:
    """The mean over the maps that are alive; nan where none is."""
    return float(values[alive].mean(dtype=np.float64)) if alive.any() else float("nan")


def layer_overlap(before: TopImages, after: TopImages) -> float:
    """The mean of `overlap_with_previous` over the layer's living maps; nan where all are dead."""
    return mean_of_living(overlap_with_previous(before, after), is_alive(after))


class LayerChange(NamedTuple):
    """A layer at a shown epoch against the previous one, each 0..1; nan where no map is alive.

    overlap: see `layer_overlap`. similarity: cosine of each map's strongest projection with the previous one, mean over
    the living maps whose projections are shown. Both are 0 at the first shown epoch. dead: share of maps that no image
    excites.
    """

    overlap: float
    similarity: float
    dead: float

    @property
    def columns(self) -> dict[str, float]:
        """The values that are numbers, by the first part of their column of metrics.csv (<name>/<layer>)."""
        values = {"stayed": self.overlap, "similarity": self.similarity, "dead": self.dead}
        return {name: value for name, value in values.items() if not math.isnan(value)}


def measured(values: Mapping[str, float], earlier: Container[str]) -> dict[str, float]:
    """The values of a row of metrics.csv that are finite, without the 0 of a first shown epoch, which compares nothing.

    earlier: the columns that earlier rows have.
    """
    return {
        name: value
        for name, value in values.items()
        if math.isfinite(value) and not (value == 0 and name.startswith(COMPARED) and name not in earlier)
    }


def dead_share(images: TopImages) -> float:
    """The share of a layer's maps that no image excites."""
    return float(1 - is_alive(images).mean())


def layer_change(
    before: TopImages, after: TopImages, maps: Sequence[int], similarity: NDArray[np.floating]
) -> LayerChange:
    """The change of a layer from one shown epoch to the next. similarity [m]: of the maps with numbers `maps` [m]."""
    mean_similarity = mean_of_living(similarity, is_alive(after)[list(maps)])
    return LayerChange(layer_overlap(before, after), mean_similarity, dead_share(after))


def convergence_epoch(epochs: Sequence[int], shares: Sequence[float]) -> int | None:
    """The first epoch from which every share to the end is at least one half; None where the last share is below.

    Serves layers and single maps. shares: overlap with the previous epoch at each of the epochs; nan is below one half.
    """
    first = None
    for epoch, share in zip(reversed(epochs), reversed(shares), strict=True):
        if not share >= THRESHOLD:
            break
        first = epoch
    return first


def maps_convergence_epochs(images_by_epoch: Mapping[int, TopImages]) -> NDArray[np.int64]:
    """[m]: for each map that is alive at the last epoch, its convergence epoch; the last epoch + 1 where it has none.

    images_by_epoch: the layer's images at each shown epoch, at least two.
    """
    epochs, pairs = _successive_pairs(images_by_epoch)
    shares = np.stack([overlap_with_previous(before, after) for before, after in pairs], axis=1)  # [C, T - 1]
    alive = is_alive(images_by_epoch[epochs[-1]])
    converged = [convergence_epoch(epochs, row) for row in shares[alive].tolist()]
    return np.array([epochs[-1] + 1 if epoch is None else epoch for epoch in converged], np.int64)


def layer_convergence_epoch(images_by_epoch: Mapping[int, TopImages]) -> int | None:
    """The layer's convergence epoch, as the page states it; None where it has not settled or is dead at the end."""
    epochs, pairs = _successive_pairs(images_by_epoch)
    return convergence_epoch(epochs, [layer_overlap(before, after) for before, after in pairs])


def _successive_pairs(
    images_by_epoch: Mapping[int, TopImages],
) -> tuple[list[int], list[tuple[TopImages, TopImages]]]:
    """The epochs from the second on, and for each of them the images of the epoch before and of itself."""
    epochs = sorted(images_by_epoch)
    pairs = zip(epochs, epochs[1:], strict=False)
    return epochs[1:], [(images_by_epoch[before], images_by_epoch[after]) for before, after in pairs]
