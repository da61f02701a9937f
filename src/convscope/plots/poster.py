"""Posters: the maps of a layer, or one map over the epochs, on a sheet of paper. Labels are text, tiles keep their own
pixels.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from PIL import Image

from convscope.plots.panels import FAINT, INK, RULE

Paper = Literal["a4", "a3", "a2"]
SIZES: dict[Paper, tuple[float, float]] = {"a4": (210, 297), "a3": (297, 420), "a2": (420, 594)}  # millimeters, upright
INCH = 25.4  # millimeters
EDGE, HEAD, FOOT = 0.035, 0.055, 0.034  # of the longer side of the paper
BETWEEN, LABEL = 0.35, 0.5  # between two blocks, and for a label: in tiles
GAP = 1 / 24  # between the tiles of nine, in tiles
NINE, INSIDE = 3 + 2 * GAP, 0.12  # side of nine tiles, and between projections and patches: in tiles
ACROSS, DOWN = 2 * NINE + INSIDE, NINE + LABEL  # a block, in tiles


class PosterBlock(NamedTuple):
    """A map, or an epoch of a map: at most nine projections, and nine image patches at their right, under a label."""

    label: str
    projections: Sequence[Image.Image]
    patches: Sequence[Image.Image]


class Poster(NamedTuple):
    """figure: of the size of the paper. tile_inches: the side of a tile on the paper."""

    figure: Figure
    tile_inches: float


def poster(blocks: Sequence[PosterBlock], title: str, note: str, paper: Paper) -> Poster:
    """The blocks in rows, upright or across, whichever makes the tiles larger. note: the text at the foot."""
    layout = _layout(paper, len(blocks))
    (width, height), long_side, tile = layout.size, max(layout.size), layout.tile
    figure = Figure(layout.size, facecolor="white")
    left, points = (width - layout.used) / 2, 72 * long_side
    room = 72 * (width - left - EDGE * long_side)
    large = min(1, room / _points_wide(title, 0.022 * points)) * 0.022 * points
    figure.text(left / width, 1 - (EDGE + 0.028) * long_side / height, title, size=large, color=INK)
    foot = "\n".join(_in_lines(note, 0.0085 * points, room))
    figure.text(left / width, EDGE * long_side / height, foot, size=0.0085 * points, color=FAINT, va="bottom")
    size = min(0.32 * tile * 72, 0.014 * points)
    for number, block in enumerate(blocks):
        x = left + number % layout.columns * layout.across
        y = (EDGE + HEAD) * long_side + number // layout.columns * layout.down
        figure.text(x / width, 1 - (y + 0.36 * tile) / height, block.label, size=size, color=INK)
        for place, tiles in enumerate([block.projections, block.patches]):
            _draw_nine(figure, tiles, (x + place * (NINE + INSIDE) * tile, y + LABEL * tile), tile)
    return Poster(figure, tile)


def _points_wide(text: str, size: float) -> float:
    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0])


def _in_lines(text: str, size: float, room: float) -> list[str]:
    """The words in lines of at most `room` points, a word that is longer without its end.

    matplotlib would wrap the text, but read what stands between two $ as mathematics even where it shall not.
    """
    lines = [""]
    for word in text.split():
        while _points_wide(word, size) > room:
            word = f"{word[:-2]}…"
        longer = f"{lines[-1]} {word}".lstrip()
        lines[-1:] = [longer] if _points_wide(longer, size) <= room else [lines[-1], word]
    return lines


class _Layout(NamedTuple):
    """size: of the paper, inches. tile: its side in inches. across, down: inches from one block to the next."""

    size: tuple[float, float]
    tile: float
    columns: int
    across: float
    down: float

    @property
    def used(self) -> float:
        """The width that the blocks take, in inches."""
        return (self.columns - 1) * self.across + ACROSS * self.tile


def _layout(paper: Paper, count: int) -> _Layout:
    """The layout of so many blocks with the largest tiles."""
    short, long = (side / INCH for side in SIZES[paper])
    layouts = []
    for width, height in ((short, long), (long, short)):
        room = width - 2 * EDGE * long, height - (2 * EDGE + HEAD + FOOT) * long
        for columns in range(1, max(1, count) + 1):
            tile = _tile_inches(room, columns, count)
            across = _step(room[0], ACROSS * tile, columns, tile)
            down = _step(room[1], DOWN * tile, math.ceil(count / columns), tile)
            layouts.append(_Layout((width, height), tile, columns, across, down))
    return max(layouts, key=lambda layout: layout.tile)


def _step(room: float, block: float, count: int, tile: float) -> float:
    """From one of `count` blocks to the next where they spread over the room, at most two gaps apart: inches."""
    return min((room - block) / max(1, count - 1), block + 2 * BETWEEN * tile)


def _tile_inches(room: tuple[float, float], columns: int, count: int) -> float:
    """The largest side of a tile with which so many blocks fit in so many columns."""
    rows = math.ceil(count / columns)
    wide = room[0] / (columns * ACROSS + (columns - 1) * BETWEEN)
    return min(wide, room[1] / (rows * DOWN + (rows - 1) * BETWEEN))


def _draw_nine(figure: Figure, tiles: Sequence[Image.Image], corner: tuple[float, float], tile: float) -> None:
    """Three rows of three tiles as one picture of their own pixels. corner: inches from the left and from the top."""
    width, height = figure.get_size_inches()
    side = NINE * tile
    box = (corner[0] / width, 1 - (corner[1] + side) / height, side / width, side / height)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    if not tiles:
        figure.add_artist(Rectangle(box[:2], *box[2:], fill=False, edgecolor=RULE, linewidth=0.5))
        words: dict[str, Any] = {"size": min(0.5 * tile * 72, 24), "color": FAINT, "ha": "center", "va": "center"}
        axes.text(0.5, 0.5, "dead", transform=axes.transAxes, **words)
        return
    pixels = tiles[0].width
    gap = max(1, round(GAP * pixels))
    sheet = Image.new("RGB", (3 * pixels + 2 * gap, 3 * pixels + 2 * gap), "white")
    for rank, image in enumerate(tiles[:9]):
        sheet.paste(image, (rank % 3 * (pixels + gap), rank // 3 * (pixels + gap)))
    axes.imshow(np.asarray(sheet), interpolation="none", aspect="auto")


def captioned_picture(image: Image.Image, caption: str) -> Figure:
    """A picture at its own pixels with its caption as text below, 10 inches wide."""
    width, size = 10.0, 10.0
    lines = _in_lines(caption, size, 72 * (width - 0.2))
    height, below = width * image.height / image.width, 0.3 + 1.2 * size / 72 * len(lines)
    figure = Figure((width, height + below), facecolor="white")
    axes = figure.add_axes((0, below / (height + below), 1, height / (height + below)))
    axes.set_axis_off()
    axes.imshow(np.asarray(image.convert("RGB")), interpolation="none", aspect="auto")
    figure.text(0.01, below / 2 / (height + below), "\n".join(lines), size=size, color=INK, va="center")
    return figure
