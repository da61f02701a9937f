"""Csv files about images: lists of images with a column `path`, boxes around objects, and points on parts."""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from convscope.data.decode import Unreadable, content, described
from convscope.data.pixel_depth import upright_size
from convscope.data.transforms import stored_size
from convscope.errors import UserError, reason_of
from convscope.runs.csv_reader import need_columns, number_text, read_csv

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")  # an accent within its letter, and after it


class ListedImage(NamedTuple):
    """A line of the csv. where: file and line, for messages. cells: stripped text by column. path: of the image.

    decimal_comma: whether 1,5 is a number.
    """

    where: str
    path: Path
    cells: dict[str, str]
    decimal_comma: bool = False


class Listing(NamedTuple):
    """The columns of a csv and its rows, at least one."""

    csv: Path
    columns: list[str]
    rows: list[ListedImage]


def read_listing(csv: Path, needed: Sequence[str] = (), expected: str = "") -> Listing:
    """The rows of a csv file. needed: columns besides path, in lower case. expected: all of them, in words.

    Raises UserError as read_csv does, and for a row without a path.
    """
    expected = expected or f"a first line {','.join(['path', *(needed or ['...'])])}"
    table = read_csv(csv, ["path", *needed], expected)
    columns = [_standard_column(name) for name in table.columns]
    rows = []
    for line, values in table.rows:
        cells = dict(zip(columns, values, strict=True))
        if not cells["path"]:
            raise UserError(f"{csv} line {line} names no image: its cell in the column path is empty")
        rows.append(ListedImage(f"{csv} line {line}", _image_path(csv, cells["path"]), cells, table.decimal_comma))
    return Listing(csv, columns, rows)


def _standard_column(name: str) -> str:
    """The name of a column as the readers of this file write it, whatever its case: part, x, <part>_y."""
    if name.casefold() in ("part", "x", "y"):
        return name.casefold()
    return name[:-2] + name[-2:].lower() if name.endswith(("_X", "_Y")) else name


def _image_path(csv: Path, cell: str) -> Path:
    """The image of a cell, relative to the csv's folder. Windows writes backslashes, macOS accents of its own."""
    if "\\" not in cell and cell.isascii():
        return csv.parent / cell
    spellings = [unicodedata.normalize(form, text) for text in (cell, cell.replace("\\", "/")) for form in _FORMS]
    paths = [csv.parent / spelling for spelling in (cell, *spellings)]
    return next((path for path in paths if path.exists()), paths[0])


def narrowed(listing: Listing, only: Mapping[str, Any]) -> Listing:
    """Rows whose cells have these values; compares numbers as numbers. Raises UserError: no such column, no row."""
    names = {name: _column_of(name, listing.columns) for name in only}
    need_columns(listing.csv, listing.columns, list(names.values()))
    rows = [row for row in listing.rows if all(_equal(row, names[name], value) for name, value in only.items())]
    if not rows:
        conditions = ", ".join(f"{name}: {value}" for name, value in only.items())
        raise UserError(
            f"{listing.csv}: none of its {len(listing.rows)} rows has {conditions}; take another value or column"
        )
    return listing._replace(rows=rows)


def sizes(listing: Listing) -> dict[Path, tuple[int, int]]:
    """Width and height of each upright image (EXIF rotation obeyed). Raises UserError, which names missing images."""
    paths = list(dict.fromkeys(row.path for row in listing.rows))
    if missing := [path for path in paths if not path.is_file()]:
        first = ", ".join(map(str, missing[:3])) + (", ..." if missing[3:] else "")
        raise UserError(
            f"{listing.csv}: {len(missing)} of its {len(paths)} images are not there: {first}; "
            f"paths are relative to the csv's folder"
        )
    return {path: _size(path) for path in paths}


def number(row: ListedImage, column: str) -> float:
    """The number in a cell. Raises UserError for a cell that holds no number."""
    try:
        value = float(number_text(row.cells[column], row.decimal_comma))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{row.where}: {column}={row.cells[column] or '(empty)'} is no number; needed are pixels")
    return value


def _column_of(name: str, columns: Sequence[str]) -> str:
    """The column of this name; where there is none, the only one that has it in another case."""
    alike = [column for column in columns if column.casefold() == name.casefold()]
    return alike[0] if name not in columns and len(alike) == 1 else name


def _equal(row: ListedImage, column: str, value: Any) -> bool:
    cell = row.cells[column]
    try:
        return float(number_text(cell, row.decimal_comma)) == float(value)
    except (TypeError, ValueError):
        return cell == str(value) or (isinstance(value, bool) and cell.casefold() == str(value).casefold())


def _size(path: Path) -> tuple[int, int]:
    try:
        with suppress(UnidentifiedImageError), Image.open(path) as image:
            return upright_size(image)
        return described(content(path))[:2]  # a TIFF that Pillow does not know, or an error with a better reason
    except (OSError, ValueError, SyntaxError, Unreadable) as error:
        raise UserError(
            f"{path} cannot be read: {reason_of(error)}; mend it, or take its rows out of the csv"
        ) from None


SIDES = ("x0", "y0", "x1", "y1")
POINTS = "path,part,x,y or path,<part>_x,<part>_y"


class Boxes(NamedTuple):
    """n boxes. paths: the image of each box; an image with several boxes is repeated.

    boxes: [n, 4] float32 x0 y0 x1 y1 in the crop's pixels, clipped to the crop. cut_away: number of further boxes that
    lie outside of the crop. parts: what each box is around, "object" without a column part.
    """

    paths: list[Path]
    boxes: NDArray[np.float32]
    cut_away: int
    parts: list[str]


class Parts(NamedTuple):
    """Parts of what n images show. points: [n, parts, 2] float32 (x, y) in the crop's pixels.

    A point is nan where the csv has none. A point that the center crop cuts away lies outside 0 .. image_size.
    """

    paths: list[Path]
    names: list[str]
    points: NDArray[np.float32]


def to_crop(
    points: ArrayLike, size: tuple[int, int], image_size: int, stored: int | None = None
) -> NDArray[np.float64]:
    """Points [n, 2] (x, y) of an image of `size` (width, height) in pixels of the net's center crop [n, 2].

    Follows data/decode.py and data/transforms.py: smallest side to the stored size, its center, then the crop's center.
    """
    stored = stored or stored_size(image_size)
    fitted = np.array([max(stored, round(side * stored / min(size))) for side in size])
    cut = (fitted - stored) // 2 + (stored - image_size) // 2
    return np.asarray(points, dtype=float) * fitted / size - cut


def read_boxes(csv: str | Path, image_size: int, stored: int | None = None) -> Boxes:
    """Boxes of a csv with columns path,x0,y0,x1,y1; further columns are ignored. stored: see DataSettings.

    Raises UserError: no such file, column, row or image; no number; a box that is empty or leaves its image.
    """
    listing = read_listing(Path(csv).expanduser(), SIDES)
    size, rows = sizes(listing), listing.rows
    boxes = np.stack([_box(row, size[row.path], image_size, stored) for row in rows])
    boxes = np.clip(boxes, 0, image_size, dtype=np.float32)
    visible = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
    if not len(visible):
        raise UserError(f"{csv}: the center crop shows nothing of any of its {len(rows)} boxes; see data.image_size")
    parts = [rows[number].cells.get("part") or "object" for number in visible]
    return Boxes([rows[number].path for number in visible], boxes[visible], len(rows) - len(visible), parts)


def read_parts(csv: str | Path, image_size: int, only: Mapping[str, Any], stored: int | None = None) -> Parts:
    """Parts of a csv with columns path,part,x,y (a line per part) or path,<part>_x,<part>_y (a line per image).

    only: takes the rows where these columns have these values, {"frontal": 1}. Raises UserError: as read_boxes; a part
    that is given twice.
    """
    listing = narrowed(read_listing(Path(csv).expanduser(), expected=f"a first line {POINTS}"), only)
    columns, rows = listing.columns, listing.rows
    if {"part", "x", "y"} <= set(columns):
        names = list(dict.fromkeys(row.cells["part"] for row in rows))
        points = [(row, row.cells["part"], _point(row, "x", "y")) for row in rows]
    else:
        names = [name[:-2] for name in columns if name.endswith("_x") and f"{name[:-2]}_y" in columns]
        points = [(row, name, _point(row, f"{name}_x", f"{name}_y")) for row in rows for name in names]
    if not names:
        raise UserError(f"{csv} has no columns of points; its columns: {', '.join(columns)}; needed: {POINTS}")
    return _parts(points, names, sizes(listing), image_size, stored)


def _parts(
    marked_points: Iterable[tuple[ListedImage, str, tuple[float, float]]],
    names: list[str],
    size: Mapping[Path, tuple[int, int]],
    image_size: int,
    stored: int | None,
) -> Parts:
    places = {path: place for place, path in enumerate(size)}
    points = np.full((len(places), len(names), 2), np.nan, np.float32)
    marked: set[tuple[Path, str]] = set()
    for row, name, (x, y) in marked_points:
        if (row.path, name) in marked:
            raise UserError(f"{row.where}: {name} of {row.path.name} is given a second time; keep one of them")
        marked.add((row.path, name))
        width, height = size[row.path]
        if not math.isnan(x) and not (0 <= x <= width and 0 <= y <= height):
            image = f"{row.path.name}, which is {width} x {height} pixels"
            raise UserError(f"{row.where}: {name} at {x:g},{y:g} is outside of {image}")
        points[places[row.path], names.index(name)] = to_crop([(x, y)], size[row.path], image_size, stored)[0]
    return Parts(list(places), names, points)


def _point(row: ListedImage, x: str, y: str) -> tuple[float, float]:
    """(x, y); nan, nan where both cells are empty."""
    if not row.cells[x] and not row.cells[y]:
        return math.nan, math.nan
    return number(row, x), number(row, y)


def _box(row: ListedImage, size: tuple[int, int], image_size: int, stored: int | None) -> NDArray[np.float64]:
    """[4] in pixels of the crop, which the box may leave. Raises UserError: the box is empty or leaves its image."""
    x0, y0, x1, y1 = (number(row, side) for side in SIDES)
    box = f"{row.where}: box {x0:g},{y0:g},{x1:g},{y1:g}"
    if x0 >= x1 or y0 >= y1:
        raise UserError(f"{box} is empty; x0 < x1 and y0 < y1 are needed")
    if x0 < 0 or y0 < 0 or x1 > size[0] or y1 > size[1]:
        raise UserError(f"{box} leaves {row.path.name}, which is {size[0]} x {size[1]} pixels")
    return to_crop([(x0, y0), (x1, y1)], size, image_size, stored).reshape(4)
