"""Effective receptive fields over the theoretical ones: heat maps at one scale, and their sides by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convscope.analyses.receptive_field.compute import EffectiveField
from convscope.plots.lettering import short_name
from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, WIDTH, panels

COLORS, EFFECTIVE, THEORETICAL, UNTRAINED = "Blues", "#d55e00", "#26262a", "#8a8a94"
FEWEST, COLUMNS = 4, 7  # tiles in a row: the room of so many is kept, and no more stand beside each other
ABOVE, TITLE, GAP = 0.78, 0.42, 0.12  # inches: above all tiles, above a row for its names, between tiles
SMALL_FIELD, INSET = 0.26, 0.44  # shares of the image's side: fields up to it are enlarged, in an inset of this side
Side = tuple[float, float, float]  # in pixels, with the ends of its interval
NAME = 24  # letters of a layer's name


def fields_figure(fields: Mapping[str, EffectiveField], untrained: Mapping[str, EffectiveField]) -> Figure:
    """A tile for each layer, all at the scale of the image; below it the tile of the untrained net, where there is one.

    Color is the square root of the energy, from none (white) to the layer's strongest pixel. Small fields are enlarged
    in a corner that they leave free.
    """
    layers = list(fields)
    columns = min(COLUMNS, max(FEWEST, len(layers)))
    rows, nets = -(-len(layers) // columns), 2 if untrained else 1
    tile = (WIDTH - 0.3 - GAP * (columns - 1)) / columns
    image_rows, image_cols = fields[layers[0]].heat.shape
    tall = tile * image_rows / image_cols
    row_height = nets * (TITLE + tall) + GAP
    height = ABOVE + rows * row_height + 0.05
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    _legend(figure, bool(untrained))
    for number, layer in enumerate(layers):
        left = 0.15 + number % columns * (tile + GAP)
        for net, field in enumerate([fields[layer], *([untrained[layer]] if layer in untrained else [])]):
            top = height - ABOVE - number // columns * row_height - net * (TITLE + tall) - TITLE
            axes = figure.add_axes((left / WIDTH, (top - tall) / height, tile / WIDTH, tall / height))
            axes.set_title(_title(layer, field, net == 1), **TITLE_STYLE | {"size": TEXT}, pad=4, linespacing=1.3)
            _tile(axes, field)
    return figure


def _legend(figure: Figure, has_untrained: bool) -> None:
    height = figure.get_figheight()
    figure.text(0.15 / WIDTH, 1 - 0.25 / height, "Where the central unit of each layer gets its gradient from", size=13,
                color=INK, va="center")  # fmt: skip
    x = 0.15
    for words, color, style in (
        ("all pixels on which it can depend", THEORETICAL, (0, (3, 2))),
        ("the square with 95 % of the gradient's energy", EFFECTIVE, "-"),
    ):
        box = Rectangle((x / WIDTH, 1 - 0.63 / height), 0.14 / WIDTH, 0.14 / height, fill=False, edgecolor=color,
                        linestyle=style, linewidth=1.5, transform=figure.transFigure)  # fmt: skip
        figure.add_artist(box)
        figure.text((x + 0.22) / WIDTH, 1 - 0.56 / height, words, size=TEXT, color=INK, va="center")
        x += 0.5 + 0.062 * len(words)
    words = "each tile: the whole image; blue: root of the energy" + (
        "; below: random weights" if has_untrained else ""
    )
    figure.text(x / WIDTH, 1 - 0.56 / height, words, size=TEXT, color=FAINT, va="center")


def _title(layer: str, field: EffectiveField, untrained: bool) -> str:
    name = "random weights" if untrained else short_name(layer, NAME, from_end=True)
    if not np.isfinite(field.side):
        return f"{name}\nno gradient"
    if field.sees_all:
        return f"{name}\n{field.side:g} px of the whole image"
    return f"{name}\n{field.side:g} of {field.visible:g} px, {field.share:.0%}"


def _tile(axes: Axes, field: EffectiveField) -> None:
    """The whole image, and in a corner the field alone where it is small."""
    _heat(axes, field)
    rows, cols = field.heat.shape
    axes.set_xlim(-0.5, cols - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    if field.visible <= SMALL_FIELD * min(rows, cols):
        inset = axes.inset_axes((1 - INSET, 1 - INSET, INSET, INSET))
        _heat(inset, field)
        half = 0.56 * field.visible
        row, col = field.unit.center
        inset.set_xlim(col - half, col + half)
        inset.set_ylim(row + half, row - half)
        words = f"× {(INSET * cols / (2 * half)):.0f}" if cols <= rows else f"× {(INSET * rows / (2 * half)):.0f}"
        axes.text(0.99, 1 - INSET - 0.02, words, size=TEXT - 1, color=FAINT, transform=axes.transAxes, ha="right",
                  va="top")  # fmt: skip


def _heat(axes: Axes, field: EffectiveField) -> None:
    strongest = max(float(field.heat.max()), 1e-30)
    axes.imshow(np.sqrt(field.heat / strongest), cmap=COLORS, vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#c8c8d0")
    image, (row, col) = field.heat.shape, field.unit.center
    top, left, height, width = field.unit.box or (0, 0, *image)
    _outline(axes, image, (top - 0.5, left - 0.5, height, width), edgecolor=THEORETICAL, linestyle=(0, (3, 2)))
    if np.isfinite(field.side):
        half = field.side / 2
        _outline(axes, image, (row - half, col - half, field.side, field.side), edgecolor=EFFECTIVE)


def _outline(axes: Axes, image: tuple[int, ...], box: tuple[float, float, float, float], **style: Any) -> None:
    """Draws a box (top, left, height, width), cut to the image; a side at the border is drawn on the frame."""
    low = max(-0.5, box[0]), max(-0.5, box[1])
    high = min(image[0] - 0.5, box[0] + box[2]), min(image[1] - 0.5, box[1] + box[3])
    corner, width, height = (low[1], low[0]), high[1] - low[1], high[0] - low[0]
    axes.add_patch(Rectangle(corner, width, height, fill=False, linewidth=1.4, clip_on=False, zorder=3, **style))


def sides_plot(
    fields: Mapping[str, EffectiveField], sides: Mapping[str, Side], untrained: Mapping[str, Side]
) -> Figure:
    """Sides of the effective fields by layer with their intervals: in pixels, and as a share of the theoretical ones.

    sides, untrained: layer -> side in pixels, of the net and of the same net with random weights.
    """
    names = [short_name(layer, NAME, from_end=True) for layer in fields]
    letters = max(map(len, names))
    upright = len(fields) * letters > 56  # letters that fit side by side
    below = 0.3 + 0.075 * letters if upright else 0.4
    figure = Figure((WIDTH, 3.1 + below), dpi=110, facecolor=GROUND)
    pixels, shares = panels(figure, 2, above=0.45, below=below, beside=0.25, label="")
    visible = np.array([field.visible for field in fields.values()])
    places = np.arange(len(fields))
    pixels.plot(places, visible, color=INK, linestyle="--", linewidth=1.2, label="all pixels on which it can depend")
    for axes, unit in ((pixels, np.ones_like(visible)), (shares, visible / 100)):
        _line(axes, list(untrained.values()), unit, -0.06, color=UNTRAINED, marker="s", label="random weights")
        _line(axes, list(sides.values()), unit, 0.06, color=EFFECTIVE, marker="o", label="this net")
        axes.set_xlim(-0.4, len(fields) - 0.6)
        axes.set_xticks(places, names, rotation=90 if upright else 0)
        axes.set_ylim(0)
    shares.set_ylim(0, 104)
    pixels.set_title("Side of the square with 95 % of the energy, pixels", **TITLE_STYLE)
    shares.set_title("… as a share of that with all it can depend on, %", **TITLE_STYLE)
    pixels.legend(frameon=False, fontsize=TEXT, labelcolor=INK)
    return figure


def _line(axes: Axes, sides: Sequence[Side], unit: np.ndarray[Any, Any], shift: float, **style: Any) -> None:
    """A line with the ends of the intervals, which lack where there was one image. unit: what counts as 1, by layer."""
    if not sides:
        return
    value = np.array([value for value, _, _ in sides]) / unit
    ends = np.array([[low, high] for _, low, high in sides]) / unit[:, None]
    ends = np.where(np.isfinite(ends), ends, value[:, None])
    errors = np.abs(ends - value[:, None]).T
    axes.errorbar(np.arange(len(sides)) + shift, value, errors, linewidth=1.3, markersize=4.5, capsize=2, **style)
