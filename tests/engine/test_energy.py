"""Squares around a projection's energy, against brute force over all squares around the same center."""

from typing import NamedTuple

import pytest
import torch

from convscope.engine.energy_squares import energy_squares


def blobs(k, height, width, seed):
    """Smooth spots of several sizes at random places, as [k, 3, h, w]."""
    draw = torch.Generator().manual_seed(seed)
    rows, cols = torch.arange(height)[:, None], torch.arange(width)
    place = torch.rand(k, 3, generator=draw)
    spots = [
        torch.exp(-((rows - y * height) ** 2 + (cols - x * width) ** 2) / (2 * (1 + 5 * s) ** 2)) for y, x, s in place
    ]
    return torch.stack(spots)[:, None] * torch.randn(k, 3, 1, 1, generator=draw)


class Square(NamedTuple):
    top: torch.Tensor
    left: torch.Tensor
    side: int


def squares(*args, **kwargs):
    rows, cols = energy_squares(*args, **kwargs)
    assert rows.size == cols.size
    return Square(rows.start, cols.start, rows.size)


def held(projections, square):
    """The share of each projection's energy in its square, pixel by pixel."""
    shares = []
    for values, top, left in zip(projections, square.top.tolist(), square.left.tolist(), strict=True):
        energy = values.double().square().sum(0)
        inside = energy[max(top, 0) : max(top + square.side, 0), max(left, 0) : max(left + square.side, 0)]
        shares.append(float(inside.sum() / energy.sum()))
    return torch.tensor(shares)


@pytest.mark.parametrize("seed", range(8))
def test_the_squares_hold_the_share_and_smaller_ones_would_not(seed):
    """No square of the same center, or one pixel from it, that is two pixels smaller holds the share."""
    projections = blobs(5, 61 + seed, 70, seed)
    square = squares(projections, 0.99, min_side=3)
    assert held(projections, square).mean() >= 0.99 - 1e-9
    inner = Square(square.top + 1, square.left + 1, square.side - 2)
    assert held(projections, inner).mean() < 0.99


def test_a_feature_of_one_size_is_cut_to_it_wherever_it_lies_in_the_field():
    projections = torch.zeros(4, 3, 90, 90)
    for values, (y, x) in zip(projections, [(0, 0), (70, 70), (35, 3), (66, 40)], strict=True):
        values[:, y : y + 20, x : x + 20] = torch.randn(3, 1, 1) + 3
    square = squares(projections, 1.0)
    assert square.side == 20 and torch.equal(square.top, torch.tensor([0, 70, 35, 66]))
    assert torch.equal(square.left, torch.tensor([0, 70, 3, 40]))


def test_a_square_does_not_hang_over_the_image_where_it_need_not():
    """The left 30 columns are outside the image and have no signal."""
    projections = torch.randn(3, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    projections[..., :30] = 0
    projections[:, :, 25:35, 30:35] *= 100
    square = squares(projections)
    assert square.side < 30 and (square.left >= 30).all()


def test_projections_of_zeros_decide_nothing_and_small_fields_stay_whole():
    spot = blobs(2, 40, 40, 1)
    assert squares(torch.cat([spot, torch.zeros(3, 3, 40, 40)])).side == squares(spot).side
    assert squares(torch.zeros(2, 3, 40, 40)).side == 16
    square = squares(torch.ones(2, 3, 7, 7))
    assert square.side == 7 and not square.top.any() and not square.left.any()
    square = squares(torch.ones(1, 3, 9, 30))  # a field that is no square is shown whole, and as it is
    above = square.side - 9 - (square.side - 9) // 2
    assert square.side >= 29 and int(square.top) == -above and int(square.left) in (0, 1)


def test_numbers_of_any_size_count_and_what_is_no_number_does_not():
    spots = blobs(4, 50, 50, 3)
    square, large = squares(spots), squares(spots * 1e30)  # whose squares are beyond float32
    assert large.side == square.side and torch.equal(large.top, square.top) and torch.equal(large.left, square.left)
    spots[0, 0, :2, :2], spots[1, 1, 45, 45] = torch.inf, torch.nan
    clean = spots.nan_to_num(0, 0, 0)
    square, expected = squares(spots), squares(clean)
    assert torch.equal(square.top, expected.top) and torch.equal(square.left, expected.left)
