"""Images shifted, enlarged and turned, as section 4.1 (Fig. 5) passes them to the net.

Resampled bilinearly, with pixels as little squares around integer places. Places are computed in float64 and snapped to
a billionth of a pixel, so that whole-pixel shifts and quarter turns of a square copy pixels exactly.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from convscope.analyses.invariance.about import Fill
from convscope.errors import UserError

FILLS: tuple[str, ...] = get_args(Fill)

Matrix = tuple[tuple[float, float], tuple[float, float]]


class Transform(NamedTuple):
    """A way to change an image, by a value in `unit`.

    values: the sampled ones. apply(images, value, fill): the changed images. away(value): the amount of change, signed,
    0 for none. small, farthest: the amounts at which distances are compared.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    apply: Callable[[Tensor, float, Fill], Tensor]
    away: Callable[[float], float]
    small: float
    farthest: float

    @property
    def amounts(self) -> Tensor:
        """Signed amount of change [t] of each value, float64."""
        return torch.tensor([self.away(value) for value in self.values], dtype=torch.float64)


def translated(images: Tensor, pixels: float, fill: Fill = "gray") -> Tensor:
    """Images [N, C, H, W] moved down by a number of pixels, up where it is negative.

    fill: gray (0, the mean image), edge (the border's pixels repeated) or reflect (mirrored at the border, whose pixels
    come twice). Raises UserError for another fill.
    """
    return _warped(images, ((1, 0), (0, 1)), -pixels, fill)


def scaled(images: Tensor, ratio: float, fill: Fill = "gray") -> Tensor:
    """Images [N, C, H, W] magnified about their center and cut at the frame; a ratio below 1 would alias."""
    return _warped(images, ((1 / ratio, 0), (0, 1 / ratio)), 0, fill)


def rotated(images: Tensor, degrees: float, fill: Fill = "gray") -> Tensor:
    """Images [N, C, H, W] turned about their center, counter-clockwise, and cut at the frame."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _warped(images, ((cos, sin), (-sin, cos)), 0, fill)


def paper_transforms(image_size: int) -> list[Transform]:
    """The transforms of Fig. 5: translation, scale, rotation.

    60 pixels up (-) to 60 down at a size of 224, and the same part of another size; 1 to 1.8 fold; 0 to 350 degrees
    counter-clockwise. 21, 17 and 36 samples; shifts are whole pixels, because parts of a pixel would blur. Small is the
    first shift (6 pixels at 224), 1.1 fold, 10 degrees; farthest is either end of the shifts, 1.8 fold, 180 degrees.
    """
    pixels = sorted({round(step * 6 * image_size / 224) for step in range(-10, 11)})
    ratios = [1 + step / 20 for step in range(17)]
    first = min(pixel for pixel in pixels if pixel > 0)
    return [
        Transform("translation", "px", (*pixels,), translated, float, first, pixels[-1]),
        Transform("scale", "ratio-1", (*ratios,), scaled, lambda ratio: ratio - 1, 0.1, 0.8),
        Transform("rotation", "degrees", (*range(0, 360, 10),), rotated, _turn, 10, 180),
    ]


def _warped(images: Tensor, back: Matrix, down: float, fill: Fill) -> Tensor:
    """The pictures whose pixel at p = (row, column) from the center is the image's at back @ p + (down, 0)."""
    if fill not in FILLS:
        raise UserError(f"fill={fill} is unknown; possible: {', '.join(FILLS)}")
    height, width = images.shape[2:]
    row = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    col = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    rows = _neighbors(back[0][0] * row + back[0][1] * col + down + (height - 1) / 2, height, fill)
    cols = _neighbors(back[1][0] * row + back[1][1] * col + (width - 1) / 2, width, fill)
    pixels, result = images.flatten(2), torch.zeros_like(images.flatten(2))
    for (r, r_weight), (c, c_weight) in product(rows, cols):
        weight = (r_weight * c_weight).flatten()  # [H * W]
        if weight.any():
            shares = pixels.index_select(2, (r * width + c).flatten().to(images.device))
            result += shares * weight.to(images)
    return result.unflatten(2, (height, width))


def _neighbors(place: Tensor, size: int, fill: Fill) -> list[tuple[Tensor, Tensor]]:
    """The two pixels of an axis around each place, and their weights, which add up to 1 inside the image."""
    place = torch.round(place, decimals=9)
    before = place.floor()
    share = place - before
    return [_filled(before.long(), 1 - share, size, fill), _filled(before.long() + 1, share, size, fill)]


def _filled(index: Tensor, weight: Tensor, size: int, fill: Fill) -> tuple[Tensor, Tensor]:
    if fill == "gray":
        weight = weight * ((index >= 0) & (index < size))
    if fill == "reflect":
        index = index.remainder(2 * size)
        index = torch.minimum(index, 2 * size - 1 - index)
    return index.clamp(0, size - 1), weight


def _turn(degrees: float) -> float:
    """-180 .. 180: a turn comes around."""
    return (degrees + 180) % 360 - 180
