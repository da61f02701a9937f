"""Effects of single maps as plots, maps with the classes that need them, mistakes with the maps that made them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from convscope.analyses.ablation.compute import Changes
from convscope.plots.grid import BACKGROUND, MARGIN, OUTLINE, TITLE_HEIGHT
from convscope.plots.lettering import CAPTION, FAINT, INK, TITLE, short_name, width, wrapped, write
from convscope.plots.panels import FAINT as FAINT_LINE
from convscope.plots.panels import INK as INK_LINE
from convscope.plots.panels import TEXT, TITLE_STYLE, WIDTH, panels
from convscope.plots.tile import Tile, resized

NULL, FALL, RISE = "#d9b36c", "#1f3b73", "#b4552d"
MOST_MAPS, MOST_CLASSES = 30, 25  # of a heat map
SIDE, GAP, STEP = 168, 14, 20  # pixels: of three tiles, between blocks, from one bar to the next
COLUMN = 2 * SIDE + 6  # of a block: projections beside patches
NAMES, DIGITS = 150, 62  # pixels of a bar's name and number


def effects_plot(accuracy: tuple[Changes, Changes], certainty: tuple[Changes, Changes], title: str) -> Figure:
    """Change of accuracy, in points, and of the true class's log-probability for each map, sorted, with intervals.

    Each pair: of the maps, and of random directions, whose range is a band.
    """
    figure = Figure((WIDTH, 3.9), facecolor="white")
    names = "accuracy, points", "log-probability of the true class"
    figure.text(0.5 / WIDTH, 0.94, title, size=11, color=INK_LINE, va="top")
    for axes, (maps, directions), name, factor in zip(
        panels(figure, 2, above=0.75, below=0.5, beside=0.25, label="maps, sorted"), (accuracy, certainty), names,
        (100, 1), strict=True,
    ):  # fmt: skip
        order = np.argsort(maps.value, kind="stable")
        place, value = np.arange(len(order)), factor * maps.value[order]
        low, high = factor * maps.low[order], factor * maps.high[order]
        if len(directions.value):
            band = factor * directions.value.min(), factor * directions.value.max()
            axes.axhspan(*band, color=NULL, alpha=0.45, lw=0, label=f"{len(directions.value)} random directions")
        axes.axhline(0, color=FAINT_LINE, lw=0.8)
        axes.vlines(
            place,
            low,
            high,
            color=FALL,
            alpha=0.25 if len(order) < 100 else 0.12,
            lw=1.2 if len(order) < 100 else 0.6,
            label="95 % interval of each map",
        )
        axes.plot(place, value, "o", color=FALL, ms=3, label="a map switched off")
        _room_for(axes, np.concatenate([value, factor * directions.value]), np.concatenate([low, high]))
        axes.set_title(f"change of {name}", **TITLE_STYLE)
    figure.axes[0].legend(loc="lower right", fontsize=TEXT, frameon=False)
    return figure


def _room_for(axes: Any, values: Any, ends: Any) -> None:
    """Limits that hold all values, and of the ends of intervals as much as is not far beyond them."""
    values, ends = values[np.isfinite(values)], ends[np.isfinite(ends)]
    reach = max(np.ptp(values), 1e-6)
    low, high = max(ends.min(initial=0), values.min() - reach), min(ends.max(initial=0), values.max() + reach)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


class ClassChanges(NamedTuple):
    """Changes [maps, classes] of the true class's probability, in points, and whether each is clear of chance."""

    maps: Sequence[int]
    classes: Sequence[str]
    points: Any
    clear: Any


def class_plot(changes: ClassChanges, title: str) -> Figure:
    """A heat map of classes by maps: the maps and classes with the largest changes. A dot: the change is clear."""
    points = np.asarray(changes.points)
    maps = np.sort(np.argsort(-np.abs(points).max(1), kind="stable")[:MOST_MAPS])
    classes = np.sort(np.argsort(-np.abs(points[maps]).max(0), kind="stable")[:MOST_CLASSES])
    maps = maps[np.argsort(points[maps][:, classes].argmin(1), kind="stable")]  # by the class that needs each most
    cells, dots = points[maps][:, classes].T, np.asarray(changes.clear)[maps][:, classes].T
    height = 1.35 + 0.24 * len(classes)
    figure = Figure((WIDTH, height), facecolor="white")
    axes = figure.add_axes((1.9 / WIDTH, 0.55 / height, (WIDTH - 3.0) / WIDTH, (height - 1.1) / height))
    scale = max(float(np.abs(cells).max()), 1e-6)
    image = axes.imshow(cells, cmap="RdBu", vmin=-scale, vmax=scale, aspect="auto", interpolation="nearest")
    rows, columns = np.nonzero(dots)
    axes.plot(columns, rows, "o", color=INK_LINE, markeredgecolor="white", mew=0.9, ms=5)  # seen on dark cells too
    axes.set_xticks(range(len(maps)), [str(changes.maps[at]) for at in maps], size=TEXT - 1, color=INK_LINE)
    axes.set_yticks(
        range(len(classes)), [short_name(changes.classes[at], 24) for at in classes], size=TEXT, color=INK_LINE
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        "map switched off · a dot: the change is clear, false discovery rate 5 % over all maps and classes",
        size=TEXT,
        color=FAINT_LINE,
    )
    figure.text(0.5 / WIDTH, 1 - 0.12 / height, title, size=11, color=INK_LINE, va="top")
    bar_axes = figure.add_axes(((WIDTH - 0.85) / WIDTH, 0.55 / height, 0.14 / WIDTH, (height - 1.1) / height))
    bar = figure.colorbar(image, cax=bar_axes)
    bar.ax.tick_params(labelsize=TEXT - 1, length=0, colors=FAINT_LINE)
    bar.outline.set_visible(False)
    return figure


class EffectBar(NamedTuple):
    """A bar with its name. length: -1 to 1 of the room; below zero it is drawn in the color of a fall."""

    name: str
    length: float
    words: str


class MapBlock(NamedTuple):
    """A map. caption, bars below it, and up to nine tiles of its projections and of the same patches."""

    caption: str
    bars: Sequence[EffectBar]
    projections: Sequence[Tile]
    patches: Sequence[Tile]


class MistakeHead(NamedTuple):
    """An image that got a wrong answer, lines of text about it, and a bar for each of the maps behind it."""

    image: Tile
    bars: Sequence[EffectBar]


def maps_sheet(blocks: Sequence[MapBlock], title: str, note: str, head: MistakeHead | None = None) -> Image.Image:
    """Maps in rows of three, each with its bars and tiles. head: the image that they decide on, at the left.

    Projections stand at the left of each map, the image patches at its right.
    """
    left = MARGIN + (_HEAD_WIDTH + 2 * GAP if head else 0)
    columns = min(3 if head is None else 2, max(1, len(blocks)))
    bars = max([len(block.bars) for block in blocks], default=0)
    step = 26 + bars * STEP + SIDE + 2 * GAP
    inner = max(left + columns * (COLUMN + 2 * GAP) - 2 * GAP - MARGIN, min(width(title, TITLE), 1500), 600)
    lines = wrapped(note, CAPTION, inner)
    top = TITLE_HEIGHT + 12 + 18 * len(lines)
    rows = -(-len(blocks) // columns)
    height = max(rows * step, SIDE + 86 + STEP * len(head.bars) if head else 0)
    sheet = Image.new("RGB", (inner + 2 * MARGIN, top + height + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    for number, line in enumerate(lines):
        write(draw, (MARGIN, TITLE_HEIGHT + 10 + 18 * number), line, color=FAINT, room=inner)
    if head:
        _head(sheet, (MARGIN, top), head)
    for number, block in enumerate(blocks):
        row, column = divmod(number, columns)
        _block(sheet, (left + column * (COLUMN + 2 * GAP), top + row * step), block, bars)
    return sheet


_HEAD_WIDTH = 330


def _head(sheet: Image.Image, place: tuple[int, int], head: MistakeHead) -> None:
    x, y = place
    side = SIDE + 60
    sheet.paste(resized(head.image, side), (x, y + 6))
    ImageDraw.Draw(sheet).rectangle((x, y + 6, x + side - 1, y + side + 5), outline=OUTLINE)
    _bars(ImageDraw.Draw(sheet), (x, y + side + 20), head.bars, _HEAD_WIDTH)


def _block(sheet: Image.Image, place: tuple[int, int], block: MapBlock, bars: int) -> None:
    (x, y), draw = place, ImageDraw.Draw(sheet)
    write(draw, (x, y + 16), block.caption, room=COLUMN)
    _bars(draw, (x, y + 24), block.bars, COLUMN)
    small = (SIDE - 4) // 3
    for at, tiles in enumerate((block.projections, block.patches)):
        for number in range(9):
            row, column = divmod(number, 3)
            corner = x + at * (SIDE + 6) + column * (small + 2), y + 26 + bars * STEP + 6 + row * (small + 2)
            if number < len(tiles):
                sheet.paste(resized(tiles[number], small), corner)
            else:
                draw.rectangle((*corner, corner[0] + small - 1, corner[1] + small - 1), outline=OUTLINE)


def _bars(draw: ImageDraw.ImageDraw, place: tuple[int, int], bars: Sequence[EffectBar], room: int) -> None:
    x, y = place
    start, reach = x + NAMES, room - NAMES - DIGITS
    for number, bar in enumerate(bars):
        middle = y + 10 + number * STEP
        write(draw, (x, middle), bar.name, size=12, room=NAMES - 8, anchor="lm")
        end = start + max(1, round(reach * min(1.0, abs(bar.length))))
        draw.rectangle((start, middle - 6, end, middle + 6), fill=FALL if bar.length < 0 else RISE)
        write(draw, (end + 6, middle), bar.words, size=12, color=INK, anchor="lm")
