"""The atlas: every shown map of every layer over the epochs, as the scripts of the page read it.

data.js has a small overview. Each layer has a script of its own with its records, loaded when the layer is opened.
Pictures stay packed: the page cuts a tile from its sheet by the corners in index.jsonl. Only the thumbnails at the head
of the page are cut out here, so that they cost kilobytes instead of whole grids.
"""

import io
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from PIL import Image

from convscope.report.header import input_size
from convscope.report.linked_runs import comparable_runs
from convscope.report.map_labels import map_labels
from convscope.report.matched_maps import MatchedRun, match_command, matched_runs
from convscope.runs.atomic_io import write
from convscope.runs.index import IndexEntry
from convscope.runs.picture_files import JPEG_QUALITY, opened_picture
from convscope.runs.reading import Run, read_run
from convscope.runs.top9_records import dead_maps, overlap_of_maps, read_layer_record, strongest_images

THUMBNAIL_MAPS = 5  # of each layer


class Atlas(NamedTuple):
    """overview: the value of "atlas" in data.js. layers: file in report/ -> (layer, content of its script).

    matched: the same of layers of other runs, with the maps that match those of this run.
    """

    overview: dict[str, Any]
    layers: dict[str, tuple[str, dict[str, Any]]]
    matched: dict[str, tuple[str, dict[str, Any]]]


class Thumbnails(NamedTuple):
    """A patch and a projection of the strongest maps of one layer, in one row of tiles.

    source: address of the picture from the page. maps: their numbers, strongest first, two tiles for each. version:
    another one for another picture, so that an open page loads it.
    """

    source: str
    maps: list[int]
    version: str = ""


def in_atlas(entry: IndexEntry) -> bool:
    """Whether the atlas cuts this picture into tiles; a picture without a sheet is shown whole."""
    if entry.kind != "picture" or entry.path is None or entry.sheet is None:
        return False
    if entry.name.startswith("top9/"):
        return "projections" in entry.sheet and entry.layer is not None
    if entry.name.startswith("strips/"):
        return "images" not in entry.sheet and "projections" not in entry.sheet and entry.layer is not None
    return entry.name.startswith("images/") and "images" in entry.sheet


def build_atlas(run: Run) -> Atlas | None:
    """The atlas of a run; None without top-9 grids that have a sheet, as in a run of an older version."""
    grids: dict[str, list[IndexEntry]] = {}
    for entry in run.entries:
        if in_atlas(entry) and entry.name.startswith("top9/"):
            grids.setdefault(str(entry.layer), []).append(entry)
    if not grids:
        return None
    rows = {str(row.get("name")): row for row in run.rows}
    labels = map_labels(run)
    layers: dict[str, tuple[str, dict[str, Any]]] = {}
    overviews, detected = [], set[str]()
    for layer, entries in grids.items():
        frames = _frames(entries)
        script = _script_name(layer, layers)
        maps = _sheet(frames[-1])["maps"]
        of_layer = [labels.get(layer, {}).get(map_) for map_ in maps]
        layers[script] = layer, _layer_script(run.folder, layer, frames)
        _add_strips(run, layer, layers[script][1]["frames"])
        layers[script][1]["labels"] = [label and label._asdict() for label in of_layer]
        detected |= {label.part for label in of_layer if label and label.detector}
        overviews.append({"name": layer, "script": script, "shown": maps, **_geometry(rows.get(layer, {}))})
    epochs = _in_order({entry.epoch for entries in grids.values() for entry in entries})
    overview = _overview(run, epochs, overviews) | {"parts": sorted(detected)}
    matched, matches = dict[str, tuple[str, dict[str, Any]]](), matched_runs(run.folder)
    for number, beside in enumerate(overview["beside"]):
        other_folder = run.folder.resolve().parent / beside["folder"]
        beside["command"] = match_command(run.folder, other_folder)
        if (match := matches.get(os.path.realpath(other_folder))) is not None:
            beside["matched"] = _matched_overview(match, read_run(other_folder, with_entries=False), number, matched)
    return Atlas(overview, layers, matched)


def _matched_overview(
    matched_run: MatchedRun, other_run: Run, number: int, scripts: dict[str, tuple[str, dict[str, Any]]]
) -> dict[str, Any]:
    """An overview of the other run's maps that match those of this run. scripts: takes those of its layers."""
    rows = {str(row.get("name")): row for row in other_run.rows}
    overviews: list[dict[str, Any]] = []
    for layer, other_name, grid, partners in matched_run.layers:
        script = f"matched/{number}_{len(overviews)}.js"
        seen_from_here = grid._replace(path=f"{matched_run.inside}/{grid.path}")
        content = _layer_script(matched_run.folder, layer, [grid._replace(epoch=None)])
        content["frames"] = [{"epoch": None, "source": _source(seen_from_here), "sheet": _sheet(grid)}]
        scripts[script] = layer, content
        overviews.append({"name": layer, "script": script, "shown": _sheet(grid)["maps"], "partners": partners,
                          **_geometry(rows.get(other_name, {}))})  # fmt: skip
    images = [entry._replace(path=f"{matched_run.inside}/{entry.path}") for entry in matched_run.images]
    return {
        "input": input_size(other_run),
        "classes": _classes(other_run),
        "epochs": [None],
        "layers": overviews,
        "sheets": [{"source": _source(entry), **_sheet(entry)} for entry in images],
        "beside": [],
    }


def _overview(run: Run, epochs: list[int | None], layers: list[dict[str, Any]]) -> dict[str, Any]:
    images = [entry for entry in run.entries if in_atlas(entry) and entry.name.startswith("images/")]
    return {
        "input": input_size(run),
        "classes": _classes(run),
        "epochs": epochs,
        "layers": layers,
        "sheets": [{"source": _source(entry), **_sheet(entry)} for entry in images],
        "beside": [dict[str, Any](beside) for beside in comparable_runs(run.folder)],
    }


def _classes(run: Run) -> list[str]:
    classes = run.summary.get("classes")
    return [str(name) for name in classes] if isinstance(classes, list) else []


def write_thumbnails(folder: Path, atlas: Atlas | None, report: Path) -> dict[str, Thumbnails]:
    """Layer -> its thumbnails of the pictures in a run folder, written into the folder of its page.

    Without layers whose last grid or record is damaged, and those whose shown maps are all dead.
    """
    thumbnails = {}
    for number, (layer, script) in enumerate(atlas.layers.values() if atlas else ()):
        frame, top = script["frames"][-1], script["top"][-1]
        scores = {place: images["score"][0] for place, images in enumerate(top) if images["score"]}
        strongest = sorted(scores, key=lambda place: -scores[place])[:THUMBNAIL_MAPS]
        grid = folder / unquote(frame["source"]).removeprefix("../")
        picture = _tile_row(grid, frame["sheet"], strongest) if strongest else None
        if picture is not None:
            source = f"glances/{number}.jpg"
            write(report / source, picture)
            version = format(zlib.crc32(picture), "x")
            thumbnails[layer] = Thumbnails(source, [frame["sheet"]["maps"][place] for place in strongest], version)
    return thumbnails


def _frames(entries: list[IndexEntry]) -> list[IndexEntry]:
    """The grids of a layer by epoch, without those that show other maps than the last one."""
    ordered = sorted(entries, key=lambda entry: -1 if entry.epoch is None else entry.epoch)
    return [entry for entry in ordered if _sheet(entry)["maps"] == _sheet(ordered[-1])["maps"]]


def _layer_script(folder: Path, layer: str, frames: list[IndexEntry]) -> dict[str, Any]:
    """The content of a layer's script: its frames, and for each frame the record of the shown maps."""
    records = [read_layer_record(folder, frame.epoch, layer) for frame in frames]
    maps = _sheet(frames[-1])["maps"]  # the same in every frame
    pairs = zip(records, [None, *records[:-1]], strict=True)
    return {
        "frames": [{"epoch": frame.epoch, "source": _source(frame), "sheet": _sheet(frame)} for frame in frames],
        "top": [[images._asdict() for images in strongest_images(record, maps)] for record in records],
        "kept": [overlap_of_maps(record, previous, maps) for record, previous in pairs],
        "dead": [dead_maps(record) for record in records],
    }


def _add_strips(run: Run, layer: str, frames: list[dict[str, Any]]) -> None:
    """Adds to each frame of a layer the strip of its epoch, where the run has one."""
    strips = {entry.epoch: entry for entry in run.entries if entry.name == f"strips/{layer}" and in_atlas(entry)}
    for frame in frames:
        if strip := strips.get(frame["epoch"]):
            frame["strip"] = {"source": _source(strip), **_sheet(strip)}


def _geometry(row: dict[str, Any]) -> dict[str, Any]:
    """maps, side and receptive field of a layer, by its row in summary.json; absent where the row lacks them."""
    geometry = {key: row[key] for key in ("maps", "side") if type(row.get(key)) is int}
    if row.get("field") == "image":
        geometry["field"] = None
    elif all(type(row.get(key)) is int for key in ("field", "stride", "start")):
        geometry["field"] = {"size": row["field"], "stride": row["stride"], "start": row["start"]}
    return geometry


def _script_name(layer: str, scripts: Mapping[str, Any]) -> str:
    """A file name for the layer that every system allows and that differs from those of `scripts`."""
    plain = "atlas/" + re.sub(r"[^A-Za-z0-9.-]", "_", layer)[:100]
    names = {name.lower() for name in scripts}
    number = 1
    while (name := f"{plain}{f'_{number}' if number > 1 else ''}.js").lower() in names:
        number += 1
    return name


def _in_order(epochs: set[int | None]) -> list[int | None]:
    """The epochs, ascending; [None] for pictures of no epoch."""
    numbers: list[int | None] = [*sorted(epoch for epoch in epochs if epoch is not None)]
    return numbers or [None]


def _sheet(entry: IndexEntry) -> dict[str, Any]:
    assert entry.sheet is not None
    return entry.sheet


def _source(entry: IndexEntry) -> str:
    return "../" + quote(str(entry.path))


def _tile_row(grid: Path, sheet: Mapping[str, Any], places: list[int]) -> bytes | None:
    """The first patch and the first projection at these places of a grid, in a row, as JPEG; None if it is damaged."""
    grid_image, tile = opened_picture(grid), sheet["tile"]
    if grid_image is None:
        return None
    row = Image.new("RGB", (2 * tile * len(places), tile))
    corners = [sheet[kind][place] for place in places for kind in ("patches", "projections")]
    for number, (x, y) in enumerate(corners):
        row.paste(grid_image.crop((x, y, x + tile, y + tile)), (number * tile, 0))
    data = io.BytesIO()
    row.save(data, "jpeg", quality=JPEG_QUALITY)
    return data.getvalue()
