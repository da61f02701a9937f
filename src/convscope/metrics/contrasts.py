"""Statistics that compare groups of measurements, each with its 95 % interval: differences, ratios, correlations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, ttest_ind

from convscope.metrics.intervals import LEVEL, Interval, bootstrap_interval, mean_interval, share_interval


def paired_difference(minuend: ArrayLike, subtrahend: ArrayLike, seed: int = 0) -> Interval:
    """Mean of minuend minus subtrahend, [n] each, of the same cases. Cases with a nan on either side are left out."""
    difference = np.asarray(minuend, float) - np.asarray(subtrahend, float)
    finite = difference[np.isfinite(difference)]
    return mean_interval(finite, seed) if len(finite) else _no_cases()


def rank_correlation(groups: Sequence[ArrayLike], seed: int = 0) -> Interval:
    """Spearman's correlation of a value with the number of its group. Cases are the values of all groups together.

    nan where all values, or all group numbers, are equal.
    """
    group = np.repeat(np.arange(len(groups)), [len(np.atleast_1d(values)) for values in groups])
    value = np.concatenate([np.asarray(values, float) for values in groups]) if groups else np.zeros(0)

    def correlation(cases: NDArray[np.int64]) -> float:
        ranks = rankdata([group[cases], value[cases]], axis=1)
        spread = ranks.std(axis=1)
        return float(np.corrcoef(ranks)[0, 1]) if spread.all() else np.nan

    return bootstrap_interval(len(value), correlation, seed) if len(value) else _no_cases()


def share_lost(before: ArrayLike, after: ArrayLike, floor: float, seed: int = 0) -> Interval:
    """The share of the n cases' height above `floor` that is lost from before to after: 0 nothing, 1 all.

    A ratio of means, so that a case with little to lose weighs little. nan where no case has anything to lose.
    """
    height_before, height_after = np.asarray(before, float) - floor, np.asarray(after, float) - floor

    def lost(cases: NDArray[np.int64]) -> float:
        whole = height_before[cases].sum()
        return float(1 - height_after[cases].sum() / whole) if whole else np.nan

    return bootstrap_interval(len(height_before), lost, seed) if len(height_before) else _no_cases()


def proportion_difference(minuend: tuple[int, int], subtrahend: tuple[int, int]) -> Interval:
    """Difference of two proportions, each (count, total), by Newcombe's method from Wilson's intervals.

    Unlike a bootstrap it holds where a proportion is 0 or 1. n: cases of the smaller group.
    """
    if not minuend[1] or not subtrahend[1]:
        return _no_cases()
    (p, low_p, high_p), (q, low_q, high_q) = share_interval(*minuend)[:3], share_interval(*subtrahend)[:3]
    low = p - q - np.hypot(p - low_p, high_q - q)
    high = p - q + np.hypot(high_p - p, q - low_q)
    return Interval(p - q, float(low), float(high), min(minuend[1], subtrahend[1]))


def difference_over_seeds(minuend: Sequence[float], subtrahend: Sequence[float]) -> Interval:
    """Difference of two means over two or more seeds each, by Welch's interval. n: runs of the smaller group."""
    difference, n = float(np.mean(minuend) - np.mean(subtrahend)), min(len(minuend), len(subtrahend))
    if not np.ptp(minuend) and not np.ptp(subtrahend):  # scipy's interval is nan where nothing varies
        return Interval(difference, difference, difference, n)
    interval: Any = ttest_ind(minuend, subtrahend, equal_var=False).confidence_interval(LEVEL)
    return Interval(difference, float(interval.low), float(interval.high), n)


def dominance_difference(minuend: ArrayLike, subtrahend: ArrayLike, seed: int = 0) -> Interval:
    """log2(largest / median) of minuend [n] minus that of subtrahend [m]. The bootstrap draws each of them by itself.

    One extreme value is missing from every third draw, so the interval is clear of zero only when several values
    dominate: the paper speaks of "a few". n: values of the smaller group.
    """
    sides = np.asarray(minuend, float), np.asarray(subtrahend, float)
    n = min(map(len, sides))
    if not n or any(np.median(values) <= 0 for values in sides):
        return _no_cases()
    draws = [_drawn_dominances(values, np.random.default_rng([seed, number])) for number, values in enumerate(sides)]
    low, high = np.quantile(draws[0][1:] - draws[1][1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(draws[0][0] - draws[1][0]), float(low), float(high), n)


def _drawn_dominances(values: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    """[2001]: log2(largest / median) of the values themselves, then of 2,000 bootstrap draws of them."""
    cases = draw.integers(0, len(values), (2000, len(values)))
    drawn = np.concatenate([values[None], values[cases]])
    with np.errstate(divide="ignore"):
        return np.log2(drawn.max(1) / np.median(drawn, axis=1))


def _no_cases() -> Interval:
    return Interval(np.nan, np.nan, np.nan, 0)
