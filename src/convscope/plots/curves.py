"""Curves over the epochs of a run: loss and accuracy, and when the layers settle."""

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, WIDTH, label_ends, panels
from convscope.plots.series import SERIES, layer_style, series_style

Rows = Sequence[Mapping[str, Any]]  # of metrics.csv; values may be text, empty or absent


class Line(NamedTuple):
    """One column of metrics.csv as a line, with the label at its right end. style: keywords of matplotlib's plot."""

    column: str
    label: str
    style: Mapping[str, Any]


def training_curves(rows: Rows) -> Figure:
    """Loss and accuracy of one run over its epochs, on training and validation images. Missing values are gaps.

    Includes the mean average precision where images show several classes.
    """
    figure = Figure(figsize=(WIDTH, 3.4), dpi=110, facecolor=GROUND)
    loss, accuracy = panels(figure, 2, above=0.4, below=0.55, beside=1.55)
    loss.set_title("Loss", **TITLE_STYLE)
    _draw_lines(loss, rows, _lines(["train/loss", "val/loss"]))
    several = any(row.get("val/mean_ap") for row in rows)
    accuracy.set_title("Accuracy and mean average precision, %" if several else "Accuracy, %", **TITLE_STYLE)
    columns = ["train/top1", "val/top1", "val/top5", "val/class_mean", "val/mean_ap"]
    if _equal(rows, "val/class_mean", "val/top1"):  # with as many images of each class
        columns.remove("val/class_mean")
    _draw_lines(accuracy, rows, _lines(columns), factor=100)
    accuracy.set_ylim(0, 102)
    label_ends(figure)
    return figure


def convergence_curves(rows: Rows, layers: Sequence[str], answer: str) -> Figure:
    """Three panels that show whether lower layers settle first (section 4.1, Fig. 4), with a line for each layer.

    rows: with columns stayed/<layer>, similarity/<layer> and dead/<layer>, as fractions. layers: from the pixels up.
    answer: the sentence below the panels.
    """
    answer_lines = wrap(answer, 170)
    longest = max((len(layer) for layer in layers), default=0)
    height = 3.5 + 0.2 * len(answer_lines) + 0.17 * max(0, len(layers) - 12)
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    three = panels(figure, 3, above=0.8, below=0.6 + 0.2 * len(answer_lines), beside=0.25 + 0.085 * min(longest, 20))
    titles = ["Top-9 images that stayed, %", "Similarity to the projection before", "Dead maps, %"]
    for axes, title, kind in zip(three, titles, ["stayed", "similarity", "dead"], strict=True):
        axes.set_title(title, **TITLE_STYLE)
        lines = [Line(f"{kind}/{layer}", layer, layer_style(i, len(layers))) for i, layer in enumerate(layers)]
        _draw_lines(axes, rows, lines, factor=1 if kind == "similarity" else 100)
        low, high = axes.dataLim.intervaly if axes.get_lines() else (0, 0)
        axes.set_ylim(min(0, low), {"stayed": 102, "similarity": 1.02, "dead": max(10, 1.05 * high)}[kind])
    figure.text(0.012, 1 - 0.3 / height, "Do lower layers settle first?", size=13, color=INK, va="center")
    figure.text(0.012, 0.12 / height, "\n".join(answer_lines), size=TEXT, color=FAINT, va="bottom")
    label_ends(figure)
    return figure


def _lines(columns: Sequence[str]) -> list[Line]:
    return [Line(column, SERIES[column].words, series_style(SERIES[column].number)) for column in columns]


def _equal(rows: Rows, column: str, other: str) -> bool:
    return all(row.get(column) == row.get(other) for row in rows)


def _column(rows: Rows, name: str) -> NDArray[np.float64]:
    """The values of one column, nan where there is none.

    The first value of a comparison with the epoch before is 0 by definition, not by measurement: it becomes nan.
    """
    values = np.array([math.nan if (value := row.get(name)) in (None, "") else float(value) for row in rows])
    measured = np.flatnonzero(np.isfinite(values))
    if name.startswith(("stayed/", "similarity/")) and len(measured) and values[measured[0]] == 0:
        values[measured[0]] = math.nan
    return values


def _draw_lines(axes: Axes, rows: Rows, lines: Sequence[Line], factor: float = 1) -> None:
    """Draws the lines over the epochs at which any of them has a value. A line without a value there shows a gap."""
    values = np.array([_column(rows, line.column) * factor for line in lines]).reshape(len(lines), len(rows))
    measured = np.isfinite(values).any(axis=0)
    epochs = np.array([int(row["epoch"]) for row in rows])[measured]
    size, every = 3.6, max(1, -(-len(epochs) // 16))
    for line, heights in zip(lines, values[:, measured], strict=True):
        if np.isfinite(heights).any():
            axes.plot(
                epochs, heights, **line.style, linewidth=1.7, markersize=size, markevery=every, label=line.label,
                clip_on=False,
            )  # fmt: skip
    if len(epochs) > 1:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    else:
        axes.set_xticks(epochs)
    if not len(epochs):
        axes.text(0.5, 0.5, "nothing measured yet", transform=axes.transAxes, ha="center", color=FAINT, size=TEXT)
