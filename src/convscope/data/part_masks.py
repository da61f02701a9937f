"""Masks of the parts that images show: for each part, the pixels that it covers."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Masks = NDArray[np.bool_]  # [n, P, H, W]


class PartMasks(NamedTuple):
    """names: of P parts. masks: [n, P, H, W] bool, of n images as the net sees them."""

    names: list[str]
    masks: Tensor


class KnownParts(NamedTuple):
    """The parts of the N images of a split whose data knows them.

    names: of the P parts. draw: numbers of n images and a side to masks [n, P, side, side]. numbers: [N], of images.
    """

    names: list[str]
    draw: Callable[[tuple[int, ...], int], Masks]
    numbers: NDArray[np.int64]

    def of(self, chosen: NDArray[np.int64]) -> "KnownParts":
        """The parts of the images at these positions."""
        return self._replace(numbers=self.numbers[chosen])

    def center_crops(self, side: int, crop: int) -> Masks:
        """[N, P, crop, crop]: masks of images of this side, of which the net sees the center."""
        start = (side - crop) // 2
        return self.draw(tuple(self.numbers.tolist()), side)[..., start : start + crop, start : start + crop]
