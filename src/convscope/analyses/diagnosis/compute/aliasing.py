"""Aliasing: grid-like patterns that the first layer's stride leaves in the projections of upper layers (section 4.1).

"The 2nd layer visualization shows aliasing artifacts caused by the large stride 4 used in the 1st layer convolutions."
The paper sees them by eye; the measure is ours. Projections of a net of stride s lie on a grid of s pixels, so a grid
shows as energy heaped up at the multiples of the frequency 1/s, while images have a spectrum that is smooth there.
"""

from typing import NamedTuple

import torch
from torch import Tensor

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
