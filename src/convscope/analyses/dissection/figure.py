"""The detectors of a layer with the images in which they are strongest, and how many detectors each part has."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFilter

from convscope.analyses.dissection.compute.examples import StrongImage
from convscope.plots.grid import BACKGROUND, MARGIN, TITLE_HEIGHT
from convscope.plots.lettering import CAPTION, FAINT, TITLE, width, wrapped, write
from convscope.plots.panels import GROUND, INK, RULE, TEXT, TITLE_STYLE, WIDTH, style_axes
from convscope.plots.tile import Tile, resized

SIDE, GAP, BETWEEN = 104, 3, 14  # pixels: of a tile, between tiles, between two detectors
OUTLINE = (255, 232, 60)
DIMMED = 0.45  # brightness of what lies outside of the outline
LINE = 2  # pixels of the outline
COLORS = {"learned": "#1f3b73", "untrained": "#d9822b", "shuffled masks": "#b9b9c2"}


class DetectorRow(NamedTuple):
    """A detector. words: its label, and a line below it. images: in which it is strongest. threshold: of the map."""

    words: tuple[str, str]
    images: Sequence[StrongImage]
    threshold: float


def detector_grid(rows: Sequence[DetectorRow], title: str, note: str) -> Image.Image:
    """Two detectors side by side, each with its label above its images, whose strong places are outlined."""
    columns = min(2, len(rows))
    tiles = max(len(row.images) for row in rows)
    step, tall = tiles * (SIDE + GAP) - GAP + 2 * BETWEEN, SIDE + 44
    inner = max(columns * step - 2 * BETWEEN, min(900, width(title, TITLE)))
    lines = wrapped(note, CAPTION, inner)
    top = TITLE_HEIGHT + 18 * len(lines) + 4
    height = top + -(-len(rows) // columns) * (tall + BETWEEN) - BETWEEN + MARGIN
    sheet = Image.new("RGB", (inner + 2 * MARGIN, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    for number, line in enumerate(lines):
        write(draw, (MARGIN, TITLE_HEIGHT + 6 + 18 * number), line, room=inner, color=FAINT)
    for number, row in enumerate(rows):
        x, y = MARGIN + number % columns * step, top + number // columns * (tall + BETWEEN)
        write(draw, (x, y + 16), row.words[0], room=step - 2 * BETWEEN)
        write(draw, (x, y + 35), row.words[1], room=step - 2 * BETWEEN, color=FAINT)
        for place, image in enumerate(row.images):
            sheet.paste(Image.fromarray(outlined(image, row.threshold, SIDE)), (x + place * (SIDE + GAP), y + 44))
    return sheet


def outlined(image: StrongImage, threshold: float, side: int) -> Tile:
    """[side, side, 3]: the image, dimmed where the activation is not above the threshold, with a line between."""
    pixels = np.asarray(resized(image.pixels, side)).astype(np.float32)
    enlarged = Image.fromarray(np.asarray(image.activation, np.float32)).resize((side, side), Image.Resampling.BILINEAR)
    strong = np.asarray(enlarged) > threshold
    pixels[~strong] *= DIMMED
    near = np.asarray(Image.fromarray(strong.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * LINE + 1)))
    pixels[(near > 0) & ~strong] = OUTLINE
    return pixels.astype(np.uint8)


def detectors_by_part(numbers: Mapping[str, Mapping[str, Sequence[float]]], parts: Sequence[str], title: str) -> Figure:
    """A panel for each layer, a row for each part. numbers: layer -> one of COLORS -> detectors of each part."""
    bars = next(iter(numbers.values()))
    height = 1.75 + 0.085 * (len(bars) + 1.2) * len(parts)
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    left = 0.2 + 0.075 * max(map(len, parts))
    step = (WIDTH - left - 0.15) / len(numbers)
    most = max(max(values) for of_layer in numbers.values() for values in of_layer.values()) or 1
    for number, (layer, of_layer) in enumerate(numbers.items()):
        place = (left + number * step) / WIDTH, 0.5 / height, (step - 0.2) / WIDTH, (height - 1.55) / height
        axes = figure.add_axes(place)
        style_axes(axes)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        thick = 0.8 / len(of_layer)
        for at, (name, values) in enumerate(of_layer.items()):
            rows = np.arange(len(parts)) + (at - (len(of_layer) - 1) / 2) * thick
            axes.barh(rows, values, thick, color=COLORS[name], label=name)
        axes.set_yticks(range(len(parts)), parts if number == 0 else [""] * len(parts))
        axes.set_ylim(len(parts) - 0.5, -0.5)
        axes.set_xlim(0, 1.05 * most)
        axes.set_title(layer, **TITLE_STYLE)
        axes.set_xlabel("maps", color=INK, size=TEXT)
    figure.text(0.012, 1 - 0.28 / height, title, size=13, color=INK, va="center")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    corner = (0.008, 1 - 0.46 / height)
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=corner, ncols=3, frameon=False, fontsize=TEXT)
    return figure
