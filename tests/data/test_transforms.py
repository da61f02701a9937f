"""Crops, flips and color noise: where they may fall, how often, and that they depend on their key alone."""

import numpy as np
import pytest

from convscope.data.transforms import center_cuts, color_shifts, random_cuts, stored_size
from convscope.errors import UserError


def keys(count, epoch=0):
    return np.stack([np.full(count, epoch), np.arange(count)], 1)


def test_stored_size_is_the_papers_proportion():
    assert [stored_size(side) for side in (224, 128, 64, 8)] == [256, 146, 73, 9]
    with pytest.raises(UserError, match="data.image_size=7 is too small; 8 or more"):
        stored_size(7)


def test_every_place_and_direction_comes_equally_often():
    cuts = random_cuts(keys(66_000), seed=3, margin=32)
    for place in (cuts.top, cuts.left):
        counts = np.bincount(place, minlength=33)
        assert len(counts) == 33 and counts.min() > 1_800 and counts.max() < 2_200  # 2,000 expected, deviation 44
    assert abs(cuts.flip.mean() - 0.5) < 0.01
    for one, other in ((cuts.top, cuts.left), (cuts.top, cuts.flip), (cuts.top[1:], cuts.top[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_a_cut_depends_on_its_key_alone():
    whole = random_cuts(keys(100, epoch=4), 7, 10)
    part = random_cuts(keys(100, epoch=4)[[17, 3]], 7, 10)
    assert all((a[[17, 3]] == b).all() for a, b in zip(whole, part, strict=True))
    for other in (random_cuts(keys(100, epoch=5), 7, 10), random_cuts(keys(100, epoch=4), 8, 10)):
        assert (whole.top != other.top).mean() > 0.7
    assert abs(np.corrcoef(random_cuts(keys(5000, 1), 0, 32).top, random_cuts(keys(5000, 0), 1, 32).top)[0, 1]) < 0.05


def test_no_margin_leaves_the_image():
    cuts = random_cuts(keys(50), 0, 0)
    assert not cuts.top.any() and not cuts.left.any()


def test_center():
    cuts = center_cuts(3, 33)
    assert cuts.top.tolist() == cuts.left.tolist() == [16] * 3 and not cuts.flip.any()


def test_color_noise_has_alexnets_covariance():
    shifts = color_shifts(keys(200_000), seed=1, sigma=0.1) / 255
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    expected = vectors @ np.diag((0.1 * np.array([0.2175, 0.0188, 0.0045])) ** 2) @ vectors.T
    assert np.abs(np.cov(shifts.T) - expected).max() < 0.02 * expected.max()
    assert np.abs(shifts.mean(0)).max() < 2e-4
    assert not color_shifts(keys(4), 1, 0.0).any()
