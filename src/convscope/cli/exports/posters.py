"""export.what=poster: all maps of a layer, or one map over the epochs, for print."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from convscope.analyses.visualize.about import LARGEST_SIDE
from convscope.cli.exports.films import NO_TILES
from convscope.cli.exports.plan import (
    ExportConfig,
    check_map,
    chosen_layers,
    drawn_epochs,
    file_stem,
    several_epochs,
)
from convscope.errors import UserError
from convscope.plots.figure_files import save_figure
from convscope.plots.poster import Poster, PosterBlock, poster
from convscope.report.one_file import spread
from convscope.runs.atomic_io import write
from convscope.runs.map_tiles import tiles_of
from convscope.runs.reading import Run

LEAST_DPI = 150  # pixels an inch below which a picture looks coarse on paper that is held in the hand
MOST_BLOCKS = 24  # epochs of a map on a sheet; of more, evenly chosen ones are shown


def posters(run: Run, plan: ExportConfig, out: Path) -> Iterator[Path]:
    """Writes a poster for each layer of the plan in each format, and yields their paths."""
    resolution = ""
    for layer in chosen_layers(run, plan):
        stem = file_stem(layer, plan.map) + ("" if plan.epoch is None else f"_epoch{plan.epoch}")
        blocks, title, note = _layer_blocks(run, layer, plan) if plan.map is None else _map_blocks(run, layer, plan.map)
        sheet = poster(blocks, title, f"{note} {_source(run)}", plan.paper)
        for form in [plan.format] if plan.format else ["pdf", "svg"]:
            path = out / f"{stem}_{plan.paper}.{form}"
            write(path, partial(save_figure, sheet.figure, form=form, dpi=plan.dpi))
            yield path
        words = _resolution(sheet, blocks, plan)
        if words not in ("", resolution):  # layers with equally many maps have the same
            print(words, flush=True)
            resolution = words


def _layer_blocks(run: Run, layer: str, plan: ExportConfig) -> tuple[list[PosterBlock], str, str]:
    epochs = drawn_epochs(run, layer)
    epoch = epochs[-1] if plan.epoch is None else plan.epoch
    if epoch not in epochs:
        listed = ", ".join(map(str, epochs))
        raise UserError(f"{run.folder} shows no export.epoch={epoch} of {layer}; possible: {listed}")
    tiles = tiles_of(run, layer, epoch)
    if not tiles:
        raise UserError(f"the grid of {layer} in {run.folder} cannot be read")
    blocks = [PosterBlock(f"map {number}", *nine) for number, nine in tiles.items()]
    when = "" if epoch is None else f", epoch {epoch}"
    note = "Of each map the nine images that excite it most: projections at the left, image patches at the right."
    return blocks, f"{layer}: what its maps look for{when}", note


def _map_blocks(run: Run, layer: str, number: int) -> tuple[list[PosterBlock], str, str]:
    check_map(run, layer, number)
    epochs = spread(several_epochs(run, layer, "a poster of one map"), MOST_BLOCKS)
    blocks = [PosterBlock(f"epoch {epoch}", *tiles_of(run, layer, epoch).get(number, NO_TILES)) for epoch in epochs]
    note = "At each epoch the nine images that excite it most: projections at the left, image patches at the right."
    return blocks, f"{layer} map {number} over the epochs", note


def _source(run: Run) -> str:
    return f"Drawn by convscope from {run.folder.resolve().name}."


def _resolution(sheet: Poster, blocks: list[PosterBlock], plan: ExportConfig) -> str:
    """How finely tiles are printed, and where that is coarse a warning with the evolution.tile that would do."""
    sides = [tile.width for block in blocks for tile in [*block.projections, *block.patches]]
    if not sides:
        return ""  # of dead maps
    dpi = max(sides) / sheet.tile_inches
    width = f"{sheet.tile_inches * 2.54:.1f} cm wide on {plan.paper.upper()}"
    words = f"tiles of {max(sides)} pixels are {width}: {dpi:.0f} dpi"
    if dpi >= LEAST_DPI:
        return words
    finest = math.floor(LARGEST_SIDE / sheet.tile_inches)
    resolutions = dict.fromkeys(min(goal, finest) for goal in (LEAST_DPI, max(LEAST_DPI, plan.dpi)))
    advice = [f"evolution.tile={math.ceil(sheet.tile_inches * goal)} gives {goal} dpi" for goal in resolutions]
    smaller = "" if plan.paper == "a4" else "; a smaller export.paper helps, too"
    return (
        f"warning: {words}, coarse in print. While training, or as an override of job=visualize, "
        f"{', '.join(advice)}{smaller}"
    )
