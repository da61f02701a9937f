"""Against np.corrcoef of all pairs; what is exact is asked to be exact."""

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.analyses.overlap.compute import correlation
from convscope.analyses.overlap.compute.correlation import (
    color_values,
    correlations,
    find_matches,
    gray_values,
    image_block,
    join_matches,
    merge_matches,
    no_matches,
)
from convscope.errors import UserError


def noise(count, side=6, seed=0):
    """Blurred noise, so that correlations are spread out."""
    draw = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3))
    return ((draw + np.roll(draw, 1, 1) + np.roll(draw, 1, 2)) // 3).astype(np.uint8)


def values(images, how=gray_values):
    return how(torch.from_numpy(np.ascontiguousarray(images)))


def search(first, second, threshold, rows=10**6, columns=10**6, order=1):
    """As a job does: blocks of the first, each with all blocks of the second; order -1: from the last to the first."""
    parts = []
    for start in range(0, len(first), rows):
        index = torch.arange(len(first))[start : start + rows]
        block = image_block(index, first[start : start + rows])
        matches = no_matches(block.index)
        for column in list(range(0, len(second), columns))[::order]:
            second_block = image_block(
                torch.arange(len(second))[column : column + columns], second[column : column + columns]
            )
            matches = merge_matches(matches, find_matches(block, second_block, threshold, matches.best))
        parts.append(matches)
    return join_matches(parts)


def by_numpy(first, second):
    """[N, M]: of gray images plain correlation, of colors that of the pixels without their channel's mean."""
    flat = [
        (side.double() - side.double().mean(2, keepdim=True)).flatten(1).numpy() for side in (first, second)
    ]  # each channel's mean is zero, so is the whole's
    return np.corrcoef(*flat)[: len(first), len(first) :]


@pytest.mark.parametrize("how", [gray_values, color_values])
def test_best_and_pairs_by_brute_force(how):
    first, second = values(noise(40), how), values(noise(33, seed=1), how)
    expected = by_numpy(first, second)
    matches = search(first, second, threshold=0.3, rows=7, columns=5)
    assert np.allclose(matches.best, expected.max(1), atol=1e-12)
    assert matches.at.tolist() == expected.argmax(1).tolist() and matches.index.tolist() == list(range(40))
    pairs = {*zip(matches.first.tolist(), matches.second.tolist(), strict=True)}
    assert pairs == {*zip(*(side.tolist() for side in np.nonzero(expected >= 0.3)), strict=True)} and len(pairs) > 5
    assert np.allclose(matches.correlation, expected[matches.first, matches.second], atol=1e-12)
    assert (matches.correlation.diff() <= 0).all()


def test_gray_is_that_of_pillow():
    images = noise(3, side=8)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images]).astype(int)
    ours = values(images).view(3, 8, 8).numpy().astype(int)
    assert np.abs(ours - expected).max() <= 1 and (ours == expected).mean() > 0.95  # Pillow cuts at 16 bits


def test_copies_have_exactly_one_and_so_have_those_of_another_brightness():
    first = values(noise(9) // 4)  # 0..63
    brighter, contrastier, both = first + 100, first * 3, first * 2 + 31
    for copy in (first, brighter, contrastier, both):
        matches = search(first, copy, threshold=1.0, rows=4, columns=2)
        assert matches.first.tolist() == matches.second.tolist() == list(range(9))
        assert matches.correlation.tolist() == [1.0] * 9 == matches.best.tolist()
    assert correlations(first, 255 - first).tolist() == [-1.0] * 9  # a negative


def test_colors_see_what_gray_does_not():
    red, blue = np.zeros((2, 1, 8, 8, 3), np.uint8)
    red[..., :4, 0], blue[..., :4, 2] = 114, 255  # nearly the same gray
    assert correlations(values(red), values(blue)).item() > 0.99
    assert abs(correlations(values(red, color_values), values(blue, color_values)).item()) < 1e-12
    assert correlations(values(red, color_values), values(red, color_values)).item() == 1.0  # two channels are flat


@pytest.mark.slow
@pytest.mark.parametrize("how", [gray_values, color_values])
def test_blocks_do_not_matter_to_the_last_bit(how):
    first, second = values(noise(30), how), values(noise(41, seed=2), how)
    second[[3, 17, 40]] = first[[5, 5, 6]]  # copies, one of them twice
    whole = search(first, second, threshold=0.2)
    for rows, columns, order in ((1, 1, 1), (7, 4, 1), (30, 1, -1), (4, 13, -1)):
        matches = search(first, second, 0.2, rows, columns, order)
        assert all(torch.equal(a, b) for a, b in zip(matches, whole, strict=True))
    assert whole.at[5] == 3 and whole.first[:3].tolist() == [5, 5, 6] and whole.second[:3].tolist() == [3, 17, 40]


def test_nearly_equal_images_are_told_apart_beyond_float32():
    side = 64
    image = np.random.default_rng(0).integers(0, 2, (1, side, side, 3), dtype=np.uint8) * 250
    image[..., 1:] = image[..., :1]
    near, nearer = image.copy(), image.copy()
    near[0, 0, 0] = abs(int(near[0, 0, 0, 0]) - 2)
    nearer[0, 0, 0] = abs(int(nearer[0, 0, 0, 0]) - 1)
    second = values(np.concatenate([near, nearer]))
    matches = search(values(image), second, threshold=1.0)
    expected = correlations(values(image).expand(2, -1, -1), second)
    assert 0 < expected[1] - expected[0] < 1e-7 and matches.at.item() == 1 and matches.best.item() == expected[1]
    assert not len(matches.first)  # nearly one is not one


def test_images_of_one_color_are_compared_with_nothing():
    first, second = values(noise(4)), values(noise(5, seed=1))
    first[2], second[0] = 7, 200
    matches = search(first, second, threshold=0.1)
    assert matches.index.tolist() == [0, 1, 3] and 0 not in matches.at.tolist() and 0 not in matches.second.tolist()
    assert correlations(first[2:3], second[1:2]).isnan().all()
    empty = search(first, second[:1], threshold=0.1)
    assert empty.at.tolist() == [-1] * 3 and empty.best.tolist() == [-np.inf] * 3 and not len(empty.first)


def test_too_many_pairs_are_told(monkeypatch):
    monkeypatch.setattr(correlation, "MAX_PAIRS", 20)
    same = values(noise(1)).expand(5, -1, -1)
    with pytest.raises(
        UserError, match=r"overlap.threshold=0.5 lets more than 20 pairs pass, too many to be copies; typ"
    ):
        search(same, same, threshold=0.5)
    assert len(search(same[:4], same, threshold=0.5).first) == 20
