"""Means over pairs against plain loops; intervals against what they should hold."""

import itertools

import numpy as np
import pytest

from convscope.metrics.intervals import agreement, difference, pair_interval, pair_mean


def some_distances(images, seed=0):
    one = np.random.default_rng(seed).random((images, images))
    one = one + one.T
    np.fill_diagonal(one, 0)
    return one


def test_the_mean_is_over_all_ordered_pairs():
    distances = some_distances(6)
    assert pair_mean(distances) == pytest.approx(np.mean([distances[p] for p in itertools.permutations(range(6), 2)]))


def test_an_image_drawn_twice_is_never_paired_with_itself():
    distances, cases = some_distances(5), np.array([0, 3, 3, 4, 0])
    pairs = [distances[a, b] for a in cases for b in cases if a != b]
    assert pair_mean(distances, cases) == pytest.approx(np.mean(pairs))
    assert pair_mean(distances, np.array([2, 2, 2, 2, 2])) == pair_mean(distances)


def test_agreement_over_several_measurements():
    three = np.stack([some_distances(4, seed) for seed in range(3)])
    found = agreement(three)
    pairs = [three[m, i, j] for m in range(3) for i in range(4) for j in range(i)]
    assert found.mean.value == pytest.approx(np.mean(pairs)) and found.spread == pytest.approx(np.std(pairs))
    assert found.mean.n == 4 and found.mean.low < found.mean.value < found.mean.high


def test_a_difference_is_taken_pair_by_pair():
    """What both have in common cancels: the interval of a constant difference is that constant."""
    one = np.stack([some_distances(5, seed) for seed in range(2)])
    apart = 1 - np.eye(5)
    found = difference(one + 0.25 * apart, one)
    assert [found.value, found.low, found.high] == pytest.approx([0.25] * 3)


def test_two_images_tell_nothing_of_others():
    found = pair_interval(some_distances(2))
    assert (found.low, found.high) == (-np.inf, np.inf) and found.value == pytest.approx(some_distances(2)[0, 1])


@pytest.mark.slow
def test_the_interval_holds_the_truth_mostly():
    """Distances |a - b| of images with values from a normal distribution, whose expectation is 2 / sqrt(pi)."""
    draw, held = np.random.default_rng(0), 0
    for _ in range(40):
        values = draw.normal(size=8)
        found = pair_interval(np.abs(values[:, None] - values))
        held += found.low <= 2 / np.sqrt(np.pi) <= found.high
    assert held >= 33
