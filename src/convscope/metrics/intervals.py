"""How sure a number is: 95 % confidence intervals, by scipy."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, binomtest, bootstrap
from scipy.stats import norm as normal
from scipy.stats import t as student

LEVEL = 0.95
RESAMPLES = 2000


class Interval(NamedTuple):
    """A number and the ends of its 95 % confidence interval. n: how many independent cases it rests on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Without the interval where there is none, as for a single case; nothing where there is no number."""
        if not np.isfinite(self.value):
            return ""
        known = np.isfinite(self.low) and np.isfinite(self.high)
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]" if known else f"{self.value:.3g}"


def bootstrap_interval(n: int, statistic: Callable[[NDArray[np.int64]], float], seed: int = 0) -> Interval:
    """The statistic of cases 0 .. n-1, and how it varies when the cases are drawn anew.

    statistic: takes case numbers [n], some of them repeatedly. The bootstrap's percentiles, made wider for few cases as
    Student's interval is (Hesterberg 2015, "expanded percentile"): as they come, those of five cases hold the truth in
    80 instead of 95 of 100 times. With one case the interval is -inf .. inf.
    """
    cases = np.arange(n)
    value = float(statistic(cases))
    if n < 2:
        return Interval(value, -np.inf, np.inf, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # all the same: the interval is that point
        found: Any = bootstrap(
            (cases,), statistic, n_resamples=RESAMPLES, confidence_level=LEVEL, vectorized=False, paired=False,
            method="percentile", rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    tail = (1 + LEVEL) / 2
    wider = student.ppf(tail, n - 1) / normal.ppf(tail) * np.sqrt(n / (n - 1))
    low, high = (value + wider * (end - value) for end in (found.low, found.high))
    return Interval(value, float(low), float(high), n)


def mean_interval(values: Sequence[float] | NDArray[Any], seed: int = 0, most: float = np.inf) -> Interval:
    """Mean of independent values [n] and its interval; of values that lie in -most .. most no end lies outside."""
    numbers = np.asarray(values, dtype=float)
    found = bootstrap_interval(len(numbers), lambda cases: float(numbers[cases].mean()), seed)
    return found._replace(low=max(-most, found.low), high=min(most, found.high)) if len(numbers) > 1 else found


def hit_interval(hits: Sequence[float] | NDArray[Any], seed: int = 0) -> Interval:
    """Mean of hits [n], 0 or 1 each or a share in between; where there is none in between, the interval of a share."""
    numbers = np.asarray(hits, dtype=float)
    if len(numbers) and np.isin(numbers, (0, 1)).all():
        return share_interval(int(numbers.sum()), len(numbers))
    return mean_interval(numbers, seed)


def share_interval(count: int, of: int) -> Interval:
    """The share count / of with Wilson's interval, which stays honest where all or none are."""
    found = binomtest(count, of).proportion_ci(LEVEL, method="wilson")
    return Interval(count / of, float(found.low), float(found.high), of)


Distances = NDArray[np.float64]  # [m, N, N], symmetric: m measurements of each two of N images


class Agreement(NamedTuple):
    """mean over pairs and measurements. spread: standard deviation over all of them, each pair once."""

    mean: Interval
    spread: float


def distance_agreement(distances: Distances, seed: int = 0) -> Agreement:
    """How far apart images are."""
    upper = np.triu_indices(distances.shape[-1], 1)
    return Agreement(pair_interval(distances.mean(0), seed), float(distances[:, *upper].std()))


def distance_difference(one: Distances, other: Distances, seed: int = 0) -> Interval:
    """Mean of one [m, N, N] minus that of another [M, N, N], of the same images and so taken pair by pair."""
    return pair_interval(one.mean(0) - other.mean(0), seed)


def pair_interval(distances: NDArray[np.float64], seed: int = 0) -> Interval:
    """The mean over pairs of distances [N, N], n counting the images, which are drawn anew.

    -inf .. inf for two images: they are one pair, which says nothing of others.
    """
    count = len(distances)
    if count < 3:
        return Interval(pair_mean(distances), -np.inf, np.inf, count)
    return bootstrap_interval(count, lambda cases: pair_mean(distances, cases), seed)


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
