"""Places against masks and boxes, counted by hand and by brute force."""

import numpy as np
import pytest

from convscope.metrics.localization import (
    LocalizationHit,
    in_boxes,
    in_mask,
    localization_hit,
    localization_rates,
    pearson_correlation,
)

CENTERS = [2.0, 5.0, 8.0]  # of an image of 10 pixels


def test_a_point_belongs_to_its_pixel():
    mask = np.zeros((10, 10), np.uint8)
    mask[3, 7] = 1
    points = np.array([[7.0, 3.0], [7.99, 3.99], [8.0, 3.5], [7.5, 4.0], [3.5, 7.5]])  # (x, y)
    assert in_mask(mask)(points).tolist() == [True, True, False, False, False]
    mask[9, 9] = 1
    assert in_mask(mask)(np.array([[10.0, 10.0]])).tolist() == [True]  # the image's far corner is its last pixel


def test_any_box_and_its_edges():
    inside = in_boxes([[1, 1, 3, 2], [6, 0, 7, 9]])
    assert inside(np.array([[1.0, 1.0], [3.0, 2.0], [3.1, 2.0], [6.5, 8.0], [6.5, 9.1]])).tolist() == [1, 1, 0, 1, 0]


def test_rows_are_y_and_columns_are_x():
    values = np.ones((3, 3))
    values[0, 2] = 0  # y = 2, x = 8
    assert localization_hit(values, CENTERS, 10, in_boxes([[7, 1, 9, 3]])).lowest == 1
    assert localization_hit(values, CENTERS, 10, in_boxes([[1, 7, 3, 9]])).lowest == 0


def test_what_one_image_gives():
    mask = np.zeros((10, 10), np.uint8)
    mask[:, :6] = 1  # centers 2 and 5 of each row
    values = np.array([[0.1, 0.9, 0.9], [0.5, 0.3, 0.7], [0.9, 0.9, 0.1]])
    hit = localization_hit(values, CENTERS, 10, in_mask(mask))
    assert hit.lowest == 0.5  # of two equally low places one is on the object
    assert (hit.center, hit.anywhere) == (1, pytest.approx(2 / 3))
    assert hit.drop == pytest.approx((0.9 + 0.7 + 0.1) / 3 - (0.1 + 0.9 + 0.5 + 0.3 + 0.9 + 0.9) / 6)
    assert np.isnan(localization_hit(values, CENTERS, 10, in_mask(np.ones((10, 10), np.uint8))).drop)
    blind = localization_hit(np.ones((3, 3)), CENTERS, 10, in_mask(mask))
    assert blind.lowest == pytest.approx(2 / 3)  # the rate of chance


def test_a_blind_net_is_right_as_often_as_chance():
    """Noise instead of probabilities: the rate of its minimum has the rate of a random place in its interval."""
    draw = np.random.default_rng(0)
    masks = draw.random((600, 12, 12)) < draw.random((600, 1, 1))
    centers = np.arange(12) + 0.5
    rates = localization_rates(
        [localization_hit(draw.random((12, 12)), centers, 12, in_mask(mask.astype(np.uint8))) for mask in masks]
    )
    assert rates.anywhere.value == pytest.approx(masks.mean())
    assert rates.lowest.low < masks.mean() < rates.lowest.high and rates.lowest.high - rates.lowest.low < 0.09
    assert rates.drop.low < 0 < rates.drop.high and rates.lowest.n == 600


def test_the_gain_is_paired():
    rates = localization_rates(
        [LocalizationHit(1, 0, 0.5, np.nan), LocalizationHit(1, 1, 0.5, 0.2), LocalizationHit(0, 0, 0.2, 0.4)]
    )
    assert rates.gain.value == pytest.approx(1 / 3) and rates.gain.low < 0 < rates.gain.high
    assert (rates.drop.value, rates.drop.n) == (pytest.approx(0.3), 2)
    assert np.isnan(localization_rates([LocalizationHit(1, 0, 1, np.nan)]).drop.value)


def test_no_rate_of_few_images_leaves_what_a_share_can_be():
    rates = localization_rates([LocalizationHit(1, 0, 0.05, 0.1), LocalizationHit(0.5, 1, 0.6, 0.2)])
    shares = rates.lowest, rates.center, rates.anywhere
    assert all(0 <= rate.low <= rate.value <= rate.high <= 1 for rate in shares)
    assert rates.gain.low >= -1 and rates.gain.high <= 1


def test_correlation():
    draw = np.random.default_rng(1)
    first, second = draw.random((2, 5, 5))
    assert pearson_correlation(first, second) == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1])
    assert pearson_correlation(first, 3 - 2 * first) == pytest.approx(-1)
    assert np.isnan(pearson_correlation(first, np.ones((5, 5))))
