"""Strips of projections with random weights, of other units and images, and the numbers by layer."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.analyses.sanity.compute import LayerSanity, StripRow
from convscope.analyses.visualize.figure import projection_tiles
from convscope.plots.grid import BACKGROUND, LINE, MARGIN, OUTLINE, TITLE_HEIGHT
from convscope.plots.lettering import CAPTION, FAINT, TITLE, width, wrapped, write
from convscope.plots.panels import FAINT as PALE
from convscope.plots.panels import GROUND, INK, TEXT, TITLE_STYLE, WIDTH, label_ends, panels
from convscope.plots.tile import resized

SIDE, GAP, GROUP = 96, 4, 18  # pixels of a tile, between tiles, and between groups of them
NOTE = "below each tile: how alike it is to the projection as learned; 1: the same picture, 0: an unrelated one"
STYLES: dict[str, tuple[str, Any]] = {
    "deconvnet": (INK, "-"),
    "guided": ("#b3541e", "--"),
    "gradient": ("#3b6ea8", "-."),
}
PANELS = {
    "weights": "Depends on the weights",
    "unit": "Depends on the unit",
    "image": "Depends on the image",
    "recovery": "Recovers the image",
}


def strip_sheet(measured: LayerSanity, title: str) -> Image.Image:
    """A block for each rule, a row for each map: patch, projection, with random weights, another unit, another image.

    Below each projection its similarity to the first one.
    """
    heads = ["image", "projection", *(f"random: {words}" for words in _stage_words(measured.stages))]
    heads += ["another unit", "another image"]
    left = max(width(f"map {row.map}", CAPTION) for by_rule in measured.rules.values() for row in by_rule.strip) + 14
    columns = _columns(left, len(measured.stages))
    lines = [wrapped(words, CAPTION, SIDE) for words in heads]
    top, row_height = TITLE_HEIGHT + LINE * (1 + max(map(len, lines))), SIDE + LINE + GAP
    blocks = [len(by_rule.strip) * row_height + LINE + GROUP for by_rule in measured.rules.values()]
    inner = max(columns[-1] + SIDE - MARGIN, min(width(title, TITLE), 1500))
    sheet = Image.new("RGB", (inner + 2 * MARGIN, top + sum(blocks) + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    write(draw, (MARGIN, TITLE_HEIGHT + 8), NOTE, color=FAINT, room=inner)
    for x, words in zip(columns, lines, strict=True):
        for number, line in enumerate(words, 1):
            write(draw, (x, TITLE_HEIGHT + 14 + LINE * number), line, color=FAINT, room=SIDE + GAP)
    y = top
    for (rule, by_rule), height in zip(measured.rules.items(), blocks, strict=True):
        write(draw, (MARGIN, y + 14), rule + (", which draws this layer" if rule == measured.choice.rule else ""))
        for number, row in enumerate(by_rule.strip):
            _row(sheet, y + LINE + number * row_height, columns, row)
        y += height
    return sheet


def _stage_words(stages: Sequence[str]) -> list[str]:
    """What is random at each stage of the cascade, in words."""
    words = [f"down to {name}" if number else name for number, name in enumerate(stages)]
    return [*words[:-1], "all weights" if len(stages) > 1 else words[-1]] if words else []


def _columns(left: int, stages: int) -> list[int]:
    """Where the columns begin, in pixels: patch, projection, the stages, another unit, another image, in groups."""
    groups = [1, 1, stages, 1, 1]
    columns, x = list[int](), MARGIN + left
    for count in groups:
        columns += [x + number * (SIDE + GAP) for number in range(count)]
        x += count * (SIDE + GAP) - GAP + GROUP if count else 0
    return columns


def _row(sheet: Image.Image, y: int, columns: Sequence[int], row: StripRow) -> None:
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, y + SIDE // 2), f"map {row.map}", anchor="lm")
    sheet.paste(resized(row.patch.permute(1, 2, 0).numpy(), SIDE), (columns[0], y))
    projections = row.projections.float().expand(-1, 3, -1, -1)
    for number, (x, likeness) in enumerate(zip(columns[1:], row.similarities, strict=True)):
        if likeness != likeness:  # nothing came down
            draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=OUTLINE)
            continue
        (tile,) = projection_tiles(projections[[number]], SIDE)
        sheet.paste(resized(tile, SIDE), (x, y))
        if number:
            write(draw, (x, y + SIDE + 15), f"{likeness:.2f}", color=FAINT)


Heights = Mapping[str, NDArray[np.float64]]  # rule -> mean, low and high end of each layer: [3, layers]


def dependence_plot(
    layers: Sequence[str],
    measured: Mapping[str, Heights],
    untrained: Mapping[str, Heights],
    chance: Mapping[str, NDArray[np.float64]],
    title: str,
) -> Figure:
    """Panels of weights, unit, image and recovery over the layers, a line for each rule with its intervals.

    measured, untrained: by panel and rule. Bands are the intervals of the untrained net, in the color of the rule.
    chance: by panel [layers], the height of a dotted line.
    """
    lines = wrap(title, 150)
    height = 3.45 + 0.2 * len(lines)
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor=GROUND)
    figure.text(0.15 / WIDTH, 1 - 0.12 / height, "\n".join(lines), size=11, color=INK, va="top")
    row = panels(figure, len(PANELS), above=0.55 + 0.2 * len(lines), below=0.9, beside=0.75, label="")
    for axes, (name, words) in zip(row, PANELS.items(), strict=True):
        axes.set_title(words, **TITLE_STYLE)
        _draw_rules(axes, measured[name], untrained[name])
        axes.plot(np.arange(len(layers)), chance[name], color=PALE, linewidth=1, linestyle=":", label="chance")
        axes.set_xticks(np.arange(len(layers)), layers, rotation=30, ha="right")
        low = min(0.0, *(float(np.nanmin(ends[0], initial=0)) for ends in measured[name].values()))
        high = max(1.15, *(1.02 * float(np.nanmax(heights[0], initial=0)) for heights in measured[name].values()))
        axes.set_ylim(max(-0.3, low), high)
        axes.set_xlim(-0.25, len(layers) - 0.75)
    label_ends(figure)
    note = "vertical lines: 95 % intervals over maps; bands: the same of an untrained net"
    figure.text(0.15 / WIDTH, 0.1 / height, note, size=TEXT, color=PALE, va="bottom")
    return figure


def _draw_rules(axes: Axes, measured: Heights, untrained: Heights) -> None:
    """A line and a band for each rule; a layer alone has a short band. A rule without any value has neither."""
    for rule, ends in measured.items():
        color, style = STYLES[rule]
        places = np.arange(ends.shape[1], dtype=float)
        if np.isfinite(ends[0]).any():
            axes.plot(places, ends[0], color=color, linestyle=style, marker="o", markersize=3.5, label=rule)
            axes.vlines(places, ends[1], ends[2], color=color, linewidth=1, alpha=0.6)
        null = untrained[rule] if len(places) > 1 else untrained[rule].repeat(2, 1)
        spread = places if len(places) > 1 else np.array([-0.15, 0.15])
        axes.fill_between(spread, null[1], null[2], color=color, linewidth=0, alpha=0.16)
