"""When maps and layers settle (section 4.1, Fig. 4): the one measure behind stayed/<layer> in metrics.csv, the page's
sentence, the bars of its atlas, and the claim that lower layers settle first.

A dead map has nothing that could stay or change: it is counted nowhere here, and dead maps are told beside. The
threshold of one half is ours; the paper judges by eye.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5
TopImages = NDArray[
    np.int64
]  # [C, 9]: the images that excite each map, -1 in the places of others; a dead map has none


def keep_exciting(score: NDArray[np.float32], image: NDArray[np.int64]) -> TopImages:
    """Which images of a top-9 record [C, 9] excite their maps at all."""
    return np.where((score > 0) & (image >= 0), image, -1)


def is_alive(images: TopImages) -> NDArray[np.bool_]:
    """Which maps [C] some image excites."""
    return np.any(images >= 0, axis=1)


def overlap_with_previous(before: TopImages, after: TopImages) -> NDArray[np.float64]:
    """Of the images that excite each map now the share that did so before, [C]; nan for a map that is dead now."""
    same = (after[:, :, None] == before[:, None, :]) & (after >= 0)[:, :, None]  # [C, 9, 9]
    count = (after >= 0).sum(axis=1)
    return np.where(count > 0, same.any(axis=2).sum(axis=1) / np.maximum(count, 1), np.nan)


def mean_of_living(values: NDArray[np.floating], alive: NDArray[np.bool_]) -> float:
    """The mean over the maps that are alive; nan where none is."""
    return float(values[alive].mean(dtype=np.float64)) if alive.any() else float("nan")


def layer_overlap(before: TopImages, after: TopImages) -> float:
    """What stayed of a layer: the mean over its living maps; nan where all are dead."""
    return mean_of_living(overlap_with_previous(before, after), is_alive(after))


def convergence_epoch(epochs: Sequence[int], shares: Sequence[float]) -> int | None:
    """The first epoch from which every share to the end is at least one half; None when the last is not.

    Of a layer or of one map alike. shares: what stayed at each of the epochs; nan, nothing known, is less than half.
    """
    first = None
    for epoch, share in zip(reversed(epochs), reversed(shares), strict=True):
        if not share >= THRESHOLD:
            break
        first = epoch
    return first


def maps_convergence_epochs(shown: Mapping[int, TopImages]) -> NDArray[np.int64]:
    """For each map that is alive at the end the epoch from which it is settled, [m]; the epoch after the last for one
    that is not. shown: the layer's images at each shown epoch, at least two.
    """
    epochs, pairs = _comparisons(shown)
    shares = np.stack([overlap_with_previous(before, after) for before, after in pairs], axis=1)  # [C, T - 1]
    alive = is_alive(shown[epochs[-1]])
    settled = [convergence_epoch(epochs, row) for row in shares[alive].tolist()]
    return np.array([epochs[-1] + 1 if epoch is None else epoch for epoch in settled], np.int64)


def layer_convergence_epoch(shown: Mapping[int, TopImages]) -> int | None:
    """The epoch from which the layer is settled, as the page says it; None where it is not, or dead at the end."""
    epochs, pairs = _comparisons(shown)
    return convergence_epoch(epochs, [layer_overlap(before, after) for before, after in pairs])


def _comparisons(shown: Mapping[int, TopImages]) -> tuple[list[int], list[tuple[TopImages, TopImages]]]:
    """The epochs that have another before them, each with that one's images and its own."""
    epochs = sorted(shown)
    return epochs[1:], [(shown[before], shown[after]) for before, after in zip(epochs, epochs[1:], strict=False)]
