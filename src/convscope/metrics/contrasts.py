"""The statistics behind the paper's claims: arrays of measurements in, one number with its interval out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, ttest_ind

from convscope.metrics.intervals import LEVEL, Interval, bootstrap_interval, mean_interval, share_interval


def paired_difference(one: ArrayLike, other: ArrayLike, seed: int = 0) -> Interval:
    """Mean of one minus other, [n] each, of the same cases; a case with a nan on either side is left out."""
    difference = np.asarray(one, float) - np.asarray(other, float)
    return _mean(difference[np.isfinite(difference)], seed)


def rank_correlation(groups: Sequence[ArrayLike], seed: int = 0) -> Interval:
    """Spearman's correlation of a value with the number of its group; cases are the values of all groups together.

    nan where the values, or the groups, are all the same.
    """
    group = np.repeat(np.arange(len(groups)), [len(np.atleast_1d(values)) for values in groups])
    value = np.concatenate([np.asarray(values, float) for values in groups]) if groups else np.zeros(0)

    def correlation(cases: NDArray[np.int64]) -> float:
        ranks = rankdata([group[cases], value[cases]], axis=1)
        spread = ranks.std(axis=1)
        return float(np.corrcoef(ranks)[0, 1]) if spread.all() else np.nan

    return bootstrap_interval(len(value), correlation, seed) if len(value) else _nothing()


def share_lost(before: ArrayLike, after: ArrayLike, floor: float, seed: int = 0) -> Interval:
    """Of what n cases have above `floor` before, the share that is gone after: 0 nothing, 1 all.

    A ratio of means, so that a case with little to lose weighs little.
    """
    had, kept = np.asarray(before, float) - floor, np.asarray(after, float) - floor
    if not len(had):
        return _nothing()
    return bootstrap_interval(len(had), lambda cases: float(1 - kept[cases].sum() / had[cases].sum()), seed)


def proportion_difference(one: tuple[int, int], other: tuple[int, int]) -> Interval:
    """Difference of two proportions, each (so many, of so many), by Newcombe's method from Wilson's intervals.

    Unlike a bootstrap it stays honest where a proportion is 0 or 1. n: cases of the smaller group.
    """
    if not one[1] or not other[1]:
        return _nothing()
    (p, low_p, high_p), (q, low_q, high_q) = share_interval(*one)[:3], share_interval(*other)[:3]
    low = p - q - np.hypot(p - low_p, high_q - q)
    high = p - q + np.hypot(high_p - p, q - low_q)
    return Interval(p - q, float(low), float(high), min(one[1], other[1]))


def difference_over_seeds(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Difference of two means over two or more seeds each, by Welch's interval. n: runs of the smaller group."""
    difference, n = float(np.mean(one) - np.mean(other)), min(len(one), len(other))
    if not np.ptp(one) and not np.ptp(other):  # scipy has no answer where nothing varies
        return Interval(difference, difference, difference, n)
    interval: Any = ttest_ind(one, other, equal_var=False).confidence_interval(LEVEL)
    return Interval(difference, float(interval.low), float(interval.high), n)


def dominance_difference(one: ArrayLike, other: ArrayLike, seed: int = 0) -> Interval:
    """log2 of largest over median, of one minus of other; the values [n], [m] of either are drawn anew by themselves.

    One extreme value is missing from every third draw, so the interval is clear of zero only when it takes several to
    dominate: the paper speaks of "a few". n: values of the smaller group.
    """
    sizes = np.asarray(one, float), np.asarray(other, float)
    n = min(map(len, sizes))
    if not n or any(np.median(values) <= 0 for values in sizes):
        return _nothing()
    draws = [_dominances(values, np.random.default_rng([seed, side])) for side, values in enumerate(sizes)]
    low, high = np.quantile(draws[0][1:] - draws[1][1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(draws[0][0] - draws[1][0]), float(low), float(high), n)


def _dominances(values: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    """Of the values themselves, then of 2,000 draws of them."""
    cases = draw.integers(0, len(values), (2000, len(values)))
    drawn = np.concatenate([values[None], values[cases]])
    with np.errstate(divide="ignore"):
        return np.log2(drawn.max(1) / np.median(drawn, axis=1))


def _mean(values: NDArray[np.float64], seed: int) -> Interval:
    return mean_interval(values, seed) if len(values) else _nothing()


def _nothing() -> Interval:
    return Interval(np.nan, np.nan, np.nan, 0)
