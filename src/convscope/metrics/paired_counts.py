"""Changes of many cases measured on the same images, from sums alone: intervals, tests, and tests of many at once."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convscope.metrics.intervals import LEVEL

Floats = NDArray[np.float64]


class Changes(NamedTuple):
    """Changes of any number of cases, with the ends of their 95 % intervals, each for itself. p: of no change."""

    value: Floats
    low: Floats
    high: Floats
    p: Floats


def share_changes(gained: ArrayLike, lost: ArrayLike, total: ArrayLike) -> Changes:
    """Changes of a share, where of `total` images `gained` became right and `lost` became wrong.

    Intervals by Bonett and Price (2012), which hold for few changes and for none; p by McNemar's exact test.
    """
    from scipy.stats import binom, norm

    up, down, n = (np.asarray(counts, float) for counts in (gained, lost, total))
    middle = (up - down) / (n + 2)
    spread = np.sqrt(np.maximum(((up + down + 2) / (n + 2) - middle**2) / (n + 2), 0))
    reach = norm.ppf((1 + LEVEL) / 2) * spread
    value = (up - down) / np.maximum(n, 1)
    low, high = np.minimum(np.maximum(middle - reach, -1), value), np.maximum(np.minimum(middle + reach, 1), value)
    return Changes(value, low, high, np.minimum(1, 2 * binom.cdf(np.minimum(up, down), up + down, 0.5)))


def mean_changes(total: ArrayLike, squares: ArrayLike, n: ArrayLike) -> Changes:
    """Means of n paired differences from their sums and the sums of their squares, by Student's t.

    Where n is below two the interval is infinite and p is 1; where all differences are 0, p is 1.
    """
    from scipy.stats import t as student

    sums, powers, count = (np.asarray(numbers, float) for numbers in (total, squares, n))
    many = np.broadcast_to(count > 1, sums.shape)
    value = sums / np.maximum(count, 1)
    variance = np.maximum(powers - count * value**2, 0) / np.maximum(count - 1, 1)
    error = np.sqrt(variance / np.maximum(count, 1))
    freedom = np.maximum(count - 1, 1)
    reach = np.where(many, student.ppf((1 + LEVEL) / 2, freedom) * error, np.inf)
    ratio = np.divide(np.abs(value), error, out=np.where(value == 0, 0.0, np.inf), where=error > 0)
    p = np.where(many, 2 * student.sf(ratio, np.broadcast_to(freedom, ratio.shape)), 1.0)
    return Changes(value, value - reach, value + reach, p)


def false_discovery_rates(p: ArrayLike) -> Floats:
    """Benjamini and Hochberg's adjusted p of any shape: below q, a share of about q of those is by chance."""
    from scipy.stats import false_discovery_control

    numbers: Any = np.asarray(p, float)
    return false_discovery_control(numbers, axis=None).reshape(numbers.shape) if numbers.size else numbers
