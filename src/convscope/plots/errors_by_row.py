"""The errors of a sweep's rows as dots, with a second panel for the errors that the paper prints."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convscope.plots.lettering import short_name
from convscope.plots.panels import FAINT, GROUND, INK, RULE, TEXT, TITLE_STYLE, WIDTH, style_axes
from convscope.plots.series import NET, PAPER

ROW, ABOVE, BELOW, GAP = 0.3, 0.5, 0.6, 0.5  # inches
MAX_NAME = 42  # characters of a row's name


class RowError(NamedTuple):
    """One row of the plot. error, paper_error: percent, None where there is none. spread: of the error over seeds."""

    name: str
    error: float | None
    spread: float | None = None
    paper_error: float | None = None
    finished: bool = True


def errors_by_row(rows: Sequence[RowError], quantity: str) -> Figure:
    """A line for each row, in their order; a second panel with its own scale where any row has a paper's error.

    quantity: label of the axes. A hollow dot is a run that has not finished.
    """
    both = any(row.paper_error is not None for row in rows)
    height = ABOVE + ROW * len(rows) + BELOW
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    left = 0.35 + 0.072 * max(len(short_name(row.name, MAX_NAME)) for row in rows)
    width = (WIDTH - left - 0.3 - GAP * both) / (1 + both)
    for number, title in enumerate(["Here", "In the paper"][: 1 + both]):
        right = number * (width + GAP)
        axes = figure.add_axes(((left + right) / WIDTH, BELOW / height, width / WIDTH, ROW * len(rows) / height))
        _style(axes, len(rows), title, quantity)
        for place, row in enumerate(rows):
            _draw(axes, place, row, from_paper=bool(number))
        _set_limits(axes)
    figure.axes[0].set_yticks(range(len(rows)), [short_name(row.name, MAX_NAME) for row in rows], size=TEXT, color=INK)
    return figure


def _style(axes: Axes, rows: int, title: str, quantity: str) -> None:
    style_axes(axes)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), [""] * rows)
    axes.set_title(title, **TITLE_STYLE)
    axes.set_xlabel(quantity, color=FAINT, size=TEXT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))


def _draw(axes: Axes, place: int, row: RowError, from_paper: bool) -> None:
    color, value = (PAPER, row.paper_error) if from_paper else (NET, row.error)
    if value is None:
        return
    spread = 0.0 if from_paper else row.spread or 0.0
    if spread:
        axes.plot([value - spread, value + spread], [place, place], color=color, linewidth=2, alpha=0.5)
    fill = color if row.finished or from_paper else "none"
    axes.plot(value, place, "o", markerfacecolor=fill, markeredgecolor=color, markersize=7)
    axes.annotate(
        f"{value:.1f}", (value + spread, place), (8, 0), textcoords="offset points", va="center", size=TEXT, color=INK
    )


def _set_limits(axes: Axes) -> None:
    """Leaves room of a tenth of the values' range at the left and, for the printed numbers, more at the right."""
    low, high = axes.dataLim.x0, axes.dataLim.x1
    if low > high:  # no value
        axes.set_xlim(0, 100)
        return
    span = max(high - low, 1)
    axes.set_xlim(low - 0.1 * span, high + 0.18 * span)
