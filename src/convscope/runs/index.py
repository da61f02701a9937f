"""index.jsonl: a line for every conclusion, picture, number and table of a run folder, checked before use.

The file may be damaged or hostile. A path must stay within the folder. The sheet of a packed picture, which says where
its tiles are, must fit a picture. There are three kinds of sheets: a top-9 grid, whose maps have nine projections and
nine image patches each; in reading order, thumbnails of whole images; and the strongest projection of each map.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from convscope.runs.number_format import counted

MAX_TILES = 4096  # maps or images of one sheet
MAX_SIDE = 65_535  # pixels of a JPEG's side
MAX_TEXT = 1000  # characters of a file name or a rule
OUTCOME = "outcome"  # name of the conclusion on a whole run, the first line of its page
PARTNERS = "match/partners/"  # before the layer, in the names of grids of a map's partners in another run
_NINE = 9
_GRID_KEYS = ("size", "tile", "step", "maps", "projections", "patches", "count")
_THUMBNAIL_KEYS = ("tile", "columns", "images", "labels", "names")
_STRIP_KEYS = ("tile", "columns", "maps")
_SUFFIXES: dict[str, set[str]] = {"picture": {".jpg", ".jpeg", ".png", ".webp"}, "table": {".csv"}, "number": set()}


class IndexEntry(NamedTuple):
    """One line of index.jsonl.

    path: of an existing file within the run folder, None for a number and a conclusion. sheet: where the tiles of a
    packed picture are, None for other pictures and for a sheet that cannot be true.
    """

    kind: str
    name: str
    epoch: int | None
    path: str | None
    value: float | None
    caption: str
    layer: str | None
    sheet: dict[str, Any] | None = None


def read_index(folder: Path) -> tuple[list[IndexEntry], list[str]]:
    """The last entry of each kind, name and epoch, in order of first appearance; and remarks on lines left out."""
    entries: dict[tuple[str, str, int | None], IndexEntry] = {}
    damaged = refused = 0
    for line in read_text(folder / "index.jsonl").split("\n"):  # not splitlines: a caption may hold U+2028
        entry = _entry(line) if line.strip() else None
        if entry is None:
            damaged += bool(line.strip())
        elif entry.kind not in (*_SUFFIXES, "conclusion"):
            continue
        elif entry.path is not None and not _is_inside(folder, entry):
            refused += 1
        elif entry.path is None or (folder / entry.path).is_file():
            entries[entry.kind, entry.name, entry.epoch] = entry
    remarks = []
    if refused:
        remarks.append(
            f"index.jsonl names {counted(refused, 'file')} outside this folder or of another kind; not shown"
        )
    if damaged:
        remarks.append(f"{counted(damaged, 'line')} of index.jsonl cannot be read; not shown")
    return list(entries.values()), remarks


def read_text(path: Path) -> str:
    """The text of a file, with replacement characters for bytes that are not UTF-8; "" for an absent file."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def checked_sheet(sheet: Any) -> dict[str, Any] | None:
    """The sheet with the keys that a viewer reads and no others; None for a damaged or hostile one."""
    if not isinstance(sheet, dict):
        return None
    return _grid(sheet) or _thumbnails(sheet) or _strip(sheet)


def _entry(line: str) -> IndexEntry | None:
    try:
        fields = json.loads(line)
        epoch, value, layer = fields.get("epoch"), fields.get("value"), fields.get("layer")
        return IndexEntry(
            str(fields["kind"]),
            str(fields["name"]),
            None if epoch is None else int(epoch),
            None if "path" not in fields else str(fields["path"]),
            None if value is None else float(value),
            str(fields.get("caption", "")),
            None if layer is None else str(layer),
            checked_sheet(fields.get("sheet")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _is_inside(folder: Path, entry: IndexEntry) -> bool:
    path = PurePosixPath(str(entry.path))
    if path.is_absolute() or ".." in path.parts or {"\\", "\0"} & set(str(path)):
        return False
    if path.suffix.lower() not in _SUFFIXES.get(entry.kind, ()):  # words and numbers have no file
        return False
    return (folder / path).resolve().is_relative_to(folder.resolve())  # a link may lead out


def _grid(sheet: dict[str, Any]) -> dict[str, Any] | None:
    size, tile, step, maps, count = (sheet.get(key, 0) for key in ("size", "tile", "step", "maps", "count"))
    corners = [sheet.get("projections", 0), sheet.get("patches", 0)]
    if not (_are_integers(size, MAX_SIDE, low=1) and len(size) == 2 and _are_integers([tile, step], MAX_SIDE, low=1)):
        return None
    if not (_are_integers(maps, 2**31) and _are_integers(count, _NINE) and len(maps) == len(count)):
        return None
    if not all(isinstance(of_maps, list) and len(of_maps) == len(maps) for of_maps in corners):
        return None
    if not all(_are_integers(corner, MAX_SIDE) and len(corner) == 2 for of_maps in corners for corner in of_maps):
        return None
    last = [length - 2 * step - tile for length in size]  # the last corner from which three tiles fit
    if any(x > last[0] or y > last[1] for of_maps in corners for x, y in of_maps):
        return None
    return {key: sheet[key] for key in _GRID_KEYS} | _since_0_2(sheet, count)


def _since_0_2(sheet: dict[str, Any], count: list[int]) -> dict[str, Any]:
    """The keys that grids of version 0.1 lack; that version drew whole receptive fields by the deconvnet.

    rule: of the projection, in words. cuts: for each map [side, [[row, col], ...]], the side of its square tiles in
    pixels and the corner of each within the receptive field.
    """
    rule, cuts = sheet.get("rule"), sheet.get("cuts")
    newer: dict[str, Any] = {"rule": rule} if isinstance(rule, str) and len(rule) <= MAX_TEXT else {}
    if isinstance(cuts, list) and len(cuts) == len(count) and all(map(_is_cut, cuts, count)):
        newer["cuts"] = cuts
    return newer


def _is_cut(cut: Any, count: int) -> bool:
    if not isinstance(cut, list) or len(cut) != 2 or not _are_integers(cut[:1], MAX_SIDE):
        return False
    if not isinstance(cut[1], list) or len(cut[1]) != count:
        return False
    return all(_are_integers(corner, MAX_SIDE, -MAX_SIDE) and len(corner) == 2 for corner in cut[1])


def _thumbnails(sheet: dict[str, Any]) -> dict[str, Any] | None:
    tile, columns, images, labels, names = (sheet.get(key, 0) for key in _THUMBNAIL_KEYS)
    if not (_are_integers([tile, columns], MAX_SIDE, low=1) and _are_integers(images, 2**53)):
        return None
    if not (_are_integers(labels, 2**31) and isinstance(names, list) and len(images) == len(labels) == len(names)):
        return None
    if not all(isinstance(name, str) and len(name) <= MAX_TEXT for name in names):
        return None
    return {key: sheet[key] for key in _THUMBNAIL_KEYS}


def _strip(sheet: dict[str, Any]) -> dict[str, Any] | None:
    tile, columns, maps = (sheet.get(key, 0) for key in _STRIP_KEYS)
    is_strip = _are_integers([tile, columns], MAX_SIDE, low=1) and _are_integers(maps, 2**31)
    return {key: sheet[key] for key in _STRIP_KEYS} if is_strip else None


def _are_integers(values: Any, high: int, low: int = 0) -> bool:
    """Whether this is a list of at most MAX_TILES integers in low .. high; True is no integer here."""
    if not isinstance(values, list) or len(values) > MAX_TILES:
        return False
    return all(type(value) is int and low <= value <= high for value in values)
