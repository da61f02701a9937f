"""Intervals cover what they should as often as they should."""

import math

import numpy as np
import pytest

from convscope.score.interval import Interval, mean_interval, resampled


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_the_interval_covers_a_known_mean_about_19_times_of_20(draw):
    """60 samples of 40 with mean 1; a percentile interval covers a little less than 95 % at this size."""
    random = np.random.default_rng(0)
    samples = random.normal(1, 2, (60, 40)) if draw == "normal" else random.exponential(1, (60, 40))
    found = [mean_interval(sample, seed) for seed, sample in enumerate(samples)]
    covered = sum(one.low <= 1 <= one.high for one in found)
    assert 50 <= covered < 60  # 56 expected: three deviations are 6


def test_the_interval_is_as_wide_as_the_central_limit_theorem_says():
    sample = np.random.default_rng(1).normal(5, 3, 400)
    found = mean_interval(sample)
    error = sample.std() / math.sqrt(400)
    assert found.value == pytest.approx(sample.mean()) and found.n == 400
    assert found.low == pytest.approx(sample.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(sample.mean() + 1.96 * error, abs=0.15 * error)


def test_any_statistic_of_cases():
    values = np.random.default_rng(2).normal(0, 1, 200)
    found = resampled(200, lambda cases: float(np.median(values[cases])))
    assert found.value == float(np.median(values)) and found.low < found.value < found.high
    assert found.high - found.low < 4 * 1.96 * 1.25 / math.sqrt(200)  # the median's error is 1.25 / sqrt(n)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(3).random(30)
    assert mean_interval(values, 4) == mean_interval(values, 4) != mean_interval(values, 5)


def test_one_case_knows_no_bounds():
    assert mean_interval([0.25]) == Interval(0.25, -math.inf, math.inf, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [[1.0] * 20, [True, True], [0, 0, 0]])
def test_equal_values_are_a_point(values):
    assert mean_interval(values) == (values[0], values[0], values[0], len(values))


def test_two_cases_reach_from_one_to_the_other():
    assert mean_interval([0.0, 1.0]) == (0.5, 0.0, 1.0, 2)


def test_an_interval_reads_well():
    assert str(Interval(0.12345, 0.1, 0.15, 9)) == "0.123 [0.1, 0.15]"
