"""How well frozen features classify, as curves: over the layers (Table 7) and over the training images (Fig. 9)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convscope.plots.panels import (
    FAINT,
    GROUND,
    TEXT,
    TITLE_STYLE,
    WIDTH,
    beside_each_other,
    draw_with_bars,
    label_ends,
    panels,
)
from convscope.plots.series import NULL, PAPER, layer_style, series_style

FIXED: dict[str, dict[str, Any]] = {
    "paper": {"color": PAPER, "linestyle": (0, (6, 2)), "marker": "P"},
    "random": {"color": NULL, "linestyle": "-.", "marker": "X"},
    "chance": {"color": FAINT, "linestyle": ":", "marker": ""},
}


class Curve(NamedTuple):
    """A line with the label at its end. x: numbers, or names for places of equal distance. mean, spread: in percent.

    kind: "ours", "best" (thick), "other" (a net to compare with), "random" (a net with random weights), "paper" or
    "chance".
    """

    label: str
    x: Sequence[Any]
    mean: Sequence[float]
    spread: Sequence[float]
    kind: str = "ours"


def transfer_curves(by_layer: Sequence[Curve], by_images: Sequence[Curve], titles: tuple[str, str]) -> Figure:
    """Two panels: accuracy over the layers, and over the training images of a class; bars: +- standard deviation.

    Only the first where no layer has been tried with different numbers of training images.
    """
    longest = max((len(str(name)) for name in by_layer[0].x), default=0)
    tilted = longest * len(by_layer[0].x) > 48  # letters that fit below the panel
    room = 0.055 * longest if tilted else 0.0  # inches
    figure = Figure(figsize=(WIDTH, 4.4 + room), dpi=110, facecolor=GROUND)
    sized = any(len(curve.x) > 1 for curve in by_images if curve.kind != "paper")
    shown = [by_layer, by_images] if sized else [by_layer]
    left, *right = panels(figure, len(shown), above=0.45, below=0.6 + room, beside=1.75, label="")
    for axes, curves, title in zip([left, *right], shown, titles, strict=False):
        axes.set_title(title, **TITLE_STYLE)
        _draw(axes, curves, _styles(curves, of_layers=axes is not left))
    left.set_xlabel("layer, from the pixels up", color=FAINT, size=TEXT)
    for axes in right:
        axes.set_xlabel("training images of each class", color=FAINT, size=TEXT)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if tilted:
        left.tick_params(axis="x", labelrotation=40)
        for label in left.get_xticklabels():
            label.set_horizontalalignment("right")
    label_ends(figure)
    return figure


def _draw(axes: Axes, curves: Sequence[Curve], styles: Mapping[str, Any]) -> None:
    """Draws the curves by the styles of their labels, their bars beside each other."""
    names = list(curves[0].x) if isinstance(curves[0].x[0], str) else None
    barred = [curve for curve in curves if any(curve.spread)]
    beside = dict(zip((curve.label for curve in barred), beside_each_other(len(barred)), strict=True))
    for curve in curves:
        x = list(range(len(curve.x)) if names else curve.x)
        mean, spread = np.asarray(curve.mean, float), np.asarray(curve.spread, float)
        width = {"best": 2.6, "chance": 1}.get(curve.kind, 1.4)
        draw_with_bars(axes, x, mean, (mean - spread, mean + spread), beside.get(curve.label, 0), label=curve.label,
                       linewidth=width, markersize=4, **styles[curve.label])  # fmt: skip
    axes.autoscale_view()
    if names:
        axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, min(100, 1.12 * max(max(curve.mean) for curve in curves)))


def _styles(curves: Sequence[Curve], of_layers: bool) -> dict[str, dict[str, Any]]:
    """Keywords of plot by label. of_layers: whether our own curves are of layers, from the pixels up."""
    ours = [curve for curve in curves if curve.kind in ("ours", "best")]
    styles: dict[str, dict[str, Any]] = {
        curve.label: layer_style(number, len(ours)) if of_layers else series_style(number)
        for number, curve in enumerate(ours)
    }
    others = [curve for curve in curves if curve.kind == "other"]
    styles |= {curve.label: series_style(number) for number, curve in enumerate(others, 1 if of_layers else len(ours))}
    for curve in curves:
        if curve.kind in FIXED:
            styles[curve.label] = FIXED[curve.kind]
    return styles
