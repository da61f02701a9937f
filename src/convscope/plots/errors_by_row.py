"""The errors of a sweep's rows as dots, and the paper's beside them in a panel of their own."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convscope.plots.panels import FAINT, GROUND, INK, RULE, TEXT, TITLE_STYLE, WIDTH, style_axes

ROW, ABOVE, BELOW, GAP = 0.3, 0.5, 0.6, 0.5  # inches
HERE, PAPER = "#1f3b73", "#b5651d"
MAX_NAME = 42  # characters of a row's name


class RowError(NamedTuple):
    """One row: percent here and in the paper, None where there is none. spread: over seeds. whole: the run finished."""

    name: str
    here: float | None
    spread: float | None = None
    paper: float | None = None
    whole: bool = True


def errors_by_row(dots: Sequence[RowError], what: str) -> Figure:
    """A line for each row, in the order given; two panels with a scale each where a paper's numbers are among them.

    what: is measured, for the axes. A hollow dot is a run that has not finished.
    """
    both = any(dot.paper is not None for dot in dots)
    height = ABOVE + ROW * len(dots) + BELOW
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    left = 0.35 + 0.072 * max(len(_name(dot)) for dot in dots)
    width = (WIDTH - left - 0.3 - GAP * both) / (1 + both)
    panels = [("Here", HERE, 0), ("In the paper", PAPER, width + GAP)][: 1 + both]
    for title, color, right in panels:
        axes = figure.add_axes(((left + right) / WIDTH, BELOW / height, width / WIDTH, ROW * len(dots) / height))
        _dress(axes, len(dots), title, what)
        for place, dot in enumerate(dots):
            value = dot.here if title == "Here" else dot.paper
            spread = dot.spread if title == "Here" else None
            if value is not None:
                _draw(axes, place, value, spread, color if dot.whole or title != "Here" else "none")
        _room(axes)
    figure.axes[0].set_yticks(range(len(dots)), [_name(dot) for dot in dots], size=TEXT, color=INK)
    return figure


def _name(dot: RowError) -> str:
    return dot.name if len(dot.name) <= MAX_NAME else dot.name[: MAX_NAME - 1] + "…"


def _dress(axes: Axes, rows: int, title: str, what: str) -> None:
    style_axes(axes)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), [""] * rows)
    axes.set_title(title, **TITLE_STYLE)
    axes.set_xlabel(what, color=FAINT, size=TEXT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))


def _draw(axes: Axes, place: int, value: float, spread: float | None, fill: str) -> None:
    color = fill if fill != "none" else HERE
    if spread:
        axes.plot([value - spread, value + spread], [place, place], color=color, linewidth=2, alpha=0.5)
    axes.plot(value, place, "o", markerfacecolor=fill, markeredgecolor=color, markersize=7)
    axes.annotate(f"{value:.1f}", (value, place), (8, 0), textcoords="offset points", va="center", size=TEXT, color=INK)


def _room(axes: Axes) -> None:
    """A tenth of the values' range at the left and, for the numbers, more at the right."""
    low, high = axes.dataLim.x0, axes.dataLim.x1
    if low > high:  # no value
        axes.set_xlim(0, 100)
        return
    span = max(high - low, 1)
    axes.set_xlim(low - 0.1 * span, high + 0.18 * span)
