"""Whether the place that matters most to a net lies on the object, by the object's mask or boxes.

That place is where covering the image lowers the class most. It is compared with two guesses that do not use the net:
the center of the image, because photographers center their objects, and a random place, because large objects are hit
by chance. The comparison is ours; the paper has none.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convscope.metrics.intervals import Interval, hit_interval, mean_interval

Inside = Callable[[NDArray[np.float64]], NDArray[np.bool_]]  # points [k, 2] (x, y) in pixels -> bool [k]: on the object


class LocalizationHit(NamedTuple):
    """How the values measured at the places of one image lie against its object.

    lowest: 1 where the place of the lowest value is on the object, a share where several places are equally low.
    center: 1 where the image's center is on the object. anywhere: share of all places on the object, the rate of random
    guesses. drop: mean value off the object minus mean value on the object; nan where either has no place.
    """

    lowest: float
    center: float
    anywhere: float
    drop: float


class LocalizationRates(NamedTuple):
    """Means of `LocalizationHit` over images, with intervals. gain: lowest minus center, image by image."""

    lowest: Interval
    center: Interval
    anywhere: Interval
    gain: Interval
    drop: Interval


def in_mask(mask: NDArray[np.uint8]) -> Inside:
    """A test for points on a mask [S, S], which is 0 off the object. A point belongs to the pixel around it."""
    last = np.array(mask.shape[::-1]) - 1

    def inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        x, y = np.floor(points).astype(int).clip(0, last).T
        return mask[y, x] > 0

    return inside


def in_boxes(boxes: ArrayLike) -> Inside:
    """A test for points in any of the boxes [m, 4] of x0, y0, x1, y1, edges included."""
    corners = np.asarray(boxes, dtype=float).reshape(-1, 2, 2)

    def inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        low, high = corners[:, 0], corners[:, 1]  # [m, 2]
        within = (points[:, None] >= low) & (points[:, None] <= high)  # [k, m, 2]
        in_any: NDArray[np.bool_] = np.any(np.all(within, axis=2), axis=1)
        return in_any

    return inside


def localization_hit(values: ArrayLike, centers: ArrayLike, image_size: int, inside: Inside) -> LocalizationHit:
    """The hit of one image from values [n, n] measured with the occluder at x = centers[column], y = centers[row]."""
    numbers, middle = np.asarray(values, dtype=float), np.asarray(centers, dtype=float)
    y, x = np.meshgrid(middle, middle, indexing="ij")
    on = inside(np.stack([x.ravel(), y.ravel()], 1)).reshape(numbers.shape)
    center = inside(np.full((1, 2), image_size / 2))[0]
    drop = numbers[~on].mean() - numbers[on].mean() if on.any() and not on.all() else np.nan
    return LocalizationHit(float(on[numbers == numbers.min()].mean()), float(center), float(on.mean()), float(drop))


def localization_rates(hits: Sequence[LocalizationHit]) -> LocalizationRates:
    """Rates over one image or more. drop counts the images that have a drop: nan where none has."""
    lowest, center, anywhere, drop = np.array(hits, dtype=float).T
    drop = drop[np.isfinite(drop)]
    drops = mean_interval(drop) if len(drop) else Interval(np.nan, -np.inf, np.inf, 0)
    random, gain = mean_interval(anywhere, bounds=(0, 1)), mean_interval(lowest - center, bounds=(-1, 1))
    return LocalizationRates(hit_interval(lowest), hit_interval(center), random, gain, drops)


def pearson_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson's correlation of two maps over all places; nan where one of them is constant."""
    x, y = (np.asarray(values, dtype=float).ravel() for values in (first, second))
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")
