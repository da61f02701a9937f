"""The confusion matrix as a picture: with names and numbers for a few classes, as a map for a thousand."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, style_axes

LABELLED = 30  # classes that can still be named
NUMBERED = 20  # classes whose numbers can still be read
_PIXELS = 900  # of the map's side; more classes than that share pixels, the largest share shows


def confusion_plot(counts: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """counts [C, C + 1]: rows true, columns answered, the last one any other answer, left out where it is empty.

    Cells are shares of their row, dark for much. Small shares are drawn darker than they are (square root), so that
    single mistakes show.
    """
    other = bool(counts[:, -1].any())
    shown = counts if other else counts[:, :-1]
    shares = shown / np.maximum(counts.sum(1, keepdims=True), 1)
    if len(classes) <= LABELLED:
        return _named(shares, shown, [*classes, *(["another class"] if other else [])])
    return _map(shares)


def _named(shares: NDArray[np.float64], counts: NDArray[np.int64], columns: Sequence[str]) -> Figure:
    rows, width = counts.shape
    cell, longest = max(0.32, min(0.62, 6 / width)), 0.075 * max(map(len, columns))
    size = longest + 0.5 + cell * width + 0.2, longest + 0.7 + cell * rows + 0.2
    figure = Figure(figsize=size, dpi=110, facecolor=GROUND)
    axes = figure.add_axes(((longest + 0.4) / size[0], 0.1 / size[1], cell * width / size[0], cell * rows / size[1]))
    _shade(axes, shares)
    axes.set_xticks(range(width), columns, rotation=90)
    axes.set_yticks(range(rows), columns[:rows])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelsize=TEXT, colors=INK)
    if rows <= NUMBERED:
        for row, col in zip(*np.nonzero(counts), strict=True):
            color = GROUND if shares[row, col] > 0.4 else INK
            axes.text(col, row, str(counts[row, col]), ha="center", va="center", size=TEXT, color=color)
    figure.text(0.06 / size[0], 1 - 0.08 / size[1], "true class (rows), answer (columns)", ha="left", va="top",
                color=FAINT, size=TEXT)  # fmt: skip
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
    axes.set_title(f"{rows} true classes (rows, from the top) and answers (columns, from the left)", **TITLE_STYLE)
    return figure


def _shade(axes: Axes, shares: NDArray[np.float64]) -> None:
    style_axes(axes)
    axes.grid(False)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")


def _pooled(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same, or of blocks of cells the largest, so that no cell is lost between pixels."""
    block = -(-max(shares.shape) // _PIXELS)
    rows, cols = (-(-size // block) * block for size in shares.shape)
    padded = np.zeros((rows, cols))
    padded[: shares.shape[0], : shares.shape[1]] = shares
    return padded.reshape(rows // block, block, cols // block, block).max((1, 3))
