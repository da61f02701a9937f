"""Plots of a diagnosis: energy of the first filters by frequency, and how strong each filter is."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from convscope.analyses.diagnosis.compute import FirstLayer, frequencies
from convscope.plots.panels import FAINT, GROUND, INK, TEXT, TITLE_STYLE, WIDTH, label_ends, panels
from convscope.plots.series import series_style
from convscope.plots.tile import GRAY, Tile, resized

BANDS = ("low", "mid", "high")


class FirstFilters(NamedTuple):
    """A net's first filters. energy [n]: share of their energy in each ring. rms [C]: of each filter."""

    label: str
    energy: Any
    rms: Any


def first_layer_plot(layers: Mapping[str, FirstLayer], radius: float | None) -> Figure:
    """Energy by frequency and RMS of the first filters of several nets, by label."""
    nets = []
    for label, layer in layers.items():
        middle, energy = frequencies.radial_profile(layer.weight)
        nets.append(FirstFilters(label, energy.numpy(), layer.rms.numpy()))
    white = frequencies.radial_profile(torch.ones(1, 1, 1, 1))[1]  # a single pixel has all frequencies alike
    edges = frequencies.LOW, frequencies.HIGH
    return first_filters(nets, middle.numpy(), white.numpy(), edges, radius)


def first_filters(nets: Sequence[FirstFilters], middle: Any, white: Any, edges: tuple[float, float],
                  radius: float | None = None) -> Figure:  # fmt: skip
    """Lines for each net: energy by frequency with the three bands, and RMS of the filters, strongest first.

    middle [n]: of each ring, in units of the Nyquist frequency. white [n]: the energy of white noise. edges: between
    the bands. radius: of the renormalization, drawn as a line.
    """
    longest = max(len(net.label) for net in nets)
    figure = Figure(figsize=(WIDTH, 3.6), dpi=110, facecolor=GROUND)
    left, right = panels(figure, 2, above=0.4, below=0.55, beside=0.35 + 0.085 * max(11, min(longest, 26)))
    left.set_title("Energy of the first filters by frequency, %", **TITLE_STYLE)
    left.set_xlabel("frequency / Nyquist", color=FAINT, size=TEXT)
    right.set_title("RMS of each filter, strongest first", **TITLE_STYLE)
    right.set_xlabel("filters, %", color=FAINT, size=TEXT)
    for number, net in enumerate(nets):
        look: dict[str, Any] = {**series_style(number), "markersize": 3.6, "linewidth": 1.7}
        left.plot(middle, 100 * np.asarray(net.energy), label=net.label, **look, markevery=(number % 3, 3))
        strongest = np.sort(np.asarray(net.rms))[::-1]
        right.plot(np.linspace(0, 100, len(strongest)), strongest, label=net.label, **look,
                   markevery=(0.05 + 0.02 * number, 0.1))  # fmt: skip
    left.plot(middle, 100 * np.asarray(white), color=FAINT, linewidth=1, label="white noise")
    if radius is not None and max(np.max(net.rms) for net in nets) > radius / 3:  # else it would flatten the lines
        right.plot([0, 100], [radius, radius], color=FAINT, linewidth=1, label=f"radius {radius:g}")
    _mark_bands(left, edges)
    for axes in (left, right):
        axes.set_ylim(0, 1.12 * axes.dataLim.y1)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    label_ends(figure)
    return figure


def _mark_bands(axes: Axes, edges: tuple[float, float]) -> None:
    limits = (0, *edges, 2**0.5)
    axes.set_xlim(0, 2**0.5)
    for low, high, name in zip(limits, limits[1:], BANDS, strict=False):
        axes.axvspan(low, high, color=INK, alpha=0.05 if name == "mid" else 0, linewidth=0)
        axes.text((low + high) / 2, 0.96, name, transform=axes.get_xaxis_transform(), ha="center", va="top",
                  color=FAINT, size=TEXT)  # fmt: skip


def montage(tiles: Sequence[Tile], columns: int, side: int = 56, gap: int = 3) -> Image.Image:
    """Tiles in rows of `columns`, without text; an empty gray square where there are no tiles."""
    rows = max(1, -(-len(tiles) // columns))
    sheet: NDArray[np.uint8] = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, 3), 247, np.uint8)
    picture = Image.fromarray(sheet)
    blank = np.full((side, side, 3), GRAY, np.uint8)
    for number, tile in enumerate(tiles or [blank]):
        picture.paste(resized(tile, side), (number % columns * (side + gap), number // columns * (side + gap)))
    return picture
