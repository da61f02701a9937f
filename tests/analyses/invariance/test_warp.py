"""Shifts, enlargements and turns against torch's roll, rot90 and grid_sample, and against images known by formula."""

import math

import pytest
import torch
import torch.nn.functional as F

from convscope.analyses.invariance.compute.warp import FILLS, paper_transforms, rotated, scaled, translated
from convscope.errors import UserError
from engine.specimens import photographs


def sampled(images, places, fill):
    """torch's grid_sample at complex places x + iy [H, W], in pixels from the image's center."""
    height, width = images.shape[2:]
    grid = torch.stack([2 * places.real / width, 2 * places.imag / height], -1)[None].expand(len(images), -1, -1, -1)
    padding = {"gray": "zeros", "edge": "border", "reflect": "reflection"}[fill]
    return F.grid_sample(images, grid, "bilinear", padding, align_corners=False)


def places(height, width):
    y, x = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2 for size in (height, width))
    return torch.complex(x.expand(height, width), y[:, None].expand(height, width))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("pixels", [5, -5, 0, 13])
def test_whole_pixels_are_rolled_and_what_comes_in_is_the_fill(pixels, fill):
    images = photographs(2, (20, 17)).float()
    moved, rolled = translated(images, pixels, fill), images.roll(pixels, 2)
    inside = slice(max(0, pixels), 20 + min(0, pixels))
    assert torch.equal(moved[:, :, inside], rolled[:, :, inside])
    came = moved[:, :, :pixels] if pixels > 0 else moved[:, :, 20 + pixels :]
    edge = images[:, :, :1] if pixels > 0 else images[:, :, -1:]
    near = images[:, :, :pixels] if pixels > 0 else images[:, :, 20 + pixels :]
    expected = {"gray": torch.zeros_like(came), "edge": edge.expand_as(came), "reflect": near.flip(2)}[fill]
    assert torch.equal(came, expected)


@pytest.mark.parametrize("side", [16, 17])
@pytest.mark.parametrize("quarters", range(-4, 6))
def test_quarter_turns_of_a_square_copy_pixels_counter_clockwise(side, quarters):
    images = photographs(2, (side, side)).float()
    assert torch.equal(rotated(images, 90 * quarters), images.rot90(quarters, (2, 3)))


@pytest.mark.parametrize("fill", FILLS)
def test_no_change_is_the_image_itself(fill):
    images = photographs(2, (15, 22)).float()
    for same in (
        translated(images, 0, fill),
        scaled(images, 1, fill),
        rotated(images, 0, fill),
        rotated(images, 360, fill),
    ):
        assert torch.equal(same, images)


@pytest.mark.parametrize("fill", FILLS)
def test_any_change_is_what_grid_sample_makes_of_it(fill):
    images = photographs(2, (19, 26))
    plane = places(19, 26)
    for degrees in (10.0, 77.7, 200.0, -33.0):
        back = plane * complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
        torch.testing.assert_close(rotated(images, degrees, fill), sampled(images, back, fill), atol=1e-6, rtol=0)
    for ratio in (1.05, 1.8, 0.4):
        torch.testing.assert_close(scaled(images, ratio, fill), sampled(images, plane / ratio, fill))
    for pixels in (3.25, -7.5):
        torch.testing.assert_close(translated(images, pixels, fill), sampled(images, plane - 1j * pixels, fill))


def test_an_enlarged_ramp_is_flatter():
    ramp = (torch.arange(21.0) - 10).expand(1, 3, 21, 21)
    torch.testing.assert_close(scaled(ramp, 1.6), ramp / 1.6)


def test_the_papers_ranges_and_what_is_small():
    translation, scale, rotation = paper_transforms(224)
    assert translation.values == tuple(range(-60, 61, 6)) and (translation.small, translation.farthest) == (6, 60)
    assert (scale.values[0], scale.values[-1], len(scale.values)) == (1, 1.8, 17)
    assert rotation.values == tuple(range(0, 360, 10))
    assert rotation.amounts.tolist() == [*range(0, 180, 10), *range(-180, 0, 10)]
    assert scale.amounts[2].item() == pytest.approx(0.1)
    for size in (32, 96, 128):  # whole pixels, the same part of the image, no value twice
        shifts = paper_transforms(size)[0].values
        assert all(isinstance(pixels, int) for pixels in shifts) and len(set(shifts)) == len(shifts)
        assert shifts[-1] == -shifts[0] == round(60 * size / 224) and 0 in shifts


@pytest.mark.parametrize("change", [translated, scaled, rotated])
def test_an_unknown_fill_is_told(change):
    with pytest.raises(UserError, match="fill=grey is unknown; possible: gray, edge, reflect"):
        change(photographs(1, (8, 8)), 1, "grey")
