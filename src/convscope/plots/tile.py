"""Single tiles: a projection or a filter as a small colored square."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Tile = NDArray[np.uint8]  # [h, w, 3]
GRAY = 128  # what zero looks like
MUTED = 0.35  # share of the chroma that is drawn where it would hide the structure
WEIGHTS = 16  # below this side in pixels, each pixel of a tile is drawn as a square


def signed_tile(values: Any, scale: float | None = None) -> Tile:
    """Pixels of signed values: zero is mid gray, positive brighter, negative darker.

    values: [3, h, w] array or CPU tensor. scale: the magnitude that becomes black or white; by default the largest one
    of this tile, the same for its three colors (ours, after Yosinski's toolbox; the paper does not say). Returns
    [h, w, 3]. A tile of zeros is gray; a value that is not finite is drawn as zero.
    """
    planes = np.asarray(values, dtype=np.float32)
    largest = max(float(planes.max()), -float(planes.min())) if scale is None else scale
    if not np.isfinite(largest):
        planes = np.nan_to_num(planes, posinf=0.0, neginf=0.0)
        largest = float(np.abs(planes).max())
    if largest <= 0:
        return np.full((*planes.shape[1:], 3), GRAY, np.uint8)
    tile = np.empty((*planes.shape[1:], 3), np.float32)
    np.multiply(planes.transpose(1, 2, 0), 127.0 / largest, out=tile)
    tile += GRAY + 0.5  # the conversion below truncates: this makes it round
    return np.clip(tile, 0, 255, out=tile).astype(np.uint8)


def contrast(values: Any) -> float:
    """A scale for `signed_tile` that does not depend on a few extreme pixels: 99.5 % of the magnitudes are below it.

    For projections; the paper too enhances their contrast (Fig. 4). Returns 0 for a nearly empty tile, which needs the
    default scale.
    """
    return float(np.quantile(np.abs(np.nan_to_num(np.asarray(values, dtype=np.float32))), 0.995))


def muted(values: Any, share: float) -> NDArray[np.float32]:
    """Signed values [3, h, w] with all of their luminance and `share` of their chroma (the difference to it)."""
    planes = np.asarray(values, dtype=np.float32)
    gray = planes.mean(0, keepdims=True)
    return gray + np.float32(share) * (planes - gray)


def chroma_share(projections: Any) -> float:
    """The share of chroma, MUTED to 1, with which the projections [n, 3, h, w] of one map are drawn (ours).

    Chroma about as strong as luminance is speckle that hides the structure, and is muted. Faint chroma hides nothing,
    and chroma several times as strong is the color that the map looks for: both are drawn whole.
    """
    planes = np.nan_to_num(np.asarray(projections, dtype=np.float64))
    gray = planes.mean(1, keepdims=True)
    luminance = np.square(gray).sum() * planes.shape[1]
    chroma = np.square(planes - gray).sum()
    if not chroma or chroma >= 4 * luminance:
        return 1.0
    ratio = chroma / luminance
    return float(min(1.0, max(MUTED, MUTED / np.sqrt(ratio), (ratio - 1) / 3)))


def resized(tile: Tile, side: int) -> Image.Image:
    """The tile as a side x side image.

    The few pixels of a filter grow into squares, so that its weights stay visible. Other tiles are resampled; shrinking
    averages over the area of each new pixel.
    """
    image = Image.fromarray(np.ascontiguousarray(tile))
    if image.size == (side, side):
        return image
    return image.resize((side, side), _filter(max(image.size), side / max(image.size)))


def _filter(size: int, growth: float) -> Image.Resampling:
    if growth >= 4 and size < WEIGHTS:
        return Image.Resampling.NEAREST
    if growth > 1:
        return Image.Resampling.BICUBIC
    if growth > 0.75:
        return Image.Resampling.HAMMING
    return Image.Resampling.BOX  # the fastest; coarse where a tile hardly shrinks


def filter_tiles(weights: Any, common: bool) -> list[Tile]:
    """A tile [k, k, 3] for each filter of weights [C, colors, k, k]; without three colors, the filter's gray mean.

    common: one scale for all filters, which shows dominant filters (Fig. 6a); else one scale for each filter.
    """
    filters = np.asarray(weights, dtype=np.float32)
    if filters.shape[1] != 3:
        filters = filters.mean(axis=1, keepdims=True).repeat(3, axis=1)  # [C, 3, k, k]
    scale = float(np.nan_to_num(np.abs(filters)).max()) if common else None
    return [signed_tile(values, scale) for values in filters]
