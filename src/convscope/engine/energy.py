"""Where in its field a projection has its energy: small features in large fields are cut out, to be seen."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.engine.regions import Corner

SHARE = 0.99  # of the energy that is shown
LEAST = 16  # pixels that a cut has at least


class _Spread(NamedTuple):
    """Where along one axis of `length` the energy of k projections is: its center, its first and past its last."""

    length: int
    center: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def start(self, side: int) -> NDArray[np.int64]:
        """Of a stretch of `side` around the center, pushed to where there is energy, which leaves out what is off the
        image; where that is too short, over the middle of it, and within the axis if it fits.
        """
        around = np.rint(self.center - side / 2).astype(np.int64)
        within = np.clip(around, self.first, np.maximum(self.last - side, self.first))
        over = np.clip((self.first + self.last - side) // 2, min(0, self.length - side), max(0, self.length - side))
        return np.where(self.last - self.first >= side, within, over)


def energy_squares(projections: Tensor, share: float = SHARE, least: int = LEAST) -> tuple[Corner, int]:
    """One square for each of k projections [k, 3, h, w] of a map, all of the same side, around its center of energy.

    The smallest side, at least `least` and at most the larger of h and w, at which the k hold `share` of their energy,
    each counting alike. A square lies where its projection is not 0, if it fits; projections of zeros do not count, nor
    do values that are no numbers.
    """
    values = projections.double().nan_to_num(0, 0, 0)  # drawn as zeros, too; squares of large ones leave float32
    energy = values.square().sum(1).numpy()  # [k, h, w]
    energy /= np.maximum(energy.sum((1, 2), keepdims=True), 1e-300)
    held = np.pad(energy.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))  # sums over all above and left
    rows, cols = _spread(energy.sum(2)), _spread(energy.sum(1))
    wanted = share * (held[:, -1, -1] > 0).sum()
    shortest, longest = min(least, max(energy.shape[1:])), max(energy.shape[1:])
    while shortest < longest:
        side = (shortest + longest) // 2
        if _inside(held, rows.start(side), cols.start(side), side).sum() < wanted:
            shortest = side + 1
        else:
            longest = side
    return Corner(torch.from_numpy(rows.start(shortest)), torch.from_numpy(cols.start(shortest))), shortest


def _spread(weight: NDArray[np.float64]) -> _Spread:
    """weight [k, length]: the energy along one axis. Without any, the whole axis and its middle."""
    length, total = weight.shape[1], weight.sum(1)
    lit, empty = weight > 0, total == 0
    center = (weight * (np.arange(length) + 0.5)).sum(1) / np.where(empty, 1, total)
    first = np.where(empty, 0, lit.argmax(1))
    last = np.where(empty, length, length - lit[:, ::-1].argmax(1))
    return _Spread(length, np.where(empty, length / 2, center), first, last)


def _inside(
    held: NDArray[np.float64], top: NDArray[np.int64], left: NDArray[np.int64], side: int
) -> NDArray[np.float64]:
    """The energy in each square."""
    bottom, right = np.minimum(top + side, held.shape[1] - 1), np.minimum(left + side, held.shape[2] - 1)
    at, top, left = np.arange(len(held)), np.maximum(top, 0), np.maximum(left, 0)
    return held[at, bottom, right] - held[at, top, right] - held[at, bottom, left] + held[at, top, left]
