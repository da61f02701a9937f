"""Squares of projections that hold most of their energy, for tiles that show small features of large fields."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.engine.regions import Regions, Span

SHARE = 0.99  # of the energy in the squares
MIN_SIDE = 16  # pixels


class _Spread(NamedTuple):
    """Energy of k projections along one axis of `length`: its center, its first and past its last position."""

    length: int
    center: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def start(self, side: int) -> NDArray[np.int64]:
        """First positions of stretches of `side` around the center, moved to where there is energy.

        Where the part with energy is shorter than `side`, the stretch is centered on it, and within the axis if it
        fits.
        """
        around = np.rint(self.center - side / 2).astype(np.int64)
        within = np.clip(around, self.first, np.maximum(self.last - side, self.first))
        over = np.clip((self.first + self.last - side) // 2, min(0, self.length - side), max(0, self.length - side))
        return np.where(self.last - self.first >= side, within, over)


def energy_squares(projections: Tensor, share: float = SHARE, min_side: int = MIN_SIDE) -> Regions:
    """One square of a common side for each of k projections [k, 3, h, w] of a map, as regions of these.

    Each square lies around the center of its projection's energy, and where the projection is not 0 if it fits. The
    side is the smallest, from min_side to the larger of h and w, at which the squares hold `share` of the energy, with
    equal weight for each projection. Projections of zeros do not count; nan and infinite values count as zeros.
    """
    values = projections.double().nan_to_num(0, 0, 0)  # float64, because squares of large values overflow float32
    energy = values.square().sum(1).numpy()  # [k, h, w]
    energy /= np.maximum(energy.sum((1, 2), keepdims=True), 1e-300)
    sums = np.pad(energy.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))  # over all positions above and to the left
    rows, cols = _spread(energy.sum(2)), _spread(energy.sum(1))
    target = share * (sums[:, -1, -1] > 0).sum()
    shortest, longest = min(min_side, max(energy.shape[1:])), max(energy.shape[1:])
    while shortest < longest:
        side = (shortest + longest) // 2
        if _inside(sums, rows.start(side), cols.start(side), side).sum() < target:
            shortest = side + 1
        else:
            longest = side
    top, left = (torch.from_numpy(spread.start(shortest)) for spread in (rows, cols))
    return Regions(Span(top, shortest), Span(left, shortest))


def _spread(weight: NDArray[np.float64]) -> _Spread:
    """The spread of energies `weight` [k, length] along one axis; the whole axis and its middle where there is none."""
    length, total = weight.shape[1], weight.sum(1)
    lit, empty = weight > 0, total == 0
    center = (weight * (np.arange(length) + 0.5)).sum(1) / np.where(empty, 1, total)
    first = np.where(empty, 0, lit.argmax(1))
    last = np.where(empty, length, length - lit[:, ::-1].argmax(1))
    return _Spread(length, np.where(empty, length / 2, center), first, last)


def _inside(
    sums: NDArray[np.float64], top: NDArray[np.int64], left: NDArray[np.int64], side: int
) -> NDArray[np.float64]:
    """Energy in each square, from sums over all positions above and to the left."""
    bottom, right = np.minimum(top + side, sums.shape[1] - 1), np.minimum(left + side, sums.shape[2] - 1)
    index, top, left = np.arange(len(sums)), np.maximum(top, 0), np.maximum(left, 0)
    return sums[index, bottom, right] - sums[index, top, right] - sums[index, bottom, left] + sums[index, top, left]
