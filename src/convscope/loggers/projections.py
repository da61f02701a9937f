"""A table of projections (epoch, layer, map, rank, ...), cut from the grids that a run has left in its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from convscope.runs.index import IndexEntry
from convscope.runs.reading import read_run
from convscope.runs.top9_records import read_layer_record


class Projection(NamedTuple):
    """One of the nine images of a map at an epoch; rank 1 is the strongest. epoch None: of a finished net."""

    epoch: int | None
    layer: str
    map: int
    rank: int
    score: float
    image: int
    patch: Image.Image
    projection: Image.Image


class _Grid(NamedTuple):
    entry: IndexEntry
    score: Any  # [C, 9]
    image: Any  # [C, 9]


def projections(folder: Path, most: int) -> list[Projection]:
    """At most `most` of what the run's top-9 grids show, by epoch, layer, map and rank.

    Where there are more the strongest images of every map come first, and of equal ranks the latest epochs.
    """
    grids = _grids(folder) if most else []
    found: list[Projection] = []
    for rank in range(1, 10):
        for grid in reversed(grids):
            if len(found) < most:
                found += _of_rank(folder, grid, rank, most - len(found))
    return sorted(found, key=lambda each: (each.epoch or 0, each.layer, each.map, each.rank))


def _grids(folder: Path) -> list[_Grid]:
    """Grids that say where their tiles stand, with the record they were drawn from, in order of epochs."""
    found = []
    for entry in sorted(read_run(folder).entries, key=lambda each: each.epoch or 0):
        if entry.name == f"top9/{entry.layer}" and entry.sheet:
            top = read_layer_record(folder, entry.epoch, str(entry.layer))
            if top is not None and max(entry.sheet["maps"], default=-1) < len(top[0]):
                found.append(_Grid(entry, top[0], top[1]))
    return found


def _of_rank(folder: Path, grid: _Grid, rank: int, most: int) -> list[Projection]:
    """What the grid shows of one rank: a row for each map that so many images excite."""
    entry, sheet = grid.entry, grid.entry.sheet or {}
    blocks = [at for at, count in enumerate(sheet["count"]) if count >= rank][:most]
    try:
        with Image.open(folder / str(entry.path)) as opened:
            whole = opened.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged or absurd files
        return []
    rows = []
    for at in blocks:
        number = sheet["maps"][at]
        tiles = (_tile(whole, sheet, sheet[kind][at], rank) for kind in ("patches", "projections"))
        told = float(grid.score[number, rank - 1]), int(grid.image[number, rank - 1])
        rows.append(Projection(entry.epoch, str(entry.layer), number, rank, *told, *tiles))
    return rows


def _tile(whole: Image.Image, sheet: Mapping[str, Any], corner: list[int], rank: int) -> Image.Image:
    row, column = divmod(rank - 1, 3)
    left, top = corner[0] + column * sheet["step"], corner[1] + row * sheet["step"]
    return whole.crop((left, top, left + sheet["tile"], top + sheet["tile"]))
