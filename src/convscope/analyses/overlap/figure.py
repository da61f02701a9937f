"""Pairs of images side by side, and the best correlations of two sets beside those of altered copies."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.plots.grid import BACKGROUND, MARGIN, OUTLINE
from convscope.plots.grid import TITLE_HEIGHT as TOP
from convscope.plots.lettering import FAINT as PALE
from convscope.plots.lettering import TITLE, width, write
from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, WIDTH, panels
from convscope.plots.series import NET, series_style
from convscope.plots.tile import Tile, resized

SIDE, GAP, ACROSS = 144, 3, 28  # pixels of an image, between the two of a pair, between pairs
SMALL = 12  # letters of files' names
STEP = SIDE + 84  # from one row of pairs to the next: the words above, two lines below


class ImagePair(NamedTuple):
    """Two images and their names, a line or two each. words: a line above both."""

    left: Tile
    right: Tile
    left_name: str
    right_name: str
    words: str


def pairs_sheet(pairs: Sequence[ImagePair], title: str, sides: tuple[str, str], columns: int = 4) -> Image.Image:
    """The pairs in this order, row by row; sides: names of the sets of the left and right images.

    Names that are too long are shortened.
    """
    columns = max(1, min(columns, len(pairs)))
    step = 2 * SIDE + GAP + ACROSS
    heads = f"left: {sides[0]} · right: {sides[1]}"
    inner = max(columns * step - ACROSS, min(1200, max(width(title, TITLE), width(heads, 14))))
    sheet = Image.new(
        "RGB", (inner + 2 * MARGIN, TOP + 24 + -(-len(pairs) // columns) * STEP + MARGIN // 2), BACKGROUND
    )
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    write(draw, (MARGIN, TOP + 8), heads, color=PALE, room=inner)
    for number, pair in enumerate(pairs):
        _draw_pair(sheet, (MARGIN + number % columns * step, TOP + 24 + number // columns * STEP), pair)
    return sheet


def _draw_pair(sheet: Image.Image, place: tuple[int, int], pair: ImagePair) -> None:
    draw, (x, y) = ImageDraw.Draw(sheet), place
    write(draw, (x, y + 17), pair.words, room=2 * SIDE)
    for left, tile, name in ((x, pair.left, pair.left_name), (x + SIDE + GAP, pair.right, pair.right_name)):
        sheet.paste(resized(tile, SIDE), (left, y + 24))
        draw.rectangle((left, y + 24, left + SIDE - 1, y + 24 + SIDE - 1), outline=OUTLINE)
        for line, words in enumerate(name.splitlines()):
            write(draw, (left, y + 24 + SIDE + 16 * (line + 1)), words, SMALL, SIDE - 4, PALE)


def correlation_plot(best: NDArray[np.float64], copies: Mapping[str, NDArray[np.float64]], threshold: float) -> Figure:
    """Two panels. Left: a histogram of the images' best correlations [N]. Right: the share above each value near 1.

    copies: correlations [n] of images with altered copies of themselves, by kind; they show where copies would lie.
    """
    figure = Figure(figsize=(WIDTH, 4.0), dpi=110, facecolor=GROUND)
    left, right = panels(figure, 2, above=0.4, below=1.1, beside=0.25, label="correlation")
    left.set_title("Best correlation of each image with the other set: images", **TITLE_STYLE)
    left.hist(best, bins=np.linspace(min(0.0, float(best.min())), 1, 101).tolist(), color=NET)
    left.set_axisbelow(True)
    left.set_yscale("symlog", linthresh=10)
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    left.set_ylim(0, None)
    right.set_title("Near 1: share of the images above, %", **TITLE_STYLE)
    low = 1 - 5 * (1 - threshold) if threshold < 1 else 0.9
    _share_above(right, best, low, "best of each image", 0)
    for number, (kind, values) in enumerate(copies.items(), 1):
        _share_above(right, values, low, f"copies: {kind}", number)
    right.set_xlim(low, 1)
    right.set_ylim(0, 104)
    right.xaxis.set_major_locator(MaxNLocator(nbins=6))
    for axes, height in ((left, 0.99), (right, 0.75)):
        axes.axvline(threshold, color=FAINT, linewidth=1)
        axes.text(threshold, height, f"threshold {threshold:g} ", transform=axes.get_xaxis_transform(), ha="right",
                  va="top", size=TEXT, color=FAINT, bbox={"facecolor": GROUND, "linewidth": 0, "pad": 1})  # fmt: skip
    figure.legend(*right.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.03, 0.0), ncols=3,
                  frameon=False, fontsize=TEXT, labelcolor=INK)  # fmt: skip
    return figure


def _share_above(axes: Axes, values: NDArray[np.float64], low: float, label: str, number: int) -> None:
    """Draws the share of the values that are at or above each correlation from `low` to 1."""
    correlations = np.linspace(max(-1.0, low), 1, 400)
    share = 1 - np.searchsorted(np.sort(values), correlations) / max(1, len(values))
    place = (0.02 + 0.03 * number, 0.2)  # of markers, a fraction of the line, so that they do not cover each other
    axes.plot(
        correlations, 100 * share, **series_style(number), linewidth=1.7, markersize=4, markevery=place, label=label
    )
