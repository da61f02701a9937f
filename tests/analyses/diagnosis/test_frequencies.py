"""Energy of filters by frequency, against closed forms."""

import math

import pytest
import torch

from convscope.analyses.diagnosis.compute.frequencies import (
    GRID,
    frequency_bands,
    frequency_radius,
    radial_profile,
    white_noise_shares,
)


def wave(cycles, size=32, colors=3):
    """[1, colors, size, size]: a wave of so many cycles per pixel along the rows."""
    line = torch.cos(2 * math.pi * cycles * torch.arange(size))
    return line.view(1, 1, 1, size).expand(1, colors, size, size)


@pytest.mark.parametrize(("cycles", "band"), [(1 / 16, "low"), (1 / 4, "mid"), (7 / 16, "high"), (1 / 2, "high")])
def test_a_pure_wave_lies_in_its_band(cycles, band):
    assert float(getattr(frequency_bands(wave(cycles)), band)) > 0.9  # the rest leaks through the filter's edges


def test_a_single_pixel_has_the_shares_of_white_noise():
    pixel = torch.zeros(1, 3, 7, 7)
    pixel[0, :, 2, 5] = 1
    bands = frequency_bands(pixel)
    low, mid, high = white_noise_shares()
    assert torch.tensor([low, mid, high]).allclose(torch.cat(bands[:3]), atol=1e-5)
    disk = math.pi / 4 / 9  # a circle of a third of Nyquist in the square from -1 to 1
    assert low == pytest.approx(disk, abs=0.01) and mid == pytest.approx(3 * disk, abs=0.02)


@pytest.mark.parametrize("size", [5, 7, 11])
def test_a_box_has_the_energy_of_its_dirichlet_kernel(size):
    box = torch.ones(2, 3, size, size)
    frequency = torch.fft.fftfreq(GRID).double()
    kernel = torch.where(frequency == 0, torch.tensor(float(size), dtype=torch.double),
                         torch.sin(math.pi * size * frequency) / torch.sin(math.pi * frequency))  # fmt: skip
    energy = (kernel[:, None] * kernel[None, :]) ** 2
    low = energy[2 * torch.hypot(frequency[:, None], frequency[None, :]) < 1 / 3].sum() / energy.sum()
    bands = frequency_bands(box)
    assert torch.allclose(bands.low.double(), low.expand(2), atol=1e-4)
    assert torch.allclose(bands.flat, torch.ones(2))


def test_noise_of_every_size_comes_near_to_white():
    for size in (3, 7, 11):
        noise = torch.randn(400, 3, size, size, generator=torch.Generator().manual_seed(0))
        shares = torch.stack(frequency_bands(noise)[:3]).mean(1)
        assert torch.allclose(shares, torch.tensor(white_noise_shares()), atol=0.02)


def test_flat_is_the_share_of_the_mean_color():
    weight = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    weight -= weight.mean((2, 3), keepdim=True)
    weight /= weight.square().mean((1, 2, 3), keepdim=True).sqrt()
    assert torch.allclose(
        frequency_bands(weight + 0.5).flat, torch.full((3,), 0.25 / 1.25), atol=1e-5
    )  # 0.5 squared of all


def test_an_empty_filter_has_no_energy():
    assert not any(float(share) for share in frequency_bands(torch.zeros(1, 3, 5, 5)))


def test_the_profile_holds_all_energy_and_ignores_strength_and_empty_filters():
    middle, shares = radial_profile(torch.cat([wave(1 / 4), 100 * wave(1 / 16), torch.zeros(1, 3, 32, 32)]))
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    near = lambda place: float(shares[(middle - place).abs() < 0.1].sum())  # noqa: E731
    assert near(2 / 16) == pytest.approx(0.5, abs=0.06) and near(1 / 2) == pytest.approx(0.5, abs=0.06)


def test_radius_is_one_at_nyquist_and_root_two_in_the_corner():
    assert float(frequency_radius(8)[4, 0]) == 1 and float(frequency_radius(8)[4, 4]) == pytest.approx(2**0.5)
