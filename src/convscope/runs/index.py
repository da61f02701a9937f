"""What index.jsonl says stands where on a packed picture, believed only where it can be true.

Two kinds of sheets: a top-9 grid, whose maps have nine projections and nine image patches each, and thumbnails of whole
images in reading order.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

MOST = 4096  # maps or images of one sheet
SIDE = 65_535  # pixels of a JPEG's side
WORDS = 1000  # letters of a file's name
_NINE = 9
_THUMBNAILS = ("tile", "columns", "images", "labels", "names")


def checked_sheet(said: Any) -> dict[str, Any] | None:
    """The sheet with the keys that a viewer reads and no others; None for what is damaged, hostile or no sheet."""
    if not isinstance(said, dict):
        return None
    return _grid(said) or _thumbnails(said)


def _grid(said: dict[str, Any]) -> dict[str, Any] | None:
    size, tile, step, maps, count = (said.get(key, 0) for key in ("size", "tile", "step", "maps", "count"))
    places = [said.get("projections", 0), said.get("patches", 0)]
    if not (_counts(size, SIDE, least=1) and len(size) == 2 and _counts([tile, step], SIDE, least=1)):
        return None
    if not (_counts(maps, 2**31) and _counts(count, _NINE) and len(maps) == len(count)):
        return None
    room = [length - 2 * step - tile for length in size]  # where nine tiles may begin
    if not all(isinstance(each, list) and len(each) == len(maps) for each in places):
        return None
    if not all(_counts(corner, SIDE) and len(corner) == 2 for each in places for corner in each):
        return None
    if any(at > most for each in places for corner in each for at, most in zip(corner, room, strict=True)):
        return None
    grid = {key: said[key] for key in ("size", "tile", "step", "maps", "projections", "patches", "count")}
    return grid | _since_0_2(said, count)


def _since_0_2(said: dict[str, Any], count: list[int]) -> dict[str, Any]:
    """What grids of version 0.1 do not say, which drew whole fields by the deconvnet.

    rule: in words. cuts: for each map the side of its squares and where in the field each begins, [side, [[row, col]]].
    """
    rule, cuts = said.get("rule"), said.get("cuts")
    newer: dict[str, Any] = {"rule": rule} if isinstance(rule, str) and len(rule) <= WORDS else {}
    if isinstance(cuts, list) and len(cuts) == len(count) and all(map(_is_cut, cuts, count)):
        newer["cuts"] = cuts
    return newer


def _is_cut(cut: Any, count: int) -> bool:
    if not isinstance(cut, list) or len(cut) != 2 or not _counts(cut[:1], SIDE) or not isinstance(cut[1], list):
        return False
    return len(cut[1]) == count and all(_counts(corner, SIDE, -SIDE) and len(corner) == 2 for corner in cut[1])


def _thumbnails(said: dict[str, Any]) -> dict[str, Any] | None:
    tile, columns, images, labels, names = (said.get(key, 0) for key in _THUMBNAILS)
    if not (_counts([tile, columns], SIDE, least=1) and _counts(images, 2**53) and _counts(labels, 2**31)):
        return None
    if not isinstance(names, list) or not len(images) == len(labels) == len(names):
        return None
    if not all(isinstance(name, str) and len(name) <= WORDS for name in names):
        return None
    return {key: said[key] for key in _THUMBNAILS}


def _counts(values: Any, most: int, least: int = 0) -> bool:
    """Whether this is a list, not too long, of whole numbers in least .. most; True is none."""
    if not isinstance(values, list) or len(values) > MOST:
        return False
    return all(type(value) is int and least <= value <= most for value in values)


class IndexEntry(NamedTuple):
    """One line of index.jsonl. path: inside the run folder and there, None for a number. sheet: what stands where on a
    packed picture, None for others and where it cannot be true.
    """

    kind: str
    name: str
    epoch: int | None
    path: str | None
    value: float | None
    caption: str
    layer: str | None
    sheet: dict[str, Any] | None = None


_SUFFIXES: dict[str, set[str]] = {"picture": {".jpg", ".jpeg", ".png"}, "table": {".csv"}, "number": set()}


def read_index(folder: Path) -> tuple[list[IndexEntry], list[str]]:
    entries: dict[tuple[str, str, int | None], IndexEntry] = {}
    damaged = refused = 0
    for line in read_text(folder / "index.jsonl").split("\n"):  # not splitlines: a caption may hold U+2028
        entry = _entry(line) if line.strip() else None
        if entry is None:
            damaged += bool(line.strip())
        elif entry.kind not in _SUFFIXES:
            continue
        elif entry.path is not None and not _inside(folder, entry):
            refused += 1
        elif entry.path is None or (folder / entry.path).is_file():
            entries[entry.kind, entry.name, entry.epoch] = entry
    remarks = []
    if refused:
        remarks.append(f"index.jsonl names {_count(refused, 'file')} outside this folder or of another kind; not shown")
    if damaged:
        remarks.append(f"{_count(damaged, 'line')} of index.jsonl cannot be read; not shown")
    return list(entries.values()), remarks


def read_text(path: Path) -> str:
    """The text of a file, whatever its bytes; "" for an absent one."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def _entry(line: str) -> IndexEntry | None:
    try:
        said = json.loads(line)
        epoch, value, layer = said.get("epoch"), said.get("value"), said.get("layer")
        return IndexEntry(
            str(said["kind"]),
            str(said["name"]),
            None if epoch is None else int(epoch),
            None if "path" not in said else str(said["path"]),
            None if value is None else float(value),
            str(said.get("caption", "")),
            None if layer is None else str(layer),
            checked_sheet(said.get("sheet")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _inside(folder: Path, entry: IndexEntry) -> bool:
    path = PurePosixPath(str(entry.path))
    if path.is_absolute() or ".." in path.parts or {"\\", "\0"} & set(str(path)):
        return False
    if path.suffix.lower() not in _SUFFIXES[entry.kind]:
        return False
    return (folder / path).resolve().is_relative_to(folder.resolve())  # a link may lead out
