"""Spatial frequencies of a layer's filters, and aliasing in what upper layers show (section 4.1)."""

from typing import NamedTuple

import torch
from torch import Tensor

GRID = 64  # frequencies along each axis, whatever the size of the filter
LOW, HIGH = 1 / 3, 2 / 3  # bands, as fractions of the Nyquist frequency of half a cycle per pixel
BINS = 24  # rings of the radial profile, from 0 to the corner at 1.41 Nyquist


class Bands(NamedTuple):
    """Shares of each filter's energy [C]: below a third of the Nyquist frequency, up to two thirds, and above.

    flat: the part of `low` that is a plain color, the mean of each color plane.
    """

    low: Tensor
    mid: Tensor
    high: Tensor
    flat: Tensor


def power_spectra(weight: Tensor) -> Tensor:
    """Power spectra [C, 64, 64] of filters [C, colors, k, k], summed over the colors; zero frequency first.

    Filters of every size are put on one grid by zeros around them, so those of 7 and of 11 pixels can be compared.
    """
    return torch.fft.fft2(weight.detach().float().cpu(), s=_grid(weight)).abs().square().sum(1)


def frequency_radius(side: int = GRID) -> Tensor:
    """Distance [side, side] of each frequency from zero, in units of the Nyquist frequency."""
    axis = 2 * torch.fft.fftfreq(side)
    return torch.hypot(axis[:, None], axis[None, :])


def frequency_bands(weight: Tensor) -> Bands:
    """Energy of filters [C, colors, k, k] by frequency band. All zero for a filter without weights."""
    energy = power_spectra(weight)
    distance = frequency_radius(energy.shape[-1])
    total = energy.sum((1, 2)).clamp_min(torch.finfo(energy.dtype).tiny)
    low, high = distance < LOW, distance >= HIGH
    below, between, above = ((energy * part).sum((1, 2)) / total for part in (low, ~low & ~high, high))
    x = weight.detach().float().cpu()
    flat = x.mean((2, 3)).square().sum(1) / x.square().mean((2, 3)).sum(1).clamp_min(torch.finfo(x.dtype).tiny)
    return Bands(below, between, above, flat)


def white_noise_shares() -> tuple[float, float, float]:
    """The shares of low, mid and high frequencies in white noise: those of the area."""
    distance = frequency_radius()
    low, high = float((distance < LOW).float().mean()), float((distance >= HIGH).float().mean())
    return low, 1 - low - high, high


def radial_profile(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Middle of each ring [24], in units of Nyquist, and the share of energy in each [24], mean over the filters.

    Every filter with weights counts the same, however strong it is.
    """
    energy = power_spectra(weight)
    energy = energy[energy.sum((1, 2)) > 0]
    ring = (frequency_radius(energy.shape[-1]) / (2**0.5 + 1e-6) * BINS).long().flatten()
    shares = (energy / energy.sum((1, 2), keepdim=True)).mean(0).flatten() if len(energy) else torch.zeros(len(ring))
    middle = (torch.arange(BINS) + 0.5) * 2**0.5 / BINS
    return middle, torch.zeros(BINS).index_add_(0, ring, shares)


def _grid(weight: Tensor) -> tuple[int, int]:
    side = max(GRID, *weight.shape[2:])
    return side, side


PERIODS = 4  # a window shorter than so many periods cannot tell a grid from a slope
BESIDE = (1.25, 1.5)  # times the period: grids that the net cannot make, to compare with
FINER = 2  # the spectrum is sampled so many times as densely as the window resolves it


class Aliasing(NamedTuple):
    """Shares [P] of each projection's energy, its mean color left out; nan where a projection is empty.

    grid: heaped up at the multiples of 1/period. beside: the same for periods a quarter and a half longer, the mean of
    both, as a projection without a grid has it. Both may be below 0, where energy avoids these frequencies.
    """

    grid: Tensor
    beside: Tensor


def aliasing(projections: Tensor, period: int) -> Aliasing | None:
    """The grid of `period` pixels in projections [P, colors, S, S].

    None for a period of 1, which is no grid, and for windows of less than four periods. Around each multiple of
    1/period but zero lies a square of frequencies with half that side. The grid's energy is the square's energy beyond
    the mean of the frequencies of the same magnitude that lie in no square, so a spectrum that falls off, as that of
    images does, counts for nothing. A projection that repeats exactly every `period` pixels has about 1, one without a
    grid about 0. A unit that looks for stripes of just this period counts as a grid as well.
    """
    side = projections.shape[-1]
    if period < 2 or side < PERIODS * period:
        return None
    energy = _spectra(projections, period)
    total = energy.sum((1, 2))
    total = torch.where(total > 0, total, torch.nan)
    beside = [_heaped(energy, longer * period) for longer in BESIDE]
    return Aliasing(_heaped(energy, period) / total, sum(beside) / len(beside) / total)


def _spectra(projections: Tensor, period: int) -> Tensor:
    """Power [P, F, F] without the mean, through a window that lets no energy leak far; F a multiple of the period."""
    side = projections.shape[-1]
    x = projections.detach().cpu().double()  # on the CPU: not every GPU has float64
    slope = torch.hann_window(side + 2, periodic=False, dtype=x.dtype)[1:-1]
    window = slope[:, None] * slope[None, :]
    mean = (x * window).sum((2, 3), keepdim=True) / window.sum()
    count = period * -(-FINER * side // period)
    return torch.fft.fft2((x - mean) * window, s=(count, count)).abs().square().sum(1)


def _heaped(energy: Tensor, period: float) -> Tensor:
    """Energy [P] around the multiples of 1/period beyond the mean at their distance from zero."""
    frequency = torch.fft.fftfreq(energy.shape[-1])
    multiple = frequency * period
    nearest = multiple.round()
    near, zero = (multiple - nearest).abs() <= 0.25, nearest == 0
    around = near[:, None] & near[None, :] & ~(zero[:, None] & zero[None, :])
    ring = (torch.hypot(frequency[:, None], frequency[None, :]) * energy.shape[-1]).round().long()
    count = torch.bincount(ring[~around], minlength=int(ring.max()) + 1)
    rings = energy.new_zeros(len(energy), len(count)).index_add_(1, ring[~around], energy[:, ~around])
    filled = torch.where(count > 0, torch.arange(len(count)), 0).cummax(0).values  # a corner ring may be all squares
    expected = (rings / count.clamp_min(1))[:, filled]
    return (energy[:, around] - expected[:, ring[around]]).sum(1)
