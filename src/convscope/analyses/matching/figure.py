"""How much of each layer recurs, CKA layer by layer, and matched maps side by side."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from convscope.analyses.correspondence.figure import Course, by_layer
from convscope.analyses.matching.compute import Matching
from convscope.analyses.visualize.compute import FeatureView
from convscope.analyses.visualize.figure import map_tiles
from convscope.plots.grid import MapTiles, top9_grid
from convscope.plots.panels import FAINT, GROUND, INK, TEXT

EXPECTED = 0.05  # the share of the null's matches that lie above its 95 % quantile
CELL = 0.62  # inches
SHARE, CORRELATION, CKA = "Share of maps that recur", "Correlation of matched maps", "Linear CKA of the layers"


def recurrence_plot(matching: Matching, untrained: Matching | None, other: str = "other net") -> Figure:
    """The share of maps that recur, the correlation of matches and CKA by layer, each beside its nulls.

    Bands: 95 % intervals; of shuffled images the range of the shuffles. untrained: the same with an untrained net.
    other: what the second net is called.
    """
    layers = [layer for layer, _ in matching.layers]
    even = [EXPECTED] * len(layers)
    null = [match.null.mean(1) if match.null.size else np.array([np.nan]) for match in matching.layers.values()]
    shuffled = [matching.cka.shuffled[:, number, number] for number in range(len(layers))]
    sides: dict[str, list[Course]] = {SHARE: [], CORRELATION: [], CKA: []}
    for label, compared in ((other, matching), ("untrained", untrained)):
        if compared is not None:
            matches = compared.layers.values()
            sides[SHARE].append(Course(label, *_ends([match.share for match in matches])))
            sides[CORRELATION].append(Course(label, *_ends([match.mean for match in matches])))
            sides[CKA].append(
                Course(label, *_ends([compared.cka.interval(place, place) for place in range(len(layers))]))
            )
    sides[SHARE].append(Course("shuffled", even, even, even))
    sides[CORRELATION].append(Course("shuffled", *_spans(null)))
    sides[CKA].append(Course("shuffled", *_spans(shuffled)))
    net = "untrained net" if other == "untrained" else other
    return by_layer(layers, sides, f"The same features in the {net}? Shuffled: with the images of one net shuffled")


def _ends(intervals: Sequence[tuple[float, float, float, int]]) -> tuple[list[float], list[float], list[float]]:
    """Values, low and high ends of metrics/intervals.Interval."""
    return [value for value, *_ in intervals], [low for _, low, *_ in intervals], [high for *_, high, _ in intervals]


def _spans(values: Sequence[NDArray[np.float64]]) -> tuple[list[float], list[float], list[float]]:
    """Mean, smallest and largest of each layer's values."""
    return (
        [float(of_layer.mean()) for of_layer in values],
        [float(of_layer.min()) for of_layer in values],
        [float(of_layer.max()) for of_layer in values],
    )


def cka_plot(values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], names: Sequence[str]) -> Figure:
    """CKA of the layers of the first net (rows) with those of the second (columns). names: of both nets."""
    left, above = (0.5 + 0.085 * max(map(len, labels)) for labels in (rows, columns))
    size = left + CELL * len(columns) + 0.3, above + 0.45 + CELL * len(rows) + 0.15
    size = max(size[0], 4.2), size[1]
    figure = Figure(figsize=size, dpi=110, facecolor=GROUND)
    box = left / size[0], 0.1 / size[1], CELL * len(columns) / size[0], CELL * len(rows) / size[1]
    axes = figure.add_axes(box)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelsize=TEXT, colors=INK)
    for (row, col), value in np.ndenumerate(values):
        text = f"{value:.2f}" if np.isfinite(value) else "–"
        axes.text(col, row, text, ha="center", va="center", size=TEXT, color=GROUND if value > 0.55 else INK)
    figure.text(0.1 / size[0], 1 - 0.1 / size[1], f"rows: {names[0]}\ncolumns: {names[1]}", va="top", color=FAINT,
                size=TEXT)  # fmt: skip
    return figure


class MatchedView(NamedTuple):
    """Maps of several nets, each with its partners at the same position. captions: by net and position."""

    views: Sequence[FeatureView]
    captions: Sequence[Sequence[str]]


def matched_grid(matched: MatchedView, title: str, side: int) -> Image.Image:
    """A row for each map: nine projections and nine patches of it, and beside them those of its partners."""
    blocks = []
    for position in range(len(matched.views[0].maps)):
        for view, captions in zip(matched.views, matched.captions, strict=True):
            tiles = map_tiles(view, position, side)
            blocks.append(MapTiles(captions[position], tiles.projections, tiles.patches))
    note = f"projections by {matched.views[0].rule.words}"
    if any(len(block.projections) < 9 for block in blocks):
        note += " · an empty square: no further image excites the map"
    return top9_grid(blocks, title, columns=len(matched.views), side=side, note=note).image
