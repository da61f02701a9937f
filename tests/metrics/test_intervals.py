"""Intervals hold the truth as often as they should; means over pairs against plain loops."""

import itertools
import math

import numpy as np
import pytest

from convscope.metrics.intervals import (
    Interval,
    bootstrap_interval,
    distance_agreement,
    distance_difference,
    hit_interval,
    in_percent,
    interval_text,
    mean_interval,
    pair_interval,
    pair_mean,
    pair_means,
    same_decimals,
)


@pytest.mark.slow
@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_the_interval_covers_a_known_mean_about_19_times_of_20(draw):
    """60 samples of 40 with mean 1; a percentile interval covers a little less than 95 % at this size."""
    random = np.random.default_rng(0)
    samples = random.normal(1, 2, (60, 40)) if draw == "normal" else random.exponential(1, (60, 40))
    intervals = [mean_interval(sample, seed) for seed, sample in enumerate(samples)]
    covered = sum(interval.low <= 1 <= interval.high for interval in intervals)
    assert 50 <= covered < 60  # 56 expected: three deviations are 6


def test_the_interval_is_as_wide_as_the_central_limit_theorem_says():
    sample = np.random.default_rng(1).normal(5, 3, 400)
    interval = mean_interval(sample)
    error = sample.std() / math.sqrt(400)
    assert interval.value == pytest.approx(sample.mean()) and interval.n == 400
    assert interval.low == pytest.approx(sample.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(sample.mean() + 1.96 * error, abs=0.15 * error)


def test_any_statistic_of_cases():
    values = np.random.default_rng(2).normal(0, 1, 200)
    interval = bootstrap_interval(200, lambda cases: float(np.median(values[cases])))
    assert interval.value == float(np.median(values)) and interval.low < interval.value < interval.high
    assert interval.high - interval.low < 4 * 1.96 * 1.25 / math.sqrt(200)  # the median's error is 1.25 / sqrt(n)


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
    interval = mean_interval([0.0, 1.0])
    assert interval.value == 0.5 and interval.low < -3 and interval.high > 4  # Student's: 0.5 -+ 12.7 * 0.5


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 6, 12])
def test_few_cases_are_covered_as_often_as_many(n):
    draw = np.random.default_rng(n)
    holds = [
        interval.low <= 0 <= interval.high for interval in (mean_interval(draw.normal(size=n), at) for at in range(150))
    ]
    assert np.mean(holds) > 0.86  # 95 % but for 150 draws and a bootstrap of few; as it comes, 76 % of three


@pytest.mark.parametrize(("count", "of"), [(0, 10), (10, 10), (99, 100)])
def test_a_share_of_all_or_none_is_no_point(count, of):
    interval = hit_interval([1.0] * count + [0.0] * (of - count))
    center = (count + 1.96**2 / 2) / (of + 1.96**2)  # Wilson 1927
    assert interval.n == of and interval.value == count / of
    assert (interval.low + interval.high) / 2 == pytest.approx(center, abs=2e-3) and interval.high - interval.low > 0.04


def test_hits_in_between_are_numbers():
    assert hit_interval([0.5, 1.0, 0.0], seed=1) == mean_interval([0.5, 1.0, 0.0], seed=1, bounds=(0, 1))


def test_what_is_not_known_is_not_written():
    assert str(Interval(0.5, -np.inf, np.inf, 1)) == "0.5" and str(Interval(np.nan, np.nan, np.nan, 0)) == ""


def test_an_interval_reads_well():
    assert str(Interval(0.12345, 0.1, 0.15, 9)) == "0.123 [0.100, 0.150]"
    assert interval_text(74.97, -0.04, 100.2) == "75 [0, 100]"
    assert interval_text(-0.001, -2, 0.5) == "0.00 [-2.00, 0.50]"
    assert interval_text(3, 0.8, 12.2, decimals=0) == "3 [1, 12]" and interval_text(2.5, 1, np.inf) == "2.5"
    assert same_decimals([1e-7, 2.346e-6]) == ["1.00e-07", "2.35e-06"] and same_decimals([0.0, -0.0]) == ["0", "0"]


def some_distances(images, seed=0):
    distances = np.random.default_rng(seed).random((images, images))
    distances = distances + distances.T
    np.fill_diagonal(distances, 0)
    return distances


def test_the_mean_is_over_all_ordered_pairs():
    distances = some_distances(6)
    assert pair_mean(distances) == pytest.approx(np.mean([distances[p] for p in itertools.permutations(range(6), 2)]))


def test_an_image_drawn_twice_is_never_paired_with_itself():
    distances = some_distances(5)
    cases = np.array([[0, 3, 3, 4, 0], [1, 2, 3, 4, 0], [2, 2, 2, 2, 2]])
    first, second, one = pair_means(distances, cases)
    for mean, row in ((first, cases[0]), (second, cases[1])):
        assert mean == pytest.approx(np.mean([distances[a, b] for a in row for b in row if a != b]))
    assert one == pytest.approx(pair_mean(distances)) and pair_means(distances, cases[0]) == pytest.approx(first)


def test_agreement_over_several_measurements():
    three = np.stack([some_distances(4, seed) for seed in range(3)])
    agreement = distance_agreement(three)
    pairs = [three[m, i, j] for m in range(3) for i in range(4) for j in range(i)]
    assert agreement.mean.value == pytest.approx(np.mean(pairs)) and agreement.spread == pytest.approx(np.std(pairs))
    assert agreement.mean.n == 4 and agreement.mean.low < agreement.mean.value < agreement.mean.high


def test_a_difference_is_taken_pair_by_pair():
    """What both have in common cancels: the interval of a constant difference is that constant."""
    distances = np.stack([some_distances(5, seed) for seed in range(2)])
    apart = 1 - np.eye(5)
    interval = distance_difference(distances + 0.25 * apart, distances)
    assert [interval.value, interval.low, interval.high] == pytest.approx([0.25] * 3)


def test_two_images_tell_nothing_of_others():
    interval = pair_interval(some_distances(2))
    assert (interval.low, interval.high) == (-np.inf, np.inf)
    assert interval.value == pytest.approx(some_distances(2)[0, 1])


def test_the_interval_holds_the_truth_mostly():
    """Distances |a - b| of images with values from a normal distribution, whose expectation is 2 / sqrt(pi)."""
    draw, covered = np.random.default_rng(0), 0
    for _ in range(40):
        values = draw.normal(size=8)
        interval = pair_interval(np.abs(values[:, None] - values))
        covered += interval.low <= 2 / np.sqrt(np.pi) <= interval.high
    assert covered >= 33


def test_shares_in_percent_with_their_ends():
    assert in_percent(Interval(0.55249, 0.527, 1.0, 40)) == "55.2 % [52.7, 100.0]"
    assert in_percent(Interval(1.0, -math.inf, math.inf, 1)) == "100 % of one image"
