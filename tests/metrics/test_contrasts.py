"""Differences, ratios and correlations by hand, by scipy and as published; the verdicts that claims draw from them."""

import math
import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr

from convscope.analyses.claims.compute import CONVERGENCE, DEAD_FILTERS, RENORMALIZATION, judge
from convscope.metrics.contrasts import (
    dominance_difference,
    paired_difference,
    proportion_difference,
    rank_correlation,
    share_lost,
)


def test_excess_is_paired_and_leaves_out_what_is_unknown():
    minuend, subtrahend = [3.0, 5.0, np.nan, 9.0], [1.0, 1.0, 1.0, np.nan]
    difference = paired_difference(minuend, subtrahend)
    assert difference.value == 3.0 and difference.n == 2
    assert paired_difference([np.nan], [1.0]).n == 0 and math.isnan(paired_difference([np.nan], [1.0]).value)
    apart = np.arange(20) * 100.0
    assert paired_difference(apart + 1, apart)[:3] == (1, 1, 1)  # differences among the images do not matter


def test_rank_correlation_is_scipys():
    draw = np.random.default_rng(0)
    groups = [draw.integers(0, 5, 20), draw.integers(1, 6, 30), draw.integers(2, 9, 10)]
    expected = spearmanr(np.repeat([0, 1, 2], [20, 30, 10]), np.concatenate(groups)).statistic
    correlation = rank_correlation(groups)
    assert correlation.value == pytest.approx(expected) and correlation.n == 60
    assert correlation.low < expected < correlation.high


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([[2] * 20, [3] * 20, [5] * 20], "holds"),
        ([[5] * 20, [3] * 20, [2] * 20], "does not hold"),
        ([[2, 3, 4, 5] * 100, [2, 3, 4, 5] * 100], "does not hold"),  # no order, and enough maps to say so
        ([[2, 3, 4], [3, 2, 5]], "not enough data"),
        ([[2] * 20, [2] * 20], "not enough data"),  # all at once: no order can be seen
        ([[2, 3, 4, 5, 6, 7, 8]], "not enough data"),  # one layer
        ([], "not enough data"),
    ],
)
def test_settling_holds_fails_and_stays_open(epochs, expected):
    assert judge(CONVERGENCE, rank_correlation(epochs), "").verdict == expected


def test_share_lost_by_hand():
    lost = share_lost([1.0, 0.6], [0.1, 0.1], floor=0.1)
    assert lost.value == pytest.approx(1.0)
    assert share_lost([1.0, 0.5], [1.0, 0.5], 0.1).value == 0
    assert share_lost([0.9, 0.5], [0.5, 0.3], 0.1).value == pytest.approx(1 - (0.4 + 0.2) / (0.8 + 0.4))
    assert share_lost([], [], 0.1).n == 0
    with warnings.catch_warnings(action="error"):
        nothing_to_lose = share_lost([0.5, 0.5, 0.5], [0.4, 0.5, 0.6], floor=0.5)
    assert nothing_to_lose.n == 3 and np.isnan(nothing_to_lose[:3]).all()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [  # Newcombe 1998, Statistics in Medicine 17, table II, method 10, to the printed four digits
        ((56, 70), (48, 80), (0.2, 0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.6, 0.1705, 0.8090)),
        ((5, 56), (0, 29), (0.0893, -0.0381, 0.1926)),
        ((0, 10), (0, 20), (0.0, -0.1611, 0.2775)),
        ((10, 10), (0, 10), (1.0, 0.6075, 1.0)),
    ],
)
def test_proportions_as_published(first, second, expected):
    np.testing.assert_allclose(proportion_difference(first, second)[:3], expected, atol=6e-5)


@pytest.mark.parametrize(
    ("larger_stride", "smaller", "expected"),
    [
        ((41, 96), (3, 96), "holds"),
        ((3, 96), (41, 96), "does not hold"),
        ((0, 96), (0, 96), "does not hold"),  # none dead of many: nothing to gain
        ((0, 24), (0, 24), "not enough data"),
        ((2, 24), (1, 24), "not enough data"),
        ((0, 0), (1, 24), "not enough data"),
    ],
)
def test_dead_filters_hold_fail_and_stay_open(larger_stride, smaller, expected):
    assert judge(DEAD_FILTERS, proportion_difference(larger_stride, smaller), "").verdict == expected


EVEN = np.random.default_rng(3).uniform(0.5, 1.0, 96)
FEW = np.concatenate([EVEN[:90], np.full(6, 20.0)])  # six of 96 filters dominate
ONE = np.concatenate([EVEN[:95], [20.0]])


@pytest.mark.parametrize(
    ("without", "with_", "expected"),
    [
        (FEW, EVEN, "holds"),
        (EVEN, FEW, "does not hold"),
        (EVEN, EVEN[::-1], "does not hold"),
        (ONE, EVEN, "not enough data"),  # a single filter is a single case
        (FEW[:4], EVEN[:4], "not enough data"),
        (np.zeros(20), EVEN, "not enough data"),
        ([], EVEN, "not enough data"),
    ],
)
def test_dominance_holds_fails_and_stays_open(without, with_, expected):
    assert judge(RENORMALIZATION, dominance_difference(without, with_), "").verdict == expected


def test_dominance_is_log_of_largest_over_median():
    assert dominance_difference([1, 1, 1, 8.0], [2, 2, 2, 4.0]).value == pytest.approx(3 - 1)
