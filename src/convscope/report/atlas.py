"""The atlas: every shown map of every layer over the epochs, as the page's script reads it.

What is light comes with the page (data.js); what is heavy is a script for each layer, loaded when the layer is looked
at. Pictures stay packed: a tile is cut from its sheet by the places that index.jsonl tells.
"""

import re
from datetime import datetime
from os.path import isdir
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from convscope.report.header import input_size
from convscope.runs.reading import Entry, Run, started
from convscope.runs.top9_records import dead_maps, kept, nines, record_layer

BESIDE = 50  # most other runs to compare with


class Atlas(NamedTuple):
    """overview: what data.js says under "atlas". layers: file in report/ -> (the layer, what its script says)."""

    overview: dict[str, Any]
    layers: dict[str, tuple[str, dict[str, Any]]]


def in_atlas(entry: Entry) -> bool:
    """Whether the atlas cuts this picture into tiles; without a sheet it is shown whole."""
    if entry.kind != "picture" or entry.path is None or entry.sheet is None:
        return False
    if entry.name.startswith("top9/"):
        return "projections" in entry.sheet and entry.layer is not None
    return entry.name.startswith("images/") and "images" in entry.sheet


def atlas(run: Run) -> Atlas | None:
    """None where no grid of the run says where its tiles are: a run without looks inside, or of an older version."""
    pictures = [entry for entry in run.entries if in_atlas(entry)]
    grids: dict[str, list[Entry]] = {}
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
        "beside": beside(run.folder),
    }
    return Atlas(overview, layers)


def beside(folder: Path) -> list[dict[str, str]]:
    """The other runs in the same parent folder that have an atlas, newest first: title, folder, and where its report
    is as seen from the report of this one.
    """
    folder = folder.resolve()
    try:
        others = [other for other in folder.parent.iterdir() if other != folder and isdir(other / "report" / "atlas")]
    except OSError:  # a parent that may not be read
        return []
    others = sorted(others, key=lambda other: (started(other), other.name), reverse=True)[:BESIDE]
    return [
        {"title": _title(other), "folder": other.name, "report": f"../../{quote(other.name)}/report/"}
        for other in others
    ]


def _title(folder: Path) -> str:
    """<date>_<time>_<name> in words; the row of a sweep goes by its folder's name."""
    dated = re.match(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)[\d-]*_(.+)", folder.name)
    if not dated:
        return folder.name
    return f"{dated[2]}, {datetime.strptime(dated[1], '%Y-%m-%d_%H-%M-%S').strftime('%-d %B %Y, %H:%M')}"


def _frames(entries: list[Entry]) -> list[Entry]:
    """The grids of a layer by epoch; those that show other maps than the last one does are left out."""
    ordered = sorted(entries, key=lambda entry: -1 if entry.epoch is None else entry.epoch)
    return [entry for entry in ordered if _sheet(entry)["maps"] == _sheet(ordered[-1])["maps"]]


def _layer(folder: Path, layer: str, frames: list[Entry]) -> dict[str, Any]:
    """What a layer's script says: its frames, and for each the record of the shown maps and how much of it is old."""
    records = [record_layer(folder, frame.epoch, layer) for frame in frames]
    maps = _sheet(frames[-1])["maps"]  # the same in every frame
    return {
        "frames": [{"epoch": frame.epoch, "source": _source(frame), "sheet": _sheet(frame)} for frame in frames],
        "top": [[nine._asdict() for nine in nines(record, maps)] for record in records],
        "kept": [kept(now, then, maps) for now, then in zip(records, [None, *records[:-1]], strict=True)],
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


def _sheet(entry: Entry) -> dict[str, Any]:
    assert entry.sheet is not None
    return entry.sheet


def _source(entry: Entry) -> str:
    return "../" + quote(str(entry.path))
