"""The atlas: every shown map of every layer over the epochs, as the page's script reads it.

What is light comes with the page (data.js); what is heavy is a script for each layer, loaded when the layer is looked
at. Pictures stay packed: a tile is cut from its sheet by the places that index.jsonl tells.
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from PIL import Image

from convscope.report.header import input_size
from convscope.report.linked_runs import comparable_runs
from convscope.runs.atomic_io import write
from convscope.runs.index import IndexEntry
from convscope.runs.reading import Run
from convscope.runs.top9_records import dead_maps, overlap_of_maps, read_layer_record, strongest_images


class Atlas(NamedTuple):
    """overview: what data.js says under "atlas". layers: file in report/ -> (the layer, what its script says)."""

    overview: dict[str, Any]
    layers: dict[str, tuple[str, dict[str, Any]]]


def in_atlas(entry: IndexEntry) -> bool:
    """Whether the atlas cuts this picture into tiles; without a sheet it is shown whole."""
    if entry.kind != "picture" or entry.path is None or entry.sheet is None:
        return False
    if entry.name.startswith("top9/"):
        return "projections" in entry.sheet and entry.layer is not None
    return entry.name.startswith("images/") and "images" in entry.sheet


def build_atlas(run: Run) -> Atlas | None:
    """None where no grid of the run says where its tiles are: a run without looks inside, or of an older version."""
    pictures = [entry for entry in run.entries if in_atlas(entry)]
    grids: dict[str, list[IndexEntry]] = {}
    for entry in pictures:
        if entry.name.startswith("top9/"):
            grids.setdefault(str(entry.layer), []).append(entry)
    if not grids:
        return None
    rows = {str(row.get("name")): row for row in run.rows}
    classes = run.summary.get("classes")
    layers: dict[str, tuple[str, dict[str, Any]]] = {}
    overviews = []
    for layer, entries in grids.items():
        frames = _frames(entries)
        script = _script(layer, layers)
        layers[script] = layer, _layer(run.folder, layer, frames)
        shown = _sheet(frames[-1])["maps"]
        overviews.append({"name": layer, "script": script, "shown": shown, **_anatomy(rows.get(layer))})
    overview = {
        "input": input_size(run),
        "classes": [str(name) for name in classes] if isinstance(classes, list) else [],
        "epochs": _in_order({entry.epoch for entries in grids.values() for entry in entries}),
        "layers": overviews,
        "sheets": [{"source": _source(each), **_sheet(each)} for each in pictures if each.name.startswith("images/")],
        "beside": comparable_runs(run.folder),
    }
    return Atlas(overview, layers)


def _frames(entries: list[IndexEntry]) -> list[IndexEntry]:
    """The grids of a layer by epoch; those that show other maps than the last one does are left out."""
    ordered = sorted(entries, key=lambda entry: -1 if entry.epoch is None else entry.epoch)
    return [entry for entry in ordered if _sheet(entry)["maps"] == _sheet(ordered[-1])["maps"]]


def _layer(folder: Path, layer: str, frames: list[IndexEntry]) -> dict[str, Any]:
    """What a layer's script says: its frames, and for each the record of the shown maps and how much of it is old."""
    records = [read_layer_record(folder, frame.epoch, layer) for frame in frames]
    maps = _sheet(frames[-1])["maps"]  # the same in every frame
    return {
        "frames": [{"epoch": frame.epoch, "source": _source(frame), "sheet": _sheet(frame)} for frame in frames],
        "top": [[nine._asdict() for nine in strongest_images(record, maps)] for record in records],
        "kept": [overlap_of_maps(now, then, maps) for now, then in zip(records, [None, *records[:-1]], strict=True)],
        "dead": [dead_maps(record) for record in records],
    }


def _anatomy(row: dict[str, Any] | None) -> dict[str, Any]:
    """maps, side and field of a layer as summary.json tells them; what it does not tell (yet) is absent."""
    said = row or {}
    known = {key: said[key] for key in ("maps", "side") if type(said.get(key)) is int}
    if said.get("field") == "image":
        known["field"] = None
    elif all(type(said.get(key)) is int for key in ("field", "stride", "start")):
        known["field"] = {"size": said["field"], "stride": said["stride"], "start": said["start"]}
    return known


def _script(layer: str, taken: dict[str, Any]) -> str:
    """A file name for the layer that every system allows, unlike those taken."""
    plain = "atlas/" + re.sub(r"[^A-Za-z0-9.-]", "_", layer)[:100]
    names = {name.lower() for name in taken}
    number = 1
    while (name := f"{plain}{f'_{number}' if number > 1 else ''}.js").lower() in names:
        number += 1
    return name


def _in_order(epochs: set[int | None]) -> list[int | None]:
    """[None] where the pictures are of no epoch."""
    known: list[int | None] = [*sorted(epoch for epoch in epochs if epoch is not None)]
    return known or [None]


def _sheet(entry: IndexEntry) -> dict[str, Any]:
    assert entry.sheet is not None
    return entry.sheet


def _source(entry: IndexEntry) -> str:
    return "../" + quote(str(entry.path))


THUMBNAIL_MAPS = 5  # of each layer
QUALITY = 90


class Thumbnails(NamedTuple):
    """source: the picture as seen from the page. maps: which ones are on it, strongest first, two tiles for each."""

    source: str
    maps: list[int]


def write_thumbnails(folder: Path, found: Atlas | None) -> dict[str, Thumbnails]:
    """Layer -> its glance, written into the report of a run's folder; left out where the last grid or its record is
    damaged.
    """
    made = {}
    for number, (layer, said) in enumerate(found.layers.values() if found else ()):
        frame, top = said["frames"][-1], said["top"][-1]
        scores = {place: nine["score"][0] for place, nine in enumerate(top) if nine["score"]}
        places = sorted(scores, key=lambda place: -scores[place])[:THUMBNAIL_MAPS]
        grid = folder / unquote(frame["source"]).removeprefix("../")
        picture = _picture(grid, frame["sheet"], places) if places else None  # none where every shown map is dead
        if picture is not None:
            source = f"glances/{number}.jpg"
            write(folder / "report" / source, picture)
            made[layer] = Thumbnails(source, [frame["sheet"]["maps"][place] for place in places])
    return made


def _picture(grid: Path, sheet: Mapping[str, Any], places: list[int]) -> bytes | None:
    """The first patch and the first projection of the maps at these places of a grid, in a row, as JPEG."""
    tile = sheet["tile"]
    row = Image.new("RGB", (2 * tile * len(places), tile))
    try:
        with Image.open(grid) as whole:
            for at, place in enumerate(places):
                for side, kind in enumerate(("patches", "projections")):
                    x, y = sheet[kind][place]
                    row.paste(whole.crop((x, y, x + tile, y + tile)), ((2 * at + side) * tile, 0))
    except (OSError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged or absurd files
        return None
    data = io.BytesIO()
    row.save(data, "jpeg", quality=QUALITY)
    return data.getvalue()
