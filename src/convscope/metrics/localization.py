"""Does what a net looks at lie on the object: the place that hurts most when it is covered, against masks and boxes.

Two guesses that never saw the net stand beside it: the center of the image, because photographers put things there, and
any place at all, because large objects are hit by chance. The comparison is ours; the paper has none.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convscope.metrics.intervals import Interval, hit_interval, mean_interval

Inside = Callable[[NDArray[np.float64]], NDArray[np.bool_]]  # points [k, 2] (x, y) in pixels -> [k]


class LocalizationHit(NamedTuple):
    """Of one image. lowest: 1 where the place of the lowest value lies on the object, a share where several places are
    equally low. center: 1 where the image's center does. anywhere: the share of all places that do, what a guess at
    random is right. drop: mean value over the places off the object minus that over those on it; nan without both."""

    lowest: float
    center: float
    anywhere: float
    drop: float


class LocalizationRates(NamedTuple):
    """Means of `Hit` over images, with intervals. gain: lowest minus center, image by image."""

    lowest: Interval
    center: Interval
    anywhere: Interval
    gain: Interval
    drop: Interval


def in_mask(mask: NDArray[np.uint8]) -> Inside:
    """mask [S, S], not 0 on the object. A point belongs to the pixel that it lies in."""
    last = np.array(mask.shape[::-1]) - 1

    def inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        x, y = np.floor(points).astype(int).clip(0, last).T
        return mask[y, x] > 0

    return inside


def in_boxes(boxes: ArrayLike) -> Inside:
    """boxes [m, 4], x0 y0 x1 y1: in any of them, edges included."""
    corners = np.asarray(boxes, dtype=float).reshape(-1, 2, 2)

    def inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        low, high = corners[:, 0], corners[:, 1]  # [m, 2]
        within = (points[:, None] >= low) & (points[:, None] <= high)  # [k, m, 2]
        found: NDArray[np.bool_] = np.any(np.all(within, axis=2), axis=1)
        return found

    return inside


def localization_hit(values: ArrayLike, centers: ArrayLike, image_size: int, inside: Inside) -> LocalizationHit:
    """values [n, n] of what was measured with the square's center at x = centers[column], y = centers[row]."""
    numbers, middle = np.asarray(values, dtype=float), np.asarray(centers, dtype=float)
    y, x = np.meshgrid(middle, middle, indexing="ij")
    on = inside(np.stack([x.ravel(), y.ravel()], 1)).reshape(numbers.shape)
    center = inside(np.full((1, 2), image_size / 2))[0]
    drop = numbers[~on].mean() - numbers[on].mean() if on.any() and not on.all() else np.nan
    return LocalizationHit(float(on[numbers == numbers.min()].mean()), float(center), float(on.mean()), float(drop))


def localization_rates(hits: Sequence[LocalizationHit]) -> LocalizationRates:
    """Over one image or more; drop over those that have one, nan and no interval where none has."""
    lowest, center, anywhere, drop = np.array(hits, dtype=float).T
    known = drop[np.isfinite(drop)]
    drops = mean_interval(known) if len(known) else Interval(np.nan, -np.inf, np.inf, 0)
    return LocalizationRates(
        hit_interval(lowest), hit_interval(center), mean_interval(anywhere), mean_interval(lowest - center), drops
    )


def pearson_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Pearson's, over all places; nan where either is the same everywhere."""
    x, y = (np.asarray(values, dtype=float).ravel() for values in (one, other))
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")
