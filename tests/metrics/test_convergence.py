"""Overlap with the previous epoch against sets in plain Python; convergence epochs against cases by hand."""

import math

import numpy as np
import pytest

from convscope.metrics.convergence import (
    convergence_epoch,
    keep_exciting,
    layer_convergence_epoch,
    layer_overlap,
    maps_convergence_epochs,
    overlap_with_previous,
)

DEAD = [-1] * 9


def maps(*images):
    """A layer whose maps are excited by these images."""
    return np.array(images, np.int64)


def nine(start):
    return list(range(start, start + 9))


def by_sets(before, after):
    """The share of each living map's images, with sets."""
    old, new = ([{*images} - {-1} for images in layer.tolist()] for layer in (before, after))
    return [len(a & b) / len(b) if b else math.nan for a, b in zip(old, new, strict=True)]


def test_stayed_by_hand():
    before, after = maps(nine(0), nine(0), nine(0)), maps(nine(0)[::-1], nine(100), nine(5))  # order does not matter
    np.testing.assert_allclose(overlap_with_previous(before, after), [1, 0, 4 / 9])


def test_stayed_and_the_layers_mean_equal_sets_whatever_is_dead():
    draw = np.random.default_rng(0)
    for _ in range(20):
        layers = [np.stack([draw.permutation(15)[:9] for _ in range(7)]) for _ in range(2)]
        for layer in layers:
            layer[draw.random(7) < 0.3] = -1
            layer[0, draw.integers(1, 9) :] = -1  # fewer images than nine excite it
        shares = by_sets(*layers)
        np.testing.assert_allclose(overlap_with_previous(*layers), shares)
        alive = [share for share in shares if not math.isnan(share)]
        assert layer_overlap(*layers) == pytest.approx(sum(alive) / len(alive))


def test_dead_maps_neither_settle_a_layer_nor_unsettle_it():
    """The same first images stand in every record of a dead map, with a score of 0."""
    image = np.tile(np.arange(9), (128, 1))
    new = image + 100
    score = np.ones((128, 9), np.float32)
    score[:35] = 0
    before, changed, same = keep_exciting(score, image), keep_exciting(score, new), keep_exciting(score, image)
    assert layer_overlap(before, changed) == 0 and layer_overlap(before, same) == 1
    nobody = keep_exciting(np.zeros((4, 9), np.float32), image[:4])
    assert math.isnan(layer_overlap(nobody, nobody))
    assert layer_convergence_epoch(dict.fromkeys(range(1, 6), nobody)) is None and not len(
        maps_convergence_epochs({1: nobody, 2: nobody})
    )
    reborn = layer_overlap(nobody, image[:4])
    assert reborn == 0  # whatever excites a map that was dead is new


def test_images_that_do_not_excite_do_not_stay():
    image = maps(nine(0))
    three_exciting, one_exciting = np.ones((2, 1, 9), np.float32)
    three_exciting[0, 3:], one_exciting[0, 1:] = 0, -np.inf
    before, after = keep_exciting(one_exciting, image), keep_exciting(three_exciting, image)
    assert overlap_with_previous(before, after).tolist() == [1 / 3]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([0, 0, 0, 0], 2),  # the first comparison is at the second shown epoch
        ([0, 50, 50, 50], 5),
        ([0, 4, 8, 8], 2),  # five of nine stay each time
        ([0, 5, 10, 10], 9),  # four stay: too few, until the last
        ([0, 0, 0, 50], None),  # a new start at the end
        ([0, 50, 50, 90], None),
        ([0, 50, 0, 0], 9),
    ],
)
def test_a_map_and_a_layer_settle_by_one_rule(starts, expected):
    epochs = [1, 2, 5, 9]  # not every epoch was shown
    images = {epoch: maps(nine(start), DEAD) for epoch, start in zip(epochs, starts, strict=True)}
    assert layer_convergence_epoch(images) == expected
    after_the_last = 10
    assert maps_convergence_epochs(images).tolist() == [expected or after_the_last]  # without the dead map
    assert layer_convergence_epoch(dict(reversed(images.items()))) == expected  # in whatever order


def test_a_layer_that_dies_has_not_settled():
    images = {1: maps(nine(0)), 2: maps(nine(0)), 3: maps(DEAD)}
    assert layer_convergence_epoch(images) is None and maps_convergence_epochs(images).tolist() == []


@pytest.mark.parametrize(
    ("shares", "settled"),
    [
        ([0, 0.2, 0.5, 0.9], 3),  # one half counts
        ([0, 0.9, 0.9, 0.4], None),  # fell again at the end
        ([0, 0.9, 0.3, 0.6], 4),  # only since the last time
        ([0, 0.8, 0.8, 0.8], 2),
        ([0, 0.8, math.nan, 0.8], 4),
        ([], None),
    ],
)
def test_settled_from_is_the_first_epoch_that_holds_to_the_end(shares, settled):
    assert convergence_epoch(range(1, len(shares) + 1), shares) == settled
