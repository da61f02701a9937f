"""A csv file that lists images: a column `path`, relative to the csv's folder, and columns of annotations."""

import csv as csv_reader
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from convscope.errors import UserError

ORIENTATION, QUARTER_TURNS = 0x0112, {5, 6, 7, 8}  # EXIF: values that turn an image by a quarter


class Row(NamedTuple):
    """A line of the csv. where: file and line, for messages. cells: stripped text by column. path: of the image."""

    where: str
    path: Path
    cells: dict[str, str]


class Listing(NamedTuple):
    """The columns of a csv and its rows, at least one."""

    csv: Path
    columns: list[str]
    rows: list[Row]


def read_listing(csv: Path) -> Listing:
    """The rows of a csv file. Raises UserError: no such file, no text, no column path, no rows."""
    try:
        with open(csv, newline="", encoding="utf-8-sig") as file:
            reader = csv_reader.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if any(line)]
    except (OSError, UnicodeDecodeError, csv_reader.Error) as error:
        reason = getattr(error, "strerror", None) or f"no csv file of UTF-8 text ({error})"
        raise UserError(f"{csv}: {reason}; name a csv file whose first line has its columns, path,... ") from None
    columns = lines[0][1] if lines else []
    need(csv, columns, ["path"])
    rows = []
    for number, line in lines[1:]:
        cells = dict(zip(columns, [*line, *[""] * len(columns)], strict=False))
        rows.append(Row(f"{csv} line {number}", csv.parent / cells["path"], cells))
    if not rows:
        raise UserError(f"{csv} has no rows below its columns {', '.join(columns)}")
    return Listing(csv, columns, rows)


def need(csv: Path, columns: Sequence[str], needed: Iterable[str]) -> None:
    """Raises UserError for a column that is needed and missing; the error lists the columns that exist."""
    if missing := [name for name in needed if name not in columns]:
        existing = ", ".join(columns) or "none"
        raise UserError(f"{csv} has no column {', '.join(missing)}; its columns: {existing}")


def narrowed(listing: Listing, only: Mapping[str, Any]) -> Listing:
    """Rows whose cells have these values; compares numbers as numbers. Raises UserError: no such column, no row."""
    need(listing.csv, listing.columns, only)
    rows = [row for row in listing.rows if all(_equal(row.cells[name], value) for name, value in only.items())]
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


def number(row: Row, column: str) -> float:
    """The number in a cell. Raises UserError for a cell that holds no number."""
    try:
        value = float(row.cells[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{row.where}: {column}={row.cells[column] or '(empty)'} is no number; needed are pixels")
    return value


def _equal(cell: str, value: Any) -> bool:
    try:
        return float(cell) == float(value)
    except (TypeError, ValueError):
        return cell == str(value)


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            width, height = image.size
            return (height, width) if image.getexif().get(ORIENTATION) in QUARTER_TURNS else (width, height)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path} cannot be read: {error}; mend it, or take its rows out of the csv") from None
