"""Receptive fields over an image: how much of it one unit of each layer sees, and how far apart the units are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convscope.plots.lettering import moved_apart, short_name
from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, WIDTH
from convscope.plots.tile import Tile

HEIGHT, LARGE = 5.85, 5.1  # inches: of the figure, of the large image
COLUMNS, SMALL, LEFT = 2, 1.27, 7.9  # small images in a row; inches of a small image, and from the left to the first
MAX_LAYERS = 6  # layers that a reader can distinguish
MAX_NAME = 22  # letters of a layer's name


class LayerField(NamedTuple):
    """The receptive fields of a layer, in pixels of the image.

    box: top, left, height and width of the central unit's field; None where a field is always the whole image. rows,
    cols: centers of the units' fields.
    """

    name: str
    box: tuple[int, int, int, int] | None
    rows: Sequence[float] = ()
    cols: Sequence[float] = ()

    def covers(self, image: Tile) -> bool:
        """Whether the field covers the image."""
        return self.box is None or (self.box[2] >= image.shape[0] and self.box[3] >= image.shape[1])


def receptive_field_figure(image: Tile, fields: Sequence[LayerField]) -> Figure:
    """The central units' fields as nested boxes; at the right the units' centers in the first layer of each stride.

    fields: up to nine layers, from the pixels up. A field that covers the image is drawn as the image's border.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=110, facecolor=GROUND)
    figure.text(0.012, 1 - 0.3 / HEIGHT, "How much of the image one unit sees", size=13, color=INK, va="center")
    figure.text(
        LEFT / WIDTH, 1 - 0.3 / HEIGHT, "Where the units are, as the stride grows", size=13, color=INK, va="center"
    )
    _boxes(figure.add_axes((0.12 / WIDTH, 0.12 / HEIGHT, LARGE / WIDTH, LARGE / HEIGHT)), image, fields)
    placed = {(tuple(field.rows), tuple(field.cols)): field for field in reversed(fields) if field.rows and field.cols}
    for number, field in enumerate(list(placed.values())[::-1][: 3 * COLUMNS]):
        x, y = LEFT + number % COLUMNS * (SMALL + 0.75), HEIGHT - 2.28 - number // COLUMNS * (SMALL + 0.5)
        _dots(figure.add_axes((x / WIDTH, y / HEIGHT, SMALL / WIDTH, SMALL / HEIGHT)), image, field)
    return figure


def _boxes(axes: Axes, image: Tile, fields: Sequence[LayerField]) -> None:
    height, width = image.shape[:2]
    _bare(axes, image, 1.0)
    edge = 0.06 * max(height, width)  # fields of units near the middle may leave the image
    axes.set_xlim(-0.5 - edge, width - 0.5 + edge)
    axes.set_ylim(height - 0.5 + edge, -0.5 - edge)
    corners = []
    shades = colormaps["plasma"](np.linspace(0.05, 0.9, max(2, len(fields))))
    for number, field in enumerate(fields):
        top, left, tall, wide = (0, 0, height, width) if field.covers(image) or field.box is None else field.box
        line: dict[str, Any] = {
            "edgecolor": shades[number],
            "linewidth": 1.8,
            "linestyle": ["-", (0, (4, 1.5))][number % 2],
        }
        box = Rectangle((left - 0.5, top - 0.5), wide, tall, fill=False, zorder=3, **line)
        box.set_path_effects([patheffects.Stroke(linewidth=3.6, foreground="white", alpha=0.85), patheffects.Normal()])
        axes.add_patch(box)
        corners.append((left + wide - 0.5, top - 0.5))
    _labels(axes, image, fields, corners)


def _labels(axes: Axes, image: Tile, fields: Sequence[LayerField], corners: Sequence[tuple[float, float]]) -> None:
    """Writes each layer's name and size at the right of the image, with a line to the upper right corner of its box."""
    bottom, top = axes.get_ylim()
    inches = axes.get_position().height * HEIGHT
    order = sorted(range(len(fields)), key=lambda number: (-corners[number][1], number))  # the smallest box lowest
    corner_heights = [(corners[number][1] - bottom) / (top - bottom) for number in order]
    heights = moved_apart(corner_heights, 2.9 * TEXT / 72 / inches)
    for number, height in zip(order, heights, strict=True):
        leader = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.9, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
        words = axes.annotate(
            _words(fields[number], image), corners[number], (1.04, height), textcoords="axes fraction", va="center",
            size=TEXT, color=INK, arrowprops=leader, annotation_clip=False, linespacing=1.25,
        )  # fmt: skip
        assert words.arrow_patch
        words.arrow_patch.set_path_effects([patheffects.withStroke(linewidth=2.4, foreground="white", alpha=0.8)])


def _words(field: LayerField, image: Tile) -> str:
    if field.box is None:
        return f"{_name(field)}\nthe whole image"
    size = _sides(field.box[2], field.box[3])
    return f"{_name(field)}\n" + (f"the whole image ({size} px)" if field.covers(image) else f"{size} px")


def _dots(axes: Axes, image: Tile, field: LayerField) -> None:
    _bare(axes, image, 0.6)
    height, width = image.shape[:2]
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    spacing = _spacing(field.cols, width) * SMALL * 72 / width  # points from dot to dot
    x, y = np.meshgrid(field.cols, field.rows)
    size = min(3.5, 0.4 * spacing)  # however dense the dots, the image stays visible
    axes.plot(x.ravel(), y.ravel(), "o", color="#1f3b73", markersize=size, markeredgewidth=0, snap=False)
    steps = _sides(*(round(_spacing(centers, 0)) for centers in (field.rows, field.cols)))
    spacing_text = f"every {steps} px" if len(field.cols) > 1 else "one place"
    axes.set_title(
        f"{_name(field)}\n{len(field.rows)} × {len(field.cols)}, {spacing_text}", **TITLE_STYLE | {"size": TEXT}
    )


def _spacing(centers: Sequence[float], alone: float) -> float:
    return centers[1] - centers[0] if len(centers) > 1 else alone


def _bare(axes: Axes, image: Tile, strength: float) -> None:
    axes.imshow(image, alpha=strength, interpolation="bilinear")
    axes.set_axis_off()


def _name(field: LayerField) -> str:
    return short_name(field.name, MAX_NAME, from_end=True)


def _sides(rows: int, cols: int) -> str:
    return str(rows) if rows == cols else f"{rows} × {cols}"
