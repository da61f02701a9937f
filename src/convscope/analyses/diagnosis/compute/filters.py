"""Faults of a layer's filters by their weights alone: weak ones, noise, doubles, a few that dominate.

Section 4.1 of Zeiler & Fergus (2013) looks for dead filters and for filters that dominate (Fig. 6 a-c) by eye. The
thresholds for dead, noise and double are ours.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.models.renorm import filter_rms

WEAK = 0.1  # of the median RMS: a filter below it shows as an empty tile on a common scale
ALIKE = 0.9  # correlation from which two filters count as one
SHIFT = 2  # pixels by which a double may be moved
SIGMAS = 3.0  # a correlation of neighbors within so many standard errors of zero counts as none
ROUNDING = 0.01  # renormalized filters end this near the radius, as a share of it


class FilterNorms(NamedTuple):
    """RMS of a layer's C filters: the median; dominance: the largest over the median.

    at_radius: share of the filters at the renormalization's radius or above it; nan without a radius.
    """

    median: float
    dominance: float
    at_radius: float


class DoubleFilters(NamedTuple):
    """Pairs [n, 2] of filters, the lower number first: alike; alike with opposite sign; alike once one is shifted."""

    same: Tensor
    opposite: Tensor
    shifted: Tensor


def filter_norms(weight: Tensor, radius: float | None) -> FilterNorms:
    """Norms of the filters of weights [C, ...] (section 3: "a few of them dominate").

    dominance is inf where more than half of the filters are zero.
    """
    rms = filter_rms(weight.float())
    median, largest = float(rms.median()), float(rms.max())
    at_radius = torch.nan if radius is None else float((rms >= radius * (1 - ROUNDING)).float().mean())
    return FilterNorms(median, largest / median if median > 0 else torch.inf, at_radius)


def weak_filters(weight: Tensor) -> Tensor:
    """Numbers [n] of the filters with nearly no weights: RMS below a tenth of the median, or zero."""
    rms = filter_rms(weight.float())
    return ((rms < WEAK * rms.median()) | (rms == 0)).nonzero()[:, 0]


def noise_filters(weight: Tensor) -> Tensor:
    """Numbers [n] of the filters [C, colors, k, k] that look like white noise, as filters do that never learned.

    In white noise neighboring weights, along rows, columns and from color to color, are uncorrelated up to one over
    the root of the number of pairs. Filters below 3 x 3 have too few pairs to tell; none of them counts.
    """
    if min(weight.shape[2:]) < 3:
        return torch.empty(0, dtype=torch.int64)
    x = weight.detach().cpu().double()  # on the CPU: not every GPU has float64
    power = x.square().mean((1, 2, 3)).clamp_min(torch.finfo(x.dtype).tiny)
    white = torch.ones(len(x), dtype=torch.bool)
    for axis in (1, 2, 3):
        length = x.shape[axis]
        if length < 2:
            continue
        product = x.narrow(axis, 0, length - 1) * x.narrow(axis, 1, length - 1)
        pairs = product[0].numel()
        white &= product.mean((1, 2, 3)).abs() / power < SIGMAS / pairs**0.5
    return (white & (filter_rms(x) > 0)).nonzero()[:, 0]


def double_filters(weight: Tensor) -> DoubleFilters:
    """Pairs of filters [C, colors, k, k] with a normalized correlation of 0.9 or more; a zero filter is in no pair.

    shifted: pairs found only when one is moved by up to two pixels, zeros coming in from outside, so a filter that is
    cut much by its border pairs with none.
    """
    x = weight.detach().cpu().double()
    unit = x / torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    in_place = unit.flatten(1) @ unit.flatten(1).T  # [C, C]
    padded = F.pad(unit, (SHIFT,) * 4)
    height, width = x.shape[2:]
    best = torch.full_like(in_place, -1)
    for down in range(2 * SHIFT + 1):
        for across in range(2 * SHIFT + 1):
            moved = padded[:, :, down : down + height, across : across + width]
            best = torch.maximum(best, moved.flatten(1) @ unit.flatten(1).T)
    best = torch.maximum(best, best.T)
    return DoubleFilters(
        _pairs(in_place >= ALIKE), _pairs(in_place <= -ALIKE), _pairs((best >= ALIKE) & (in_place < ALIKE))
    )


def redundant_count(pairs: Tensor, count: int) -> int:
    """How many of `count` filters could go if one stayed of each group of alike filters, joined by pairs [n, 2]."""
    group = list(range(count))
    for first, second in pairs.tolist():
        joined, new = group[second], group[first]
        group = [new if number == joined else number for number in group]
    return count - len(set(group))


def _pairs(alike: Tensor) -> Tensor:
    return alike.triu(1).nonzero()
