"""A table of single projections (epoch, layer, map, rank, ...), with their places in the top-9 grids of a run."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from convscope.runs.index import IndexEntry
from convscope.runs.picture_files import opened_picture
from convscope.runs.reading import read_run
from convscope.runs.top9_records import read_layer_record

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


class ProjectionRow(NamedTuple):
    """One of the nine images of a map at an epoch. rank: 1 is the strongest. epoch: None for a trained net.

    patch, projection: their boxes in the picture `grid`, which has those of all maps of the layer at this epoch.
    """

    epoch: int | None
    layer: str
    map: int
    rank: int
    score: float
    image: int
    patch: Box
    projection: Box
    grid: Path


class _Grid(NamedTuple):
    entry: IndexEntry
    score: Any  # [C, 9]
    image: Any  # [C, 9]


def projection_rows(folder: Path, limit: int) -> list[ProjectionRow]:
    """At most `limit` projections of the run's top-9 grids, sorted by epoch, layer, map and rank.

    Where the grids show more, low ranks are preferred, and among equal ranks late epochs.
    """
    grids = _grids(folder) if limit else []
    rows: list[ProjectionRow] = []
    can_be_read = cache(_can_be_read)  # once for the nine ranks of a grid
    for rank in range(1, 10):
        for grid in reversed(grids):
            if len(rows) < limit and can_be_read(folder / str(grid.entry.path)):
                rows += _rows_of_rank(folder, grid, rank, limit - len(rows))
    return sorted(rows, key=lambda row: (row.epoch or 0, row.layer, row.map, row.rank))


def _grids(folder: Path) -> list[_Grid]:
    """The grids whose index entry has the positions of their tiles, with their top-9 record, by epoch."""
    grids = []
    for entry in sorted(read_run(folder).entries, key=lambda entry: entry.epoch or 0):
        if entry.name == f"top9/{entry.layer}" and entry.sheet:
            top = read_layer_record(folder, entry.epoch, str(entry.layer))
            if top is not None and max(entry.sheet["maps"], default=-1) < len(top[0]):
                grids.append(_Grid(entry, top[0], top[1]))
    return grids


def _rows_of_rank(folder: Path, grid: _Grid, rank: int, limit: int) -> list[ProjectionRow]:
    """The grid's rows of one rank: one for each map that at least `rank` images excite."""
    entry, sheet = grid.entry, grid.entry.sheet or {}
    blocks = [block for block, count in enumerate(sheet["count"]) if count >= rank][:limit]
    path, rows = folder / str(entry.path), []
    for block in blocks:
        number = sheet["maps"][block]
        patch, projection = (_box(sheet, sheet[kind][block], rank) for kind in ("patches", "projections"))
        score, image = float(grid.score[number, rank - 1]), int(grid.image[number, rank - 1])
        rows.append(ProjectionRow(entry.epoch, str(entry.layer), number, rank, score, image, patch, projection, path))
    return rows


def _can_be_read(path: Path) -> bool:
    return opened_picture(path) is not None


def _box(sheet: Mapping[str, Any], corner: list[int], rank: int) -> Box:
    row, column = divmod(rank - 1, 3)
    left, top = corner[0] + column * sheet["step"], corner[1] + row * sheet["step"]
    return left, top, left + sheet["tile"], top + sheet["tile"]
