"""Fig. 5: images shifted, enlarged and turned, how far their features move, and the probability of their class."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.invariance.about import Fill
from convscope.analyses.invariance.compute.tolerance import MeasuredTransform
from convscope.plots.lettering import short_name
from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, label_ends, style_axes
from convscope.plots.series import series_style
from convscope.plots.tile import Tile, resized

STRIPS, NAMES, PANEL = 4.0, 1.35, 3.45  # inches that a column takes; names beside the pictures; a panel's column
ROW, ABOVE, BELOW = 2.5, 0.8, 0.55  # inches: the least height of a row's plots; above all rows; below each
LETTERS = 12  # of the note that fit into an inch
PICTURES = 5  # of an image under one transform
MEAN_LEVEL = 128  # the grey level that stands for the mean in the pictures
LABELS = {
    "translation": "vertical translation, pixels down",
    "scale": "scale factor",
    "rotation": "rotation, degrees counter-clockwise",
}
SIDE, GAP = 56, 3  # pixels of a tile and between tiles
BAND = "#d4d4da"


class Panel(NamedTuple):
    """Curves over the values of one transform. title: of its column. examples [e, t]; scored [N, t]: of all images.

    between_images: a height to compare with, the mean distance between different images; nan or None: no such line.
    """

    title: str
    examples: NDArray[Any]
    scored: NDArray[Any]
    between_images: float | None = None


class TransformRow(NamedTuple):
    """A transform. label: of the axis of values [t]. tiles: for each example, its pictures at the values of `ticks`."""

    label: str
    values: NDArray[Any]
    ticks: Sequence[str]
    tiles: Sequence[Sequence[Tile]] | NDArray[np.uint8]  # [e, ticks] tiles
    panels: Sequence[Panel]


def transform_row(measured: MeasuredTransform, pixels: Tensor, fill: Fill) -> TransformRow:
    """The figure's row of one transform: pictures at a few values, a panel for each layer, one for the class.

    pixels [e, 3, H, W] uint8: of the examples.
    """
    transform = measured.scored.transform
    columns = np.linspace(0, len(transform.values) - 1, PICTURES).round().astype(int)
    values = [transform.values[column] for column in columns]
    centered = pixels.float() - MEAN_LEVEL
    moved = torch.stack([transform.apply(centered, value, fill) for value in values], 1) + MEAN_LEVEL
    tiles = moved.round().clamp(0, 255).byte().permute(0, 1, 3, 4, 2).numpy()  # [e, PICTURES, H, W, 3]
    panels = []
    for layer, scored in measured.scored.distance.items():
        examples, between_images = (
            measured.examples.distance[layer].numpy(),
            float(measured.between_images[layer].mean()),
        )
        panels.append(Panel(f"Distance, {layer}", examples, scored.numpy(), between_images))
    probability = 100 * measured.examples.probability.numpy(), 100 * measured.scored.probability.numpy()
    panels.append(Panel("Probability of the class, %", *probability))
    ticks = [f"{value:g}" for value in values]
    return TransformRow(LABELS[transform.name], measured.scored.values.numpy(), ticks, tiles, panels)


def invariance_figure(rows: Sequence[TransformRow], names: Sequence[str], title: str, note: str) -> Figure:
    """Rows for the transforms, with a column for the pictures and one for each panel.

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
            axes = figure.add_axes((left / width, bottom / height, (PANEL - 1.45) / width, tall / height))
            _curves(axes, row, panel)
            if number == 0:
                axes.set_title(short_name(panel.title, 27), **TITLE_STYLE)
    label_ends(figure)
    return figure


def _strips(axes: Axes, row: TransformRow, names: Sequence[str]) -> None:
    """Draws the examples below each other, the pictures of each side by side, as one image."""
    step = SIDE + GAP
    sheet = np.full((len(names) * step - GAP, len(row.ticks) * step - GAP, 3), 255, np.uint8)
    for down, tiles in enumerate(row.tiles):
        for right, tile in enumerate(tiles):
            sheet[down * step :, right * step :][:SIDE, :SIDE] = np.asarray(resized(tile, SIDE))
    axes.imshow(sheet, interpolation="antialiased")
    axes.set_anchor("NE")
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=TEXT, length=0)
    centers = SIDE / 2 - 0.5
    axes.set_xticks([right * step + centers for right in range(len(row.ticks))], row.ticks)
    labels = [f"{number}  {_in_two_lines(name, 14)}" for number, name in enumerate(names, 1)]
    axes.set_yticks([down * step + centers for down in range(len(names))], labels, color=INK)
    axes.set_xlabel(row.label, color=FAINT, size=TEXT)


def _in_two_lines(name: str, length: int) -> str:
    """A class's name in at most two lines of `length` letters."""
    lines = wrap(name, length) or [""]
    return "\n".join([lines[0], short_name(" ".join(lines[1:]), length)] if len(lines) > 1 else lines)


def _curves(axes: Axes, row: TransformRow, panel: Panel) -> None:
    style_axes(axes)
    axes.set_xlabel(row.label, color=FAINT, size=TEXT)
    low, high = np.nanquantile(panel.scored, [0.1, 0.9], axis=0)
    axes.fill_between(row.values, low, high, color=BAND, linewidth=0, alpha=0.7)
    heights = [float(np.nanmax(panel.examples)), float(np.nanmax(high))]
    if panel.between_images is not None and np.isfinite(panel.between_images):
        axes.plot(row.values, np.full(len(row.values), panel.between_images), color=FAINT, linewidth=1, label="others")
        heights.append(panel.between_images)
    for number, curve in enumerate(panel.examples):
        axes.plot(
            row.values, curve, **series_style(number), linewidth=1.3, label=str(number + 1), markersize=3.6,
            markevery=(number % 4, 5),
        )  # fmt: skip
    axes.plot(row.values, panel.scored.mean(0), color=INK, linewidth=2.6, alpha=0.75, label="mean")
    axes.set_xlim(row.values[0], row.values[-1])
    axes.set_xticks([float(tick) for tick in row.ticks], row.ticks)
    axes.set_ylim(0, max(1e-9, 1.05 * max(heights)))
    if max(heights) >= 10_000:  # 250000 would reach into the plot on the left
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
