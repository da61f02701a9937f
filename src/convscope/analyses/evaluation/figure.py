"""The confusion matrix, with names and numbers for a few classes and as a map for a thousand; Table 6 as dots."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.analyses.evaluation.compute.multilabel import ClassPrecision
from convscope.plots.errors_by_row import RowError, errors_by_row
from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, style_axes

LABELLED = 30  # more classes have no room for their names
NUMBERED = 20  # more classes have no room for their numbers
TRUE_CLASS, PREDICTED_CLASS = "true class", "predicted class"  # rows, columns
SHADES = "images; shades: share of the true class (square root)"
ZEILER_FERGUS = "Zeiler & Fergus"  # a column of the paper's Table 6
_PIXELS = 900  # of the map's side; more classes than that share pixels, and the largest share shows


def confusion_plot(counts: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """A figure of counts [C, C + 1]: rows are true classes, columns predicted ones.

    The last column, for any other class, is left out where it is empty. A cell's shade is its share of the row. Small
    shares are drawn darker than they are (square root), so that single mistakes show.
    """
    other_answers = bool(counts[:, -1].any())
    cells = counts if other_answers else counts[:, :-1]
    shares = cells / np.maximum(counts.sum(1, keepdims=True), 1)
    if len(classes) <= LABELLED:
        return _labelled_matrix(shares, cells, [*classes, *(["another class"] if other_answers else [])])
    return _map(shares)


def _labelled_matrix(shares: NDArray[np.float64], counts: NDArray[np.int64], columns: Sequence[str]) -> Figure:
    rows, width = counts.shape
    cell, longest = max(0.32, min(0.62, 6 / width)), 0.075 * max(map(len, columns))
    size = longest + 0.75 + cell * width + 0.2, longest + 0.6 + cell * rows + 0.2
    figure = Figure(figsize=size, dpi=110, facecolor=GROUND)
    axes = figure.add_axes(((longest + 0.65) / size[0], 0.1 / size[1], cell * width / size[0], cell * rows / size[1]))
    _shade(axes, shares)
    axes.set_xticks(range(width), columns, rotation=90)
    axes.set_yticks(range(rows), columns[:rows])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelsize=TEXT, colors=INK)
    if rows <= NUMBERED:
        for row, col in zip(*np.nonzero(counts), strict=True):
            color = GROUND if shares[row, col] > 0.4 else INK
            axes.text(col, row, str(counts[row, col]), ha="center", va="center", size=TEXT, color=color)
    _name_axes(axes)
    figure.text(0.06 / size[0], 1 - 0.08 / size[1], SHADES, ha="left", va="top", color=FAINT, size=TEXT - 1)
    return figure


def _map(shares: NDArray[np.float64]) -> Figure:
    side = 10.0
    figure = Figure(figsize=(side, side), dpi=110, facecolor=GROUND)
    axes = figure.add_axes((0.07, 0.03, 0.9, 0.9))
    _shade(axes, _pooled(shares))
    rows, width = shares.shape
    axes.set_xlim(-0.5, axes.get_images()[0].get_size()[1] - 0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    _name_axes(axes)
    axes.set_title(f"{rows} classes, from the top and from the left; shades: share of the true class", **TITLE_STYLE)
    return figure


def _name_axes(axes: Axes) -> None:
    """Writes what rows and columns are, alike for every confusion matrix."""
    axes.set_ylabel(TRUE_CLASS, color=FAINT, size=TEXT)
    axes.set_xlabel(PREDICTED_CLASS, color=FAINT, size=TEXT)
    axes.xaxis.set_label_position("top")


def _shade(axes: Axes, shares: NDArray[np.float64]) -> None:
    style_axes(axes)
    axes.grid(False)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")


def _pooled(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shares, or the largest of each block of cells, so that no cell is lost between pixels."""
    block = -(-max(shares.shape) // _PIXELS)
    rows, cols = (-(-size // block) * block for size in shares.shape)
    padded = np.zeros((rows, cols))
    padded[: shares.shape[0], : shares.shape[1]] = shares
    return padded.reshape(rows // block, block, cols // block, block).max((1, 3))


def precision_plot(precisions: Sequence[ClassPrecision]) -> Figure:
    """The average precision of each class by the first net or classifier, beside that of the paper's net."""
    dots = []
    for row in precisions:
        value = next(iter(row.precision.values())).value
        printed = row.printed[ZEILER_FERGUS]
        percent = 100 * value if np.isfinite(value) else None
        dots.append(RowError(row.name, percent, paper_error=printed.value if printed else None))
    return errors_by_row(dots, "average precision, %")
