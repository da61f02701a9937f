"""The activation of each map that a share of all its activations exceeds: exact, in the memory of that share."""

import math

import torch
from torch import Tensor


class TopValues:
    """The largest values of each of C maps, over activations that come in parts.

    positions: values of each map in all parts together. quantile: the share that is to lie below the threshold.
    """

    def __init__(self, positions: int, quantile: float):
        place = (positions - 1) * quantile  # in ascending order; between two values, as numpy.quantile has it
        self.kept, self.fraction = positions - math.floor(place), place - math.floor(place)
        self.values: Tensor | None = None

    def add(self, maps: Tensor) -> None:
        """Takes the maps [n, C, h, w] of n more images."""
        new = maps.detach().transpose(0, 1).flatten(1)
        values = new if self.values is None else torch.cat([self.values, new], 1)
        self.values = values.topk(min(self.kept, values.shape[1]), dim=1).values  # largest first

    def thresholds(self) -> Tensor:
        """[C]: the quantile of each map, infinite for a map that no activation exceeds it, such as a dead one."""
        assert self.values is not None, "no image was added"
        values = self.values
        below, above = values[:, self.kept - 1], values[:, max(0, self.kept - 2)]
        threshold = below + self.fraction * (above - below)
        return threshold.where(threshold < values[:, 0], math.inf)
