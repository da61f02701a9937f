"""Intervals cover what they should as often as they should."""

import math

import numpy as np
import pytest

from convscope.metrics.intervals import Interval, hit_interval, mean_interval, resampled


@pytest.mark.slow
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


def test_two_cases_tell_next_to_nothing():
    found = mean_interval([0.0, 1.0])
    assert found.value == 0.5 and found.low < -3 and found.high > 4  # Student's: 0.5 -+ 12.7 * 0.5


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 6, 12])
def test_few_cases_are_covered_as_often_as_many(n):
    draw = np.random.default_rng(n)
    holds = [found.low <= 0 <= found.high for found in (mean_interval(draw.normal(size=n), at) for at in range(150))]
    assert np.mean(holds) > 0.86  # 95 % but for 150 draws and a bootstrap of few; as it comes, 76 % of three


@pytest.mark.parametrize(("count", "of"), [(0, 10), (10, 10), (99, 100)])
def test_a_share_of_all_or_none_is_no_point(count, of):
    found = hit_interval([1.0] * count + [0.0] * (of - count))
    center = (count + 1.96**2 / 2) / (of + 1.96**2)  # Wilson 1927
    assert found.n == of and found.value == count / of
    assert (found.low + found.high) / 2 == pytest.approx(center, abs=2e-3) and found.high - found.low > 0.04


def test_hits_in_between_are_numbers():
    assert hit_interval([0.5, 1.0, 0.0], seed=1) == mean_interval([0.5, 1.0, 0.0], seed=1)


def test_what_is_not_known_is_not_written():
    assert str(Interval(0.5, -np.inf, np.inf, 1)) == "0.5" and str(Interval(np.nan, np.nan, np.nan, 0)) == ""


def test_an_interval_reads_well():
    assert str(Interval(0.12345, 0.1, 0.15, 9)) == "0.123 [0.1, 0.15]"
