"""The style of every matplotlib figure: colors, text, panels in a row, labels at the ends of lines.

Figures do not use pyplot, so none stays open. Lines differ in lightness, dashes and the label at their end, not in hue
alone.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convscope.plots.lettering import moved_apart

GROUND, INK, FAINT, RULE = "#fcfcfd", "#26262a", "#70707a", "#e2e2e6"
WIDTH, TEXT = 12.0, 9  # inches, points
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


def label_ends(figure: Figure) -> None:
    """Writes the label of each line at its right end. Labels that would overlap are moved apart."""
    for axes in figure.axes:
        low, high = axes.get_ylim()
        points = axes.get_position().height * figure.get_figheight() * 72
        ends = [_last_point(line) for line in axes.get_lines()]
        heights = moved_apart([(y - low) / (high - low) for _, y in ends], 1.3 * TEXT / points)
        for line, end, height in zip(axes.get_lines(), ends, heights, strict=True):
            leader = {"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.9, "shrinkA": 1, "relpos": (0, 0.5)}
            axes.annotate(
                str(line.get_label()), end, (1.03, height), textcoords="axes fraction", annotation_clip=False,
                va="center", size=TEXT, color=INK, arrowprops=leader,
            )  # fmt: skip


def _last_point(line: Line2D) -> tuple[float, float]:
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    last = np.flatnonzero(np.isfinite(y))[-1]
    return float(x[last]), float(y[last])
