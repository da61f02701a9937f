"""How well frozen features classify, as curves: over the layers (Table 7) and over the training images (Fig. 9)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convscope.plots.panels import FAINT, GROUND, TEXT, TITLE_STYLE, WIDTH, label_ends, panels

STYLES = ("-", "--", ":", "-.")


class Curve(NamedTuple):
    """A line with the label at its end. x: numbers, or names for places of equal distance. mean, spread: in percent.

    kind: "ours", "best" (thick), "other" (red: a net to compare with), "paper" (orange) or "chance" (faint).
    """

    label: str
    x: Sequence[Any]
    mean: Sequence[float]
    spread: Sequence[float]
    kind: str = "ours"


def transfer_curves(by_layer: Sequence[Curve], by_images: Sequence[Curve], titles: tuple[str, str]) -> Figure:
    """Two panels: accuracy over the layers, and over the training images of a class; bars: +- standard deviation."""
    longest = max((len(str(name)) for name in by_layer[0].x), default=0)
    tilted = longest * len(by_layer[0].x) > 48  # letters that fit below the panel
    room = 0.055 * longest if tilted else 0.0  # inches
    figure = Figure(figsize=(WIDTH, 4.4 + room), dpi=110, facecolor=GROUND)
    left, right = panels(figure, 2, above=0.45, below=0.6 + room, beside=1.75, label="")
    for axes, curves, title in ((left, by_layer, titles[0]), (right, by_images, titles[1])):
        axes.set_title(title, **TITLE_STYLE)
        _draw(axes, curves)
    left.set_xlabel("layer, from the pixels up", color=FAINT, size=TEXT)
    right.set_xlabel("training images of each class", color=FAINT, size=TEXT)
    right.set_xlim(left=0)
    right.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if tilted:
        left.tick_params(axis="x", labelrotation=40)
        for label in left.get_xticklabels():
            label.set_horizontalalignment("right")
    label_ends(figure)
    return figure


def _draw(axes: Axes, curves: Sequence[Curve]) -> None:
    shades = colormaps["viridis"]
    names = list(curves[0].x) if isinstance(curves[0].x[0], str) else None
    ours = [curve for curve in curves if curve.kind in ("ours", "best")]
    for curve in curves:
        number = ours.index(curve) if curve in ours else 0
        shade: Any = shades(0.85 * number / max(1, len(ours) - 1))
        color = {"paper": "#d9822b", "other": "#c0392b", "chance": FAINT}.get(curve.kind, shade)
        style = {"paper": "--", "other": "-.", "chance": ":"}.get(curve.kind, STYLES[number % 4])
        width, mark = {"best": (2.8, "o"), "chance": (1, "")}.get(curve.kind, (1.4, "o"))
        x = range(len(curve.x)) if names else curve.x
        axes.plot(
            x, curve.mean, color=color, linestyle=style, linewidth=width, marker=mark, markersize=3.5,
            label=curve.label, clip_on=False,
        )  # fmt: skip
        low = [mean - spread for mean, spread in zip(curve.mean, curve.spread, strict=True)]
        high = [mean + spread for mean, spread in zip(curve.mean, curve.spread, strict=True)]
        axes.vlines(x, low, high, color=color, linewidth=width)
    if names:
        axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, min(100, 1.12 * max(max(curve.mean) for curve in curves)))
