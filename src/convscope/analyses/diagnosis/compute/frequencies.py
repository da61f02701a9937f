"""Which spatial frequencies a layer's filters respond to (section 4.1, "Architecture Selection").

"The first layer filters are a mix of extremely high and low frequency information, with little coverage of the mid
frequencies." The paper judges by eye; the bands and their measure are ours.
"""

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
