"""Where in its field a projection has its energy: small features in large fields are cut out, to be seen."""

import torch
from torch import Tensor

from convscope.look.cut import Corner

SHARE = 0.99  # of the energy that is shown
LEAST = 16  # pixels that a cut has at least


def energy_squares(projections: Tensor, share: float = SHARE, least: int = LEAST) -> tuple[Corner, int]:
    """One square for each of k projections [k, 3, h, w] of a map, all of the same side, around its center of energy.

    The smallest side, at least `least` and at most the larger of h and w, at which the k hold `share` of their energy,
    each counting alike. A square lies where its projection is not 0, if it fits; projections of zeros do not count.
    """
    energy = projections.double().square().sum(1)  # [k, h, w]
    energy = energy / energy.sum((1, 2), keepdim=True).clamp(min=1e-300)
    held = torch.nn.functional.pad(energy.cumsum(1).cumsum(2), (1, 0, 1, 0))  # sums over all above and left
    lit = (held[:, -1, -1] > 0).sum()
    shortest, longest = min(least, max(energy.shape[1:])), max(energy.shape[1:])
    while shortest < longest:
        side = (shortest + longest) // 2
        if lit and _inside(held, _corner(energy, side), side).sum() < share * lit:
            shortest = side + 1
        else:
            longest = side
    return _corner(energy, shortest), shortest


def _corner(energy: Tensor, side: int) -> Corner:
    """Around each center of energy, pushed to where there is energy at all, which leaves out what is off the image."""
    starts = []
    for axis in (1, 2):
        length = energy.shape[axis]
        weight = energy.sum(3 - axis)  # [k, length]
        lit = weight.cumsum(1) > 0
        first, last = (~lit).sum(1), length - (weight.flip(1).cumsum(1) <= 0).sum(1)
        first, last = first.where(last > first, 0), last.where(last > first, length)  # of zeros: all of it
        center = (weight * (torch.arange(length) + 0.5)).sum(1) / weight.sum(1).clamp(min=1e-300)
        start = (center.where(weight.sum(1) > 0, length / 2) - side / 2).round().long()
        fits = start.clamp(first, (last - side).clamp(min=0))
        beside = ((first + last - side) // 2).clamp(min(0, length - side), max(0, length - side))
        starts.append(fits.where(last - first >= side, beside))
    return Corner(*starts)


def _inside(held: Tensor, corner: Corner, side: int) -> Tensor:
    """The energy in each square."""
    height, width = held.shape[1] - 1, held.shape[2] - 1
    top, left = corner.top.clamp(0), corner.left.clamp(0)
    bottom, right = (corner.top + side).clamp(max=height), (corner.left + side).clamp(max=width)
    at = torch.arange(len(held))
    return held[at, bottom, right] - held[at, top, right] - held[at, bottom, left] + held[at, top, left]
