"""The style of every matplotlib figure: colors, text, panels in a row, labels at the ends of lines.

Figures do not use pyplot, so none stays open. Lines differ in lightness, dashes and the label at their end, not in hue
alone.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

from convscope.plots.lettering import moved_apart

GROUND, INK, FAINT, RULE = "#fcfcfd", "#26262a", "#70707a", "#e2e2e6"
WIDTH, TEXT = 12.0, 9  # inches, points
APART, SPREAD = 3.5, 14.0  # most points between the bars of two series, and between those of the first and the last
LEADER = 9  # points from the axes to the key of a label
LEADER_STYLE: dict[str, Any] = {"arrowstyle": "-", "color": "#a8a8b0", "linewidth": 0.6, "relpos": (0, 0.5)}
TITLE_STYLE: dict[str, Any] = {"loc": "left", "size": 11, "color": INK}


def panels(figure: Figure, count: int, above: float, below: float, beside: float, label: str = "epoch") -> list[Axes]:
    """Adds `count` empty panels in a row. above, below, beside (at the right): inches of room around each panel.

    The positions are computed here, because matplotlib's automatic layouts draw the figure several times.
    """
    height, step = figure.get_figheight(), (WIDTH - 0.15) / count
    row = []
    for number in range(count):
        left, width = 0.5 + number * step, step - 0.5 - beside
        axes = figure.add_axes((left / WIDTH, below / height, width / WIDTH, (height - above - below) / height))
        style_axes(axes)
        axes.set_xlabel(label, color=FAINT, size=TEXT)
        row.append(axes)
    return row


def style_axes(axes: Axes) -> None:
    """Sets background, frame, grid lines and text of a plot."""
    axes.set_facecolor(GROUND)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.tick_params(colors=FAINT, labelsize=TEXT, length=0)


def beside_each_other(count: int) -> list[float]:
    """How far right, in points, each of `count` series with bars is drawn, so that no bar covers another."""
    apart = min(APART, SPREAD / max(1, count - 1))
    return [apart * (number - (count - 1) / 2) for number in range(count)]


def draw_with_bars(
    axes: Axes, x: ArrayLike, heights: ArrayLike, bars: tuple[ArrayLike, ArrayLike], beside: float, **look: Any
) -> None:
    """Draws a line and its bars from the first to the second of `bars`, `beside` points right of their places.

    look: keywords of matplotlib's plot.
    """
    place = axes.transData + ScaledTranslation(beside / 72, 0, axes.figure.dpi_scale_trans)
    axes.plot(x, heights, transform=place, clip_on=False, **look)
    axes.vlines(x, *bars, color=look["color"], linewidth=1.3, transform=place)
    axes.update_datalim(
        list(zip(np.asarray(x, float), np.asarray(heights, float), strict=True))
    )  # shifted: not counted


def label_ends(figure: Figure) -> None:
    """Writes the label of each line at its right end, after its marker or a piece of it.

    Labels that would overlap are moved apart. Thin gray leaders, which no curve looks like, join them to their ends.
    """
    for axes in figure.axes:
        low, high = axes.get_ylim()
        points = axes.get_position().height * figure.get_figheight() * 72
        wide = axes.get_position().width * figure.get_figwidth() * 72
        ends = [_last_point(line) for line in axes.get_lines()]
        key = 6.0 if all(map(_is_marked, axes.get_lines())) else 15.0
        heights = moved_apart([(y - low) / (high - low) for _, y in ends], 1.3 * TEXT / points)
        for line, end, height in zip(axes.get_lines(), ends, heights, strict=True):
            _draw_key(figure, axes, line, height, key)
            axes.annotate(
                str(line.get_label()), end, (1 + (LEADER + key + 3) / wide, height), textcoords="axes fraction",
                annotation_clip=False, va="center", size=TEXT, color=INK,
                arrowprops={**LEADER_STYLE, "shrinkA": key + 4, "shrinkB": 4},
            )  # fmt: skip


def _draw_key(figure: Figure, axes: Axes, line: Line2D, height: float, width: float) -> None:
    """Draws the marker of the line, or a piece of a line without one, right of the axes.

    height: a fraction of the axes. width: of the piece, in points; a marker is in its middle.
    """
    points = 72 * axes.get_position().width * figure.get_figwidth()
    places = [LEADER + width / 2] if _is_marked(line) else [LEADER, LEADER + width]
    figure.add_artist(
        Line2D(
            [1 + place / points for place in places], [height] * len(places), color=line.get_color(),
            linestyle=line.get_linestyle(), linewidth=line.get_linewidth(), marker=line.get_marker(), markersize=5,
            transform=axes.transAxes,
        )
    )  # fmt: skip


def _is_marked(line: Line2D) -> bool:
    return line.get_marker() not in (None, "", "None", " ")


def _last_point(line: Line2D) -> tuple[float, float]:
    """Where the line ends, in the units of its axes."""
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    last = np.flatnonzero(np.isfinite(y))[-1]
    axes: Any = line.axes
    shifted = axes.transData.inverted().transform(line.get_transform().transform((x[last], y[last])))
    return float(shifted[0]), float(shifted[1])
