"""Squares around a projection's energy, against brute force over all squares around the same center."""

import pytest
import torch

from convscope.engine.regions import energy_squares


def blobs(k, height, width, seed):
    """Smooth spots of several sizes at random places, as [k, 3, h, w]."""
    draw = torch.Generator().manual_seed(seed)
    rows, cols = torch.arange(height)[:, None], torch.arange(width)
    place = torch.rand(k, 3, generator=draw)
    spots = [
        torch.exp(-((rows - y * height) ** 2 + (cols - x * width) ** 2) / (2 * (1 + 5 * s) ** 2)) for y, x, s in place
    ]
    return torch.stack(spots)[:, None] * torch.randn(k, 3, 1, 1, generator=draw)


def held(projections, corner, side):
    """The share of each projection's energy in its square, pixel by pixel."""
    shares = []
    for values, top, left in zip(projections, corner.top.tolist(), corner.left.tolist(), strict=True):
        energy = values.double().square().sum(0)
        inside = energy[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
        shares.append(float(inside.sum() / energy.sum()))
    return torch.tensor(shares)


@pytest.mark.parametrize("seed", range(8))
def test_the_squares_hold_the_share_and_smaller_ones_would_not(seed):
    """No square of the same center, or one pixel from it, that is two pixels smaller holds the share."""
    projections = blobs(5, 61 + seed, 70, seed)
    corner, side = energy_squares(projections, 0.99, min_side=3)
    assert held(projections, corner, side).mean() >= 0.99 - 1e-9
    inner = type(corner)(corner.top + 1, corner.left + 1)
    assert held(projections, inner, side - 2).mean() < 0.99


def test_a_feature_of_one_size_is_cut_to_it_wherever_it_lies_in_the_field():
    projections = torch.zeros(4, 3, 90, 90)
    for values, (y, x) in zip(projections, [(0, 0), (70, 70), (35, 3), (66, 40)], strict=True):
        values[:, y : y + 20, x : x + 20] = torch.randn(3, 1, 1) + 3
    corner, side = energy_squares(projections, 1.0)
    assert side == 20 and torch.equal(corner.top, torch.tensor([0, 70, 35, 66]))
    assert torch.equal(corner.left, torch.tensor([0, 70, 3, 40]))


def test_a_square_does_not_hang_over_the_image_where_it_need_not():
    """The left 30 columns are outside the image and have no signal."""
    projections = torch.randn(3, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    projections[..., :30] = 0
    projections[:, :, 25:35, 30:35] *= 100
    corner, side = energy_squares(projections)
    assert side < 30 and (corner.left >= 30).all()


def test_projections_of_zeros_decide_nothing_and_small_fields_stay_whole():
    spot = blobs(2, 40, 40, 1)
    assert energy_squares(torch.cat([spot, torch.zeros(3, 3, 40, 40)]))[1] == energy_squares(spot)[1]
    assert energy_squares(torch.zeros(2, 3, 40, 40))[1] == 16
    corner, side = energy_squares(torch.ones(2, 3, 7, 7))
    assert side == 7 and not corner.top.any() and not corner.left.any()
    corner, side = energy_squares(torch.ones(1, 3, 9, 30))  # a field that is no square is shown whole, and as it is
    assert side >= 29 and int(corner.top) == -((side - 9) - (side - 9) // 2) and int(corner.left) in (0, 1)


def test_numbers_of_any_size_count_and_what_is_no_number_does_not():
    spots = blobs(4, 50, 50, 3)
    corner, side = energy_squares(spots)
    large, side_of_large = energy_squares(spots * 1e30)  # its squares are beyond float32
    assert side_of_large == side and torch.equal(large.top, corner.top) and torch.equal(large.left, corner.left)
    spots[0, 0, :2, :2], spots[1, 1, 45, 45] = torch.inf, torch.nan
    clean = spots.nan_to_num(0, 0, 0)
    for field, expected in zip(energy_squares(spots)[0], energy_squares(clean)[0], strict=True):
        assert torch.equal(field, expected)
