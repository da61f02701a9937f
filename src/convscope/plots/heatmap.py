"""Values at places of an image as colors: heat maps that lie on the image, their color bars, maps of labels."""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from convscope.plots.lettering import FAINT, INK, write
from convscope.plots.tile import Tile

NO_VALUE = np.array([228, 228, 232], np.uint8)  # where there is no value
BAR_LETTERS = 12  # pixels of the letters at a color bar
BAR = 12  # pixels, its width
# Told apart also by the color blind (Okabe and Ito), the first ones most easily; then the gray of all others.
LABEL_COLORS = [
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (240, 228, 66),
    (86, 180, 233),
]
OTHER_COLOR = (150, 150, 156)


class ColorScale(NamedTuple):
    """The values that get the darkest and the brightest color."""

    low: float
    high: float


def scale_of(values: ArrayLike) -> ColorScale:
    """From the smallest to the largest; 0 to 0 where no value is a number."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    return ColorScale(float(numbers.min()), float(numbers.max())) if len(numbers) else ColorScale(0.0, 0.0)


def nearest_value_map(values: ArrayLike, centers: ArrayLike, image_size: int, side: int) -> NDArray[np.float64]:
    """[side, side]: for each pixel of a picture of the image the value of the place whose center is nearest to it.

    values [n, n], measured at x = centers[column], y = centers[row] in pixels of the image. nan beyond half a step
    around the outermost centers: the pixel (x, y) of what comes back and of the image are the same place.
    """
    middle = np.asarray(centers, dtype=float)
    between = (middle[1:] + middle[:-1]) / 2
    if len(middle) > 1:
        edges = np.concatenate([[2 * middle[0] - between[0]], between, [2 * middle[-1] - between[-1]]])
    else:
        edges = np.array([0.0, image_size])
    place = np.searchsorted(edges, (np.arange(side) + 0.5) * image_size / side, side="right") - 1
    grid = np.pad(np.asarray(values, dtype=float), (0, 1), constant_values=np.nan)  # -1 and n: no place
    return grid[place[:, None], place]


def heat_tile(values: ArrayLike, scale: ColorScale) -> Tile:
    """Viridis, whose lightness rises evenly with the value; [h, w, 3]. What is no number is light gray."""
    numbers = np.asarray(values, dtype=float)
    known = np.isfinite(numbers)
    part = (np.where(known, numbers, scale.low) - scale.low) / ((scale.high - scale.low) or 1.0)
    return np.where(known[..., None], _viridis()[np.rint(part.clip(0, 1) * 255).astype(int)], NO_VALUE)


def label_tile(numbers: ArrayLike) -> Tile:
    """Colors of labels [h, w]: 0, 1, ... of LABELS, beyond them OTHERS, light gray for nan."""
    labels = np.asarray(numbers, dtype=float)
    known = np.isfinite(labels)
    colors = np.array([*LABEL_COLORS, OTHER_COLOR], np.uint8)
    number = np.where(known, labels, 0).astype(int).clip(0, len(LABEL_COLORS))
    return np.where(known[..., None], colors[number], NO_VALUE)


def blended(image: Tile, colors: Tile, values: ArrayLike, share: float = 0.55) -> Tile:
    """The colors over the image, which turns gray; the image alone where `values` [h, w] are nan."""
    gray = image.astype(np.float32).mean(2, keepdims=True)
    weight = np.isfinite(np.asarray(values, dtype=float))[..., None] * share
    return np.rint(gray * (1 - weight) + colors * weight).astype(np.uint8)


def draw_color_bar(
    sheet: Image.Image, place: tuple[int, int], side: int, scale: ColorScale, mark: float = math.nan
) -> None:
    """A color bar of this height with the numbers at its ends, and an arrow at the value `mark` if it is on the bar.

    It takes BAR pixels and the letters right of it, up to 60 pixels in all.
    """
    (x, y), draw = place, ImageDraw.Draw(sheet)
    ramp = heat_tile(np.linspace(1, 0, side)[:, None].repeat(BAR, 1), ColorScale(0.0, 1.0))
    flat = scale.high <= scale.low
    sheet.paste(Image.fromarray(ramp if not flat else heat_tile(np.zeros((side, BAR)), ColorScale(0.0, 1.0))), place)
    low, middle, high = distinct_labels([scale.low, (scale.low + scale.high) / 2, scale.high])
    if flat:
        write(draw, (x + BAR + 5, y + side // 2), low, size=BAR_LETTERS, anchor="lm")
        return
    for text, height, anchor in ((high, y, "la"), (middle, y + side // 2, "lm"), (low, y + side, "ls")):
        write(
            draw, (x + BAR + 5, height), text, size=BAR_LETTERS, color=FAINT if text == middle else INK, anchor=anchor
        )
    if scale.low <= mark <= scale.high:
        at = y + (side - 1) * (1 - (mark - scale.low) / (scale.high - scale.low))
        draw.polygon([(x - 6, at - 4), (x - 6, at + 4), (x, at)], fill=INK)


def distinct_labels(values: ArrayLike) -> list[str]:
    """The numbers with as many digits as tell them apart."""
    numbers = np.asarray(values, dtype=float)
    reach, largest = float(np.ptp(numbers)), float(np.abs(numbers).max())
    if largest == 0:
        return ["0"] * len(numbers)
    if largest >= 1e5 or largest < 1e-3:
        return [f"{number:.2g}" for number in numbers]
    digits = max(0, min(6, 1 - math.floor(math.log10(reach or largest))))
    return [f"{number:.{digits}f}" for number in numbers]


@cache
def _viridis() -> NDArray[Any]:
    return np.rint(colormaps["viridis"](np.arange(256))[:, :3] * 255).astype(np.uint8)
