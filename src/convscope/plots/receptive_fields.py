"""Receptive fields over an image: how much one unit of each layer sees, and how far apart its units are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convscope.plots.lettering import moved_apart
from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, WIDTH
from convscope.plots.tile import Tile

HEIGHT, BIG = 5.85, 5.1  # inches: of the figure, of the large image
COLUMNS, SMALL, RIGHT = 2, 1.27, 7.9  # small images in a row, their inches, where the first one starts
MAX_LAYERS = 6  # layers that can still be told apart
LETTERS = 22  # of a layer's name


class LayerField(NamedTuple):
    """A layer. top, left, height, width: its central unit's field, pixels, None where it is always the whole image.

    rows, cols: pixels at which the centers of its units' fields lie.
    """

    name: str
    box: tuple[int, int, int, int] | None
    rows: Sequence[float] = ()
    cols: Sequence[float] = ()

    def whole(self, image: Tile) -> bool:
        """Whether the field is no smaller than the image."""
        return self.box is None or (self.box[2] >= image.shape[0] and self.box[3] >= image.shape[1])


def receptive_field_figure(image: Tile, sights: Sequence[LayerField]) -> Figure:
    """Left the central units' fields as nested boxes, right the centers of all units of the first layer of each stride.

    sights: from the pixels up, up to nine. A field that is no smaller than the image is drawn as its border.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=110, facecolor=GROUND)
    figure.text(0.012, 1 - 0.3 / HEIGHT, "How much of the image one unit sees", size=13, color=INK, va="center")
    figure.text(
        RIGHT / WIDTH, 1 - 0.3 / HEIGHT, "Where the units are, as the stride grows", size=13, color=INK, va="center"
    )
    _boxes(figure.add_axes((0.12 / WIDTH, 0.12 / HEIGHT, BIG / WIDTH, BIG / HEIGHT)), image, sights)
    placed = {(tuple(one.rows), tuple(one.cols)): one for one in reversed(sights) if one.rows and one.cols}
    for number, sight in enumerate(list(placed.values())[::-1][: 3 * COLUMNS]):
        x, y = RIGHT + number % COLUMNS * (SMALL + 0.75), HEIGHT - 2.28 - number // COLUMNS * (SMALL + 0.5)
        _dots(figure.add_axes((x / WIDTH, y / HEIGHT, SMALL / WIDTH, SMALL / HEIGHT)), image, sight)
    return figure


def _boxes(axes: Axes, image: Tile, sights: Sequence[LayerField]) -> None:
    height, width = image.shape[:2]
    _bare(axes, image, 1.0)
    edge = 0.06 * max(height, width)  # fields of units near the middle may leave the image
    axes.set_xlim(-0.5 - edge, width - 0.5 + edge)
    axes.set_ylim(height - 0.5 + edge, -0.5 - edge)
    corners = []
    shades = colormaps["plasma"](np.linspace(0.05, 0.9, max(2, len(sights))))
    for number, sight in enumerate(sights):
        top, left, tall, wide = (0, 0, height, width) if sight.whole(image) or sight.box is None else sight.box
        line: dict[str, Any] = {
            "edgecolor": shades[number],
            "linewidth": 1.8,
            "linestyle": ["-", (0, (4, 1.5))][number % 2],
        }
        box = Rectangle((left - 0.5, top - 0.5), wide, tall, fill=False, zorder=3, **line)
        box.set_path_effects([patheffects.Stroke(linewidth=3.6, foreground="white", alpha=0.85), patheffects.Normal()])
        axes.add_patch(box)
        corners.append((left + wide - 0.5, top - 0.5))
    _labels(axes, image, sights, corners)


def _labels(axes: Axes, image: Tile, sights: Sequence[LayerField], corners: Sequence[tuple[float, float]]) -> None:
    """Each layer's words beside the image, with a line to the upper right corner of its box."""
    bottom, top = axes.get_ylim()
    inches = axes.get_position().height * HEIGHT
    order = sorted(range(len(sights)), key=lambda number: (-corners[number][1], number))  # the smallest box lowest
    wanted = [(corners[number][1] - bottom) / (top - bottom) for number in order]
    heights = moved_apart(wanted, 2.9 * TEXT / 72 / inches)
    for number, height in zip(order, heights, strict=True):
        leader = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.9, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
        words = axes.annotate(
            _words(sights[number], image), corners[number], (1.04, height), textcoords="axes fraction", va="center",
            size=TEXT, color=INK, arrowprops=leader, annotation_clip=False, linespacing=1.25,
        )  # fmt: skip
        assert words.arrow_patch
        words.arrow_patch.set_path_effects([patheffects.withStroke(linewidth=2.4, foreground="white", alpha=0.8)])


def _words(sight: LayerField, image: Tile) -> str:
    if sight.box is None:
        return f"{_short(sight.name)}\nthe whole image"
    size = _sides(sight.box[2], sight.box[3])
    return f"{_short(sight.name)}\n" + (f"the whole image ({size} px)" if sight.whole(image) else f"{size} px")


def _dots(axes: Axes, image: Tile, sight: LayerField) -> None:
    _bare(axes, image, 0.6)
    height, width = image.shape[:2]
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    spacing = _spacing(sight.cols, width) * SMALL * 72 / width  # points from dot to dot
    x, y = np.meshgrid(sight.cols, sight.rows)
    size = min(3.5, 0.4 * spacing)  # the image shows through, however dense they are
    axes.plot(x.ravel(), y.ravel(), "o", color="#1f3b73", markersize=size, markeredgewidth=0, snap=False)
    steps = _sides(*(round(_spacing(centers, 0)) for centers in (sight.rows, sight.cols)))
    apart_ = f"every {steps} px" if len(sight.cols) > 1 else "one place"
    axes.set_title(
        f"{_short(sight.name)}\n{len(sight.rows)} × {len(sight.cols)}, {apart_}", **TITLE_STYLE | {"size": TEXT}
    )


def _spacing(centers: Sequence[float], alone: float) -> float:
    return centers[1] - centers[0] if len(centers) > 1 else alone


def _bare(axes: Axes, image: Tile, strength: float) -> None:
    axes.imshow(image, alpha=strength, interpolation="bilinear")
    axes.set_axis_off()


def _sides(rows: int, cols: int) -> str:
    return str(rows) if rows == cols else f"{rows} × {cols}"


def _short(name: str) -> str:
    """The end of a long module path tells more than its beginning."""
    return name if len(name) <= LETTERS else "…" + name[1 - LETTERS :]
