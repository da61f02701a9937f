"""Covered images side by side (Fig. 8), and how much the changes of their features disagree from layer to layer."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.analyses.correspondence.compute import MEAN, MEASURES, RANDOM, TOGETHER
from convscope.plots.grid import BACKGROUND, MARGIN, TITLE_HEIGHT
from convscope.plots.lettering import CAPTION, FAINT, TITLE, width, write
from convscope.plots.panels import GROUND, INK, WIDTH, beside_each_other, draw_with_bars, label_ends, panels
from convscope.plots.panels import TITLE_STYLE as TITLED
from convscope.plots.series import series_style
from convscope.plots.tile import Tile, resized

GAP = 4


class Course(NamedTuple):
    """A line over the layers. values, low, high [L]: a number for each layer, and the ends of its interval."""

    label: str
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


class CoveredImage(NamedTuple):
    """An image's name, and a tile for each column."""

    name: str
    tiles: Sequence[Tile]


def covered_grid(rows: Sequence[CoveredImage], columns: Sequence[str], title: str, side: int = 112) -> Image.Image:
    """Fig. 8: a row for each image; a column for each word of `columns`, written above it."""
    left = min(160, max(width(row.name, CAPTION) for row in rows)) + 12
    step = side + GAP
    inner = max(left + len(columns) * step - GAP, min(width(title, TITLE), 1500))
    sheet = Image.new("RGB", (inner + 2 * MARGIN, TITLE_HEIGHT + 22 + len(rows) * step - GAP + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    for number, words in enumerate(columns):
        write(draw, (MARGIN + left + number * step, TITLE_HEIGHT + 12), words, room=side, color=FAINT)
    for line, row in enumerate(rows):
        y = TITLE_HEIGHT + 22 + line * step
        write(draw, (MARGIN, y + side // 2), row.name, room=left - 12, anchor="lm")
        for number, tile in enumerate(row.tiles):
            sheet.paste(resized(tile, side), (MARGIN + left + number * step, y))
    return sheet


def measures_by_layer(rows: Sequence[Mapping[str, Any]], layers: Sequence[str]) -> Figure:
    """A plot for each measure: parts against random places. rows: of the table "layers"."""
    sides = {}
    for measure, counted in MEASURES.items():
        courses = []
        for group, label in ((MEAN, "parts"), (RANDOM, RANDOM), (TOGETHER, TOGETHER)):
            of_group = [row for row in rows if row["covered"] == group]
            ends = ([row[f"{measure}{end}"] for row in of_group] for end in ("", "_low", "_high"))
            courses.append(Course(label, *ends))
        sides[counted[0].upper() + counted[1:]] = courses
    return by_layer(layers, sides, "How often two images' features change in different directions")


def by_layer(layers: Sequence[str], sides: Mapping[str, Sequence[Course]], title: str) -> Figure:
    """A plot under each name, side by side: a line for each Course, its intervals as bars."""
    tilted = max(map(len, layers)) * len(layers) > 110 / len(sides)
    below = 0.6 + (0.055 * max(map(len, layers)) if tilted else 0.0)
    height = 3.7 + below
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    plots = panels(figure, len(sides), above=0.85, below=below, beside=1.05, label="layer, from the pixels up")
    for axes, (name, courses) in zip(plots, sides.items(), strict=True):
        axes.set_title(name, **TITLED)
        for number, (course, beside) in enumerate(zip(courses, beside_each_other(len(courses)), strict=True)):
            bars = np.asarray(course.low, float), np.asarray(course.high, float)
            draw_with_bars(axes, range(len(layers)), course.values, bars, beside, label=course.label, linewidth=1.5,
                           markersize=4, **series_style(number))  # fmt: skip
        axes.autoscale_view()
        axes.set_xticks(range(len(layers)), layers, rotation=40 if tilted else 0, ha="right" if tilted else "center")
        lowest, highest = _range(courses)
        axes.set_ylim(1.05 * lowest, 1.05 * highest)
    figure.text(0.012, 1 - 0.3 / height, title, size=13, color=INK, va="center")
    label_ends(figure)
    return figure


def _range(courses: Sequence[Course]) -> tuple[float, float]:
    """The bottom and the top of all lines and bars, and of zero."""
    ends = [[course.values, course.low, course.high] for course in courses]
    numbers: NDArray[np.float64] = np.array(ends, float)
    numbers = numbers[np.isfinite(numbers)]
    return float(numbers.min(initial=0)), float(numbers.max(initial=0)) or 1.0
