"""Maps enlarged to the size of the image, each unit at the center of its receptive field (Bau et al. 2017)."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.engine.receptive_fields import AxisField, Field


class Upsampling(NamedTuple):
    """Bilinear interpolation as two matrices. rows: [H, h]. cols: [W, w]."""

    rows: Tensor
    cols: Tensor

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps [k, h, w] at the size of the image [k, H, W]."""
        return self.rows @ maps @ self.cols.T


def upsampling_of(field: Field | None, map_size: tuple[int, int], image_size: tuple[int, int]) -> Upsampling:
    """The enlargement of maps whose units have these receptive fields. None, the whole image: spread evenly over it."""
    axes = (None, None) if field is None else (field.rows, field.cols)
    rows, cols = (axis_weights(*sizes) for sizes in zip(image_size, map_size, axes, strict=True))
    return Upsampling(rows, cols)


def axis_weights(pixels: int, count: int, field: AxisField | None) -> Tensor:
    """[pixels, count] float32: the share of each unit in each pixel. A pixel beyond the outermost centers is theirs."""
    step = pixels / count if field is None else field.stride
    first = (step - 1) / 2 if field is None else field.start + (field.size - 1) / 2  # center of unit 0
    at = ((torch.arange(pixels, dtype=torch.float64) - first) / step).clamp(0, count - 1)
    return (1 - (at[:, None] - torch.arange(count)).abs()).clamp(min=0).float()
