"""How sure a number is: bootstrap confidence intervals, by scipy."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

LEVEL = 0.95
RESAMPLES = 2000


class Interval(NamedTuple):
    """A number and the ends of its 95 % confidence interval. n: how many independent cases it rests on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def resampled(n: int, statistic: Callable[[NDArray[np.int64]], float], seed: int = 0) -> Interval:
    """The statistic of cases 0 .. n-1, and how it varies when the cases are drawn anew (percentile bootstrap).

    statistic: takes case numbers [n], some of them repeatedly. With one case the interval is -inf .. inf.
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
    return Interval(value, float(found.low), float(found.high), n)


def mean_interval(values: Sequence[float] | NDArray[Any], seed: int = 0) -> Interval:
    """Mean of independent values [n] and its interval."""
    numbers = np.asarray(values, dtype=float)
    return resampled(len(numbers), lambda cases: float(numbers[cases].mean()), seed)
