"""Single tiles: a projection or a filter as a small colored square."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Tile = NDArray[np.uint8]  # [h, w, 3]
GRAY = 128  # what zero looks like
MUTED = 0.35  # of the chroma, where it would hide the structure
WEIGHTS = 16  # tiles with fewer pixels than that show them as squares


def signed_tile(values: Any, scale: float | None = None) -> Tile:
    """Pixels of signed values: zero is mid gray, positive brighter, negative darker.

    values: [3, h, w] array or CPU tensor. scale: the magnitude that reaches black or white; by default the largest of
    this tile, so one symmetric scale serves its three colors (ours, after Yosinski's toolbox; the paper does not say).
    Returns [h, w, 3]. A tile of zeros stays gray; a value that is not a number is drawn as zero.
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
    tile += GRAY + 0.5  # half a step up, because the conversion below cuts
    return np.clip(tile, 0, 255, out=tile).astype(np.uint8)


def contrast(values: Any) -> float:
    """A scale for `signed_tile` that a few hot pixels do not decide: 99.5 % of the values stay below it.

    For projections; the paper too enhances their contrast (Fig. 4). 0 where the tile is nearly empty: then take none.
    """
    return float(np.quantile(np.abs(np.nan_to_num(np.asarray(values, dtype=np.float32))), 0.995))


def muted(values: Any, share: float) -> NDArray[np.float32]:
    """Signed values [3, h, w] with their luminance whole and `share` of their chroma (what differs from it)."""
    planes = np.asarray(values, dtype=np.float32)
    gray = planes.mean(0, keepdims=True)
    return gray + np.float32(share) * (planes - gray)


def chroma_share(projections: Any) -> float:
    """How much of their chroma the projections [n, 3, h, w] of one map are drawn with, MUTED to 1 (ours).

    Chroma about as strong as luminance is speckle that hides the structure: it is muted. Where it is faint it hides
    nothing, and where it is several times as strong it is what the map looks for, a color: there it stays whole.
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
    """The tile as a side x side image. A few pixels grow into squares, so that a 7 x 7 filter still shows its weights;
    other tiles are resampled, and shrinking averages over the area that each new pixel covers.
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
    return Image.Resampling.BOX  # the fastest, but coarse where a tile hardly shrinks


def filter_tiles(weights: Any, common: bool) -> list[Tile]:
    """A tile [k, k, 3] for each filter of weights [C, colors, k, k]; without three colors, the filter's gray mean.

    common: one scale for all, so that a filter which dominates shows (Fig. 6a); else each filter has its own.
    """
    filters = np.asarray(weights, dtype=np.float32)
    if filters.shape[1] != 3:
        filters = filters.mean(axis=1, keepdims=True).repeat(3, axis=1)  # [C, 3, k, k]
    scale = float(np.nan_to_num(np.abs(filters)).max()) if common else None
    return [signed_tile(values, scale) for values in filters]
