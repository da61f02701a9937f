"""The paper's claims as a forest plot: the interval of each claim against its bound, and the verdict in words."""

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convscope.plots import series
from convscope.plots.panels import FAINT, GROUND, INK, RULE, TEXT, WIDTH

ROW, HEAD, FOOT = 0.52, 0.85, 0.5  # inches
COLORS = {"holds": series.COLORS[0], "does not hold": series.COLORS[1], "not enough data": FAINT}
MARKS = {"holds": "o", "does not hold": "X", "not enough data": "D"}
CLAIM, VERDICT = 0.012, 0.845  # where the words begin, as shares of the width
LEFT, RIGHT = 0.40, 0.82  # the room of the intervals


class IntervalBar(NamedTuple):
    """One claim. value, low, high: nan where nothing was measured. size: what an excess over bound must reach to count.

    verdict: "holds", "does not hold" or "not enough data".
    """

    claim: str
    value: float
    low: float
    high: float
    bound: float
    size: float
    verdict: str


def forest(bars: Sequence[IntervalBar], title: str) -> Figure:
    """A row for each claim: an interval right of the line speaks for the claim, one left of the line against it.

    Every row has its own scale, because the claims have no unit in common.
    """
    height = HEAD + ROW * len(bars) + FOOT
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    axes = figure.add_axes((LEFT, FOOT / height, RIGHT - LEFT, ROW * len(bars) / height))
    axes.set_xlim(-1, 1)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_axis_off()
    axes.axvline(0, color=INK, linewidth=1)
    for row, bar in enumerate(bars):
        axes.axhline(row + 0.5, color=RULE, linewidth=0.8)
        _draw(axes, row, bar)
        middle = (FOOT + ROW * (len(bars) - row - 0.5)) / height
        figure.text(CLAIM, middle, "\n".join(wrap(bar.claim, 58)), size=TEXT, color=INK, va="center")
        color = COLORS[bar.verdict]
        figure.text(VERDICT, middle, bar.verdict, size=TEXT, color=color, va="center", weight="bold")
    figure.text(CLAIM, 1 - 0.3 / height, title, size=13, color=INK, va="center")
    below = "begins right of the line: holds; else, ends left of it or in the shade: does not hold; each row: own scale"
    top = 1 - 0.68 / height
    figure.text(LEFT, top, "against the claim", size=TEXT, color=FAINT, va="center")
    figure.text(RIGHT, top, "for the claim", size=TEXT, color=FAINT, va="center", ha="right")
    figure.text((LEFT + RIGHT) / 2, 0.2 / height, below, size=TEXT, color=FAINT, va="center", ha="center")
    return figure


def _draw(axes: Axes, row: int, bar: IntervalBar) -> None:
    ends = [bar.low - bar.bound, bar.value - bar.bound, bar.high - bar.bound]
    if not all(abs(end) < float("inf") for end in ends):  # nan too
        axes.text(0.03, row, "not measured", size=TEXT, color=FAINT, va="center")
        return
    scale = 1.15 * max(*map(abs, ends), bar.size, 1e-9)
    low, value, high = (end / scale for end in ends)
    color, edge = COLORS[bar.verdict], row + 0.16
    axes.fill_between([0, bar.size / scale], row - 0.36, row + 0.36, color=RULE, linewidth=0)
    axes.plot([low, high], [edge, edge], color=color, linewidth=2.4, solid_capstyle="butt")
    axes.plot(value, edge, MARKS[bar.verdict], color=color, markersize=7)
    words = f"{bar.value:.2g}  [{bar.low:.2g}, {bar.high:.2g}]" + (f"  bound {bar.bound:g}" if bar.bound else "")
    x = (-1.0 if value < -0.5 else -0.03) if value < 0 else (0.03 if value < 0.5 else 1.0)  # the line crosses no words
    side = "left" if x in (-1.0, 0.03) else "right"
    axes.text(x, row - 0.22, words, size=TEXT - 1, color=INK, va="center", ha=side)
