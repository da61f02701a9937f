"""What is measured on pairs of images, such as how often two of them differ: mean, spread and interval.

Pairs that share an image depend on each other, so intervals come from drawing the images anew, not the pairs.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscope.score.interval import Interval, resampled

Distances = NDArray[np.float64]  # [m, N, N], symmetric: m measurements of each two of N images


class Agreement(NamedTuple):
    """mean over pairs and measurements. spread: standard deviation over all of them, each pair once."""

    mean: Interval
    spread: float


def agreement(distances: Distances, seed: int = 0) -> Agreement:
    """How far apart images are."""
    upper = np.triu_indices(distances.shape[-1], 1)
    return Agreement(pair_interval(distances.mean(0), seed), float(distances[:, *upper].std()))


def difference(one: Distances, other: Distances, seed: int = 0) -> Interval:
    """Mean of one [m, N, N] minus that of another [M, N, N], of the same images and so taken pair by pair."""
    return pair_interval(one.mean(0) - other.mean(0), seed)


def pair_interval(distances: NDArray[np.float64], seed: int = 0) -> Interval:
    """The mean over pairs of distances [N, N], n counting the images, which are drawn anew.

    -inf .. inf for two images: they are one pair, which says nothing of others.
    """
    count = len(distances)
    if count < 3:
        return Interval(pair_mean(distances), -np.inf, np.inf, count)
    return resampled(count, lambda cases: pair_mean(distances, cases), seed)


def pair_mean(distances: NDArray[np.float64], cases: NDArray[np.int64] | None = None) -> float:
    """Mean of distances [N, N] over all pairs of two different images.

    cases: image numbers, some repeatedly, as `resampled` draws them; an image paired with itself never counts. Where
    all are one image, the mean of all images.
    """
    count = len(distances)
    times = np.ones(count) if cases is None else np.bincount(cases, minlength=count).astype(float)
    pairs = times.sum() ** 2 - (times**2).sum()
    if pairs == 0:
        return pair_mean(distances)
    total = times @ distances @ times - (times**2) @ np.diagonal(distances)
    return float(total / pairs)
