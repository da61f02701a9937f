import itertools

import numpy as np
import pytest

from convscope.plots.lettering import moved_apart


def test_labels_with_room_stay_where_they_are():
    assert moved_apart([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])


def test_two_at_one_height_part_evenly():
    assert moved_apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


def test_at_the_edge_they_move_inside():
    assert moved_apart([0.0, 0.0, 0.0], 0.1) == pytest.approx([0.0, 0.1, 0.2])
    assert moved_apart([1.0, 0.99], 0.1) == pytest.approx([1.0, 0.9])


def test_no_labels():
    assert moved_apart([], 0.1) == []


@pytest.mark.parametrize("seed", range(5))
def test_never_closer_than_asked_and_never_out_of_order(seed):
    heights = np.random.default_rng(seed).uniform(size=12)
    moved = np.array(moved_apart(heights.tolist(), 0.08))
    assert (np.diff(np.sort(moved)) >= 0.08 - 1e-12).all()
    assert (np.argsort(moved) == np.argsort(heights)).all()
    assert moved.min() >= 0 and moved.max() <= 1


def test_least_squares_by_trying_a_lattice():
    heights = [0.40, 0.44, 0.52]
    lattice = np.arange(0, 1.0001, 0.02)
    allowed = [p for p in itertools.combinations(lattice, 3) if p[1] - p[0] >= 0.0999 and p[2] - p[1] >= 0.0999]
    best = min(np.square(np.array(p) - heights).sum() for p in allowed)
    assert np.square(np.array(moved_apart(heights, 0.1)) - heights).sum() <= best + 1e-9
