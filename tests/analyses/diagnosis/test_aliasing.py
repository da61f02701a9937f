"""The grid of a stride, found in made-up projections that have one and not in those that have none."""

import pytest
import torch
import torch.nn.functional as F

from convscope.analyses.diagnosis.compute.frequencies import aliasing


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def repeated(period, side, count=40):
    """Random tiles of period x period, side by side."""
    repeats = -(-side // period)
    return draw(count, 3, period, period).repeat(1, 1, repeats, repeats)[..., :side, :side]


def smooth(count, side, slope=1.0):
    """Noise whose amplitude falls off with frequency as that of photographs does, cut from larger pictures."""
    frequency = torch.fft.fftfreq(2 * side)
    distance = torch.hypot(frequency[:, None], frequency[None, :]).clamp_min(1 / (2 * side))
    return torch.fft.ifft2(torch.fft.fft2(draw(count, 3, 2 * side, 2 * side)) / distance**slope).real[..., :side, :side]


@pytest.mark.parametrize(("period", "side"), [(2, 27), (4, 51), (4, 27), (8, 51)])
def test_a_pattern_that_repeats_is_all_grid(period, side):
    energy = aliasing(repeated(period, side), period)
    assert float(energy.grid.mean()) > 0.8 and float(energy.grid.mean() - energy.beside.mean()) > 0.5


@pytest.mark.parametrize(("period", "side"), [(2, 27), (4, 51), (4, 27), (8, 51)])
@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_has_no_grid(period, side, slope):
    energy = aliasing(smooth(60, side, slope), period)
    assert abs(float((energy.grid - energy.beside).mean())) < 0.03
    assert abs(float(energy.grid.mean())) < 0.05


@pytest.mark.parametrize("period", [2, 4, 8])
def test_mixed_half_and_half_by_energy_gives_half(period):
    grid, noise = repeated(period, 64), smooth(40, 64)
    grid, noise = (part - part.mean((2, 3), keepdim=True) for part in (grid, noise))
    grid, noise = (part / part.square().mean((1, 2, 3), keepdim=True).sqrt() for part in (grid, noise))
    pure, none, mixed = (float(aliasing(part, period).grid.mean()) for part in (grid, noise, grid + noise))
    assert mixed == pytest.approx((pure + none) / 2, abs=0.06)


def test_a_wave_of_another_period_is_no_grid():
    columns = torch.cos(2 * torch.pi * torch.arange(64) / 6.4).expand(1, 3, 64, 64)
    assert abs(float(aliasing(columns, 4).grid)) < 0.02
    assert float(aliasing(torch.cos(2 * torch.pi * torch.arange(64) / 4).expand(1, 3, 64, 64), 4).grid) > 0.95


@pytest.mark.parametrize("stride", [2, 4])
def test_put_down_by_a_stride_flat_filters_leave_a_grid_and_overlapping_smooth_ones_do_not(stride):
    signal = F.relu(F.avg_pool2d(draw(40, 1, 40, 40), 3, 1))  # going down, a map holds positive values
    size = 3 * stride
    slope = torch.hann_window(size + 1, periodic=False)[1:]
    bump = (slope[:, None] * slope[None, :]).expand(1, 3, size, size)
    spike = torch.zeros(1, 3, size, size)
    spike[..., size // 2, size // 2] = 1
    projections = [F.conv_transpose2d(signal, weight, stride=stride)[..., 20:72, 20:72] for weight in (bump, spike)]
    smooth_one, spiked = (float(aliasing(part, stride).grid.mean()) for part in projections)
    assert smooth_one < 0.05 and spiked > 0.2 and spiked > 5 * max(smooth_one, 0.01)


def test_where_nothing_can_be_told():
    assert aliasing(draw(2, 3, 27, 27), 1) is None
    assert aliasing(draw(2, 3, 27, 27), 7) is None
    both = aliasing(torch.stack([torch.zeros(3, 27, 27), torch.full((3, 27, 27), 5.0)]), 2)
    assert both.grid.isnan()[0] and not float(both.grid[1].nan_to_num().abs()) > 1
