"""Fig. 5: images shifted, enlarged and turned, how far features move, and what becomes of the class."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, label_ends, style_axes
from convscope.plots.tile import Tile, resized

STRIPS, NAMES, PANEL = 4.0, 1.35, 3.0  # inches that a column takes; names beside the pictures; a panel's column
ROW, ABOVE, BELOW = 2.5, 0.8, 0.55  # inches: the least height of a row's plots; above all rows; below each
LETTERS = 12  # of the note that fit into an inch
SIDE, GAP = 56, 3  # pixels of a tile and between tiles
BAND = "#d4d4da"
DASHES: list[Any] = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]
MARKS = ["o", "s", "^", "D", "v"]


class Panel(NamedTuple):
    """Curves over the values of one transform. title: of its column. examples [e, t]. every [N, t]: all images'.

    others: a height to compare with, how far different images are from each other; nan or None: none.
    """

    title: str
    examples: NDArray[Any]
    every: NDArray[Any]
    others: float | None = None


class Row(NamedTuple):
    """One transform. label: of the axis of values [t]. tiles: for each example, its pictures at the values `shown`."""

    label: str
    values: NDArray[Any]
    shown: Sequence[str]
    tiles: Sequence[Sequence[Tile]] | NDArray[np.uint8]  # [e, shown] tiles
    panels: Sequence[Panel]


def invariance_figure(rows: Sequence[Row], names: Sequence[str], title: str, note: str) -> Figure:
    """A row for each transform, a column for the pictures and one for each panel.

    names: of the examples, whose curves are drawn alone, numbered from 1; behind them the mean of all images (thick)
    and the band that holds the middle 80 % of them.
    """
    tall = max(ROW, 0.36 * len(names))
    width = STRIPS + PANEL * len(rows[0].panels)
    lines = wrap(note, int(LETTERS * (width - 0.3)))
    above = ABOVE + 0.17 * len(lines)
    height = above + len(rows) * (tall + BELOW) + 0.1
    figure = Figure(figsize=(width, height), dpi=110, facecolor=GROUND)
    figure.text(0.15 / width, 1 - 0.25 / height, title, size=13, color=INK, va="center")
    figure.text(0.15 / width, 1 - 0.42 / height, "\n".join(lines), size=TEXT, color=FAINT, va="top")
    for number, row in enumerate(rows):
        bottom = height - above - (number + 1) * tall - number * BELOW
        place = (NAMES / width, bottom / height, (STRIPS - NAMES - 0.15) / width, tall / height)
        _strips(figure.add_axes(place), row, names)
        for column, panel in enumerate(row.panels):
            left = STRIPS + 0.5 + column * PANEL
            axes = figure.add_axes((left / width, bottom / height, (PANEL - 1.0) / width, tall / height))
            _curves(axes, row, panel)
            if number == 0:
                axes.set_title(_short(panel.title, 27), **TITLE_STYLE)
    label_ends(figure)
    return figure


def _strips(axes: Axes, row: Row, names: Sequence[str]) -> None:
    """The examples below each other, their pictures side by side as one image."""
    step = SIDE + GAP
    sheet = np.full((len(names) * step - GAP, len(row.shown) * step - GAP, 3), 255, np.uint8)
    for down, tiles in enumerate(row.tiles):
        for right, tile in enumerate(tiles):
            sheet[down * step :, right * step :][:SIDE, :SIDE] = np.asarray(resized(tile, SIDE))
    axes.imshow(sheet, interpolation="antialiased")
    axes.set_anchor("NE")
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=TEXT, length=0)
    centers = SIDE / 2 - 0.5
    axes.set_xticks([right * step + centers for right in range(len(row.shown))], row.shown)
    labels = [f"{number}  {_in_two_lines(name, 14)}" for number, name in enumerate(names, 1)]
    axes.set_yticks([down * step + centers for down in range(len(names))], labels, color=INK)
    axes.set_xlabel(row.label, color=FAINT, size=TEXT)


def _in_two_lines(name: str, most: int) -> str:
    """A class's name in at most two lines of `most` letters."""
    lines = wrap(name, most) or [""]
    return "\n".join([lines[0], _short(" ".join(lines[1:]), most)] if len(lines) > 1 else lines)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _curves(axes: Axes, row: Row, panel: Panel) -> None:
    style_axes(axes)
    axes.set_xlabel(row.label, color=FAINT, size=TEXT)
    low, high = np.nanquantile(panel.every, [0.1, 0.9], axis=0)
    axes.fill_between(row.values, low, high, color=BAND, linewidth=0, alpha=0.7)
    heights = [float(np.nanmax(panel.examples)), float(np.nanmax(high))]
    if panel.others is not None and np.isfinite(panel.others):
        axes.plot(row.values, np.full(len(row.values), panel.others), color=FAINT, linewidth=1, label="others")
        heights.append(panel.others)
    shades = colormaps["viridis"](np.linspace(0, 0.82, max(2, len(panel.examples))))
    for number, curve in enumerate(panel.examples):
        axes.plot(
            row.values, curve, color=shades[number], linestyle=DASHES[number % 5], linewidth=1.3, label=str(number + 1),
            marker=MARKS[number % 5], markersize=3.2, markevery=(number % 4, 5),
        )  # fmt: skip
    axes.plot(row.values, panel.every.mean(0), color=INK, linewidth=2.6, alpha=0.75, label="mean")
    axes.set_xlim(row.values[0], row.values[-1])
    axes.set_ylim(0, max(1e-9, 1.05 * max(heights)))
