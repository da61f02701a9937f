"""Values at the places of an image as colors: heat maps over the image, their color bars, maps of class labels."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from convscope.plots.lettering import FAINT, INK, width, write
from convscope.plots.tile import Tile

NO_VALUE = np.array([228, 228, 232], np.uint8)  # color of places without a value
BAR_LETTERS = 12  # pixels, size of the text at a color bar
BAR = 12  # pixels, width of a color bar
# Okabe and Ito's colors, which color-blind readers can distinguish, the first ones most easily.
LABEL_COLORS = [
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (240, 228, 66),
    (86, 180, 233),
]
OTHER_COLOR = (150, 150, 156)  # of all labels beyond LABEL_COLORS


class ColorScale(NamedTuple):
    """The values with the darkest and the brightest color."""

    low: float
    high: float


def scale_of(values: ArrayLike) -> ColorScale:
    """The scale from the smallest to the largest value; 0 to 0 where no value is finite."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    return ColorScale(float(numbers.min()), float(numbers.max())) if len(numbers) else ColorScale(0.0, 0.0)


def nearest_value_map(values: ArrayLike, centers: ArrayLike, image_size: int, side: int) -> NDArray[np.float64]:
    """[side, side]: the values enlarged to a picture of the image, each pixel with the value of the nearest center.

    values: [n, n], measured at x = centers[column], y = centers[row] in pixels of the image. Pixels farther than half a
    step from the outermost centers are nan.
    """
    middle = np.asarray(centers, dtype=float)
    between = (middle[1:] + middle[:-1]) / 2
    if len(middle) > 1:
        edges = np.concatenate([[2 * middle[0] - between[0]], between, [2 * middle[-1] - between[-1]]])
    else:
        edges = np.array([0.0, image_size])
    place = np.searchsorted(edges, (np.arange(side) + 0.5) * image_size / side, side="right") - 1
    grid = np.pad(np.asarray(values, dtype=float), (0, 1), constant_values=np.nan)  # places -1 and n have no value
    return grid[place[:, None], place]


def heat_tile(values: ArrayLike, scale: ColorScale) -> Tile:
    """[h, w, 3]: values [h, w] in viridis, whose lightness rises evenly with the value; light gray where not finite."""
    numbers = np.asarray(values, dtype=float)
    finite = np.isfinite(numbers)
    part = (np.where(finite, numbers, scale.low) - scale.low) / ((scale.high - scale.low) or 1.0)
    return np.where(finite[..., None], _viridis()[np.rint(part.clip(0, 1) * 255).astype(int)], NO_VALUE)


def label_tile(numbers: ArrayLike) -> Tile:
    """[h, w, 3]: the colors of labels [h, w]: LABEL_COLORS for 0, 1, ..., then OTHER_COLOR; light gray for nan."""
    labels = np.asarray(numbers, dtype=float)
    finite = np.isfinite(labels)
    colors = np.array([*LABEL_COLORS, OTHER_COLOR], np.uint8)
    number = np.where(finite, labels, 0).astype(int).clip(0, len(LABEL_COLORS))
    return np.where(finite[..., None], colors[number], NO_VALUE)


def blended(image: Tile, colors: Tile, values: ArrayLike, share: float = 0.55) -> Tile:
    """The colors over the image in gray; the gray image alone where `values` [h, w] are nan."""
    gray = image.astype(np.float32).mean(2, keepdims=True)
    weight = np.isfinite(np.asarray(values, dtype=float))[..., None] * share
    return np.rint(gray * (1 - weight) + colors * weight).astype(np.uint8)


def draw_color_bar(
    sheet: Image.Image, place: tuple[int, int], side: int, scale: ColorScale, mark: float = math.nan
) -> None:
    """Draws a color bar of height `side` with the numbers at its ends, and an arrow at the value `mark` if on the bar.

    Bar and numbers take up to 60 pixels of width.
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


def name_marks(draw: ImageDraw.ImageDraw, place: tuple[int, int], words: Mapping[str, str], gap: int) -> None:
    """Draws the legend of the marks in one line from `place` (left, top), `gap` pixels between them.

    words: by mark: "arrow" (of a color bar), "square" (white on black), "frame" (black), "none" (no value).
    """
    x, y = place
    for mark, text in words.items():
        box = (x, y, x + 11, y + 11)
        if mark == "arrow":
            draw.polygon([(x + 2, y), (x + 2, y + 10), (x + 10, y + 5)], fill=INK)
        elif mark == "none":
            draw.rectangle(box, fill=tuple(NO_VALUE.tolist()))
        else:
            draw.rectangle(box, outline=(255, 255, 255) if mark == "square" else (0, 0, 0), width=2)
            draw.rectangle(box, outline=INK)
        write(draw, (x + 18, y + 10), text, size=BAR_LETTERS, color=FAINT)
        x += 18 + width(text, BAR_LETTERS) + gap


def distinct_labels(values: ArrayLike) -> list[str]:
    """The numbers as text, with enough digits to be distinct."""
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
