"""Reads csv files as any program or person saves them: the only reader of csv files.

A spreadsheet chooses encoding, delimiter, line ends and quotes by the language of its user, and fills rows and columns
up with empty cells. Cells come back without the blanks around them.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from convscope.errors import UserError

DELIMITERS = (",", ";", "\t")
MAX_BYTES = 2**27  # of a file; a million boxes take half of it
MAX_COLUMNS, MAX_ROWS, MAX_CELLS = 10_000, 2 * 10**6, 2**25  # of a table
TRIED_ROWS, TRIED_LETTERS = 1000, 2**20  # at the start, by which the delimiter is chosen
LISTED_COLUMNS, LONGEST_COLUMN = 12, 40  # columns, and letters of their names, in a message
_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}  # fmt: skip
_OTHER_FILES = {b"PK\x03\x04": "a workbook (xlsx, ods)", b"\xd0\xcf\x11\xe0": "a workbook (xls)", b"%PDF": "a PDF"}
_DECIMAL_COMMA = re.compile(r"[-+]?(\d+|\d{1,3}(\.\d{3})+)?,\d+([eE][-+]?\d+)?")
_END = "\ue000 end of the file"


class CsvRow(NamedTuple):
    """line: where the row begins, counted from 1. cells: one for each column, fewer where the line is shorter."""

    line: int
    cells: list[str]


class CsvTable(NamedTuple):
    """The header of a csv file and the rows below it that are not empty.

    decimal_comma: whether 1,5 is a number, as where semicolons or tabs stand between cells.
    """

    columns: list[str]
    rows: list[CsvRow]
    decimal_comma: bool = False


def read_csv(path: Path, needed: Sequence[str], expected: str) -> CsvTable:
    """The table of a csv file. needed: columns, in lower case, which the file may write in any case.

    expected: the form of the file, for messages. Raises UserError, with file and line: it cannot be read, is no csv,
    or has no rows or not these columns. Short rows are filled up with empty cells.
    """
    try:
        table = csv_table_of(decoded(_content(path)), needed)
    except ValueError as error:
        raise UserError(f"{path}: {error}; needed: {expected}") from None
    need_columns(path, table.columns, needed, f"; needed: {expected}")
    if not table.rows:
        raise UserError(f"{path} has no rows below its columns {_in_words(table.columns)}; needed: {expected}")
    width = len(table.columns)
    return table._replace(rows=[CsvRow(line, cells + [""] * (width - len(cells))) for line, cells in table.rows])


def need_columns(path: Path, columns: Sequence[str], needed: Sequence[str], remedy: str = "") -> None:
    """Raises UserError for a column that is missing or there twice; the error lists the columns that exist."""
    if missing := [name for name in needed if name not in columns]:
        existing = _in_words(columns) or "none"
        raise UserError(f"{path} has no column {', '.join(missing)}; its columns: {existing}{remedy}")
    if twice := [name for name in needed if list(columns).count(name) > 1]:
        raise UserError(f"{path} has the column {twice[0]} twice; remove or rename one of them")


def decoded(content: bytes) -> str:
    """The text of a csv file: UTF-8, or UTF-16 or UTF-32 by its mark, else Windows-1252, which Latin-1 is a part of.

    Raises ValueError where it is no text.
    """
    if other := next((name for mark, name in _OTHER_FILES.items() if content.startswith(mark)), None):
        raise ValueError(f"it is {other} and no csv; save it as csv (UTF-8) from the program that wrote it")
    encoding = _encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(f"it is no text of {encoding} ({error.reason} at byte {error.start})") from None
        text = content.decode("cp1252", "replace")
    if "\0" in text:
        raise ValueError(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1} has zero bytes, so it is no text")
    return text.lstrip("\ufeff")


def has_guessed_letters(path: Path) -> bool:
    """Whether nothing in a file that `read_csv` has read says its encoding, so that it is read as Windows-1252."""
    content = path.read_bytes()
    try:
        content.decode(_encoding(content))
    except UnicodeDecodeError:
        return True
    return False


def csv_table_of(text: str, needed: Sequence[str] = ()) -> CsvTable:
    """The table in a text. Raises ValueError where a quote stays open, or for a row of too many cells.

    The delimiter is that of a first line sep=; or, of comma, semicolon and tab, the one that gives the needed columns.
    """
    separator = re.match(r'"?sep=([^\w\s"]|\t)"?[\r\n]', text, re.I)
    delimiter = separator[1] if separator else max(DELIMITERS, key=lambda sign: _fitness(text, sign, needed))
    rows, body = _rows(text, delimiter), list[CsvRow]()
    header = next(rows, None)
    columns = [_column(name, needed) for name in _filled(header.cells)] if header else []
    for row in rows:
        if len(body) >= min(MAX_ROWS, MAX_CELLS // len(columns)):
            raise ValueError(f"it has more rows than {len(body):,}, which is too many for {len(columns):,} columns")
        body.append(CsvRow(row.line, row.cells[: len(columns)]))
    return CsvTable(columns, body, delimiter != ",")


def number_text(cell: str, decimal_comma: bool) -> str:
    """The cell, with a decimal point where it is a number with a decimal comma: 1.234,5 -> 1234.5."""
    if not decimal_comma:
        return cell
    plain = re.sub(r"(?<=\d)[\u00a0\u202f ](?=\d)", "", cell)
    return plain.replace(".", "").replace(",", ".") if _DECIMAL_COMMA.fullmatch(plain) else cell


def _content(path: Path) -> bytes:
    """The bytes of a file. Raises ValueError where it is no file, cannot be read, is empty or too large."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise ValueError("it is no file" if not path.is_dir() else "it is a folder")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"it has {size / 2**20:,.0f} MiB, and a csv may have {MAX_BYTES >> 20}")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if not content.strip():
        raise ValueError("it is empty")
    return content


def _encoding(content: bytes) -> str:
    """The encoding by the mark, else UTF-8, or UTF-16, in which every other byte of a Latin letter is zero."""
    if marked := next((name for mark, name in _MARKS.items() if content.startswith(mark)), None):
        return marked
    even, odd = (content[start:4096:2].count(0) for start in (0, 1))
    if max(even, odd) > len(content[:4096]) / 8 and not min(even, odd):
        return "utf-16-be" if even else "utf-16-le"
    return "utf-8"


def _fitness(text: str, delimiter: str, needed: Sequence[str]) -> tuple[bool, int, int]:
    """How well the delimiter explains the first rows: the needed columns, few rows longer than the header, columns."""
    rows = list[CsvRow]()
    with suppress(ValueError):  # of the part that ends in the middle of a row
        for row in islice(_rows(text[:TRIED_LETTERS], delimiter), TRIED_ROWS):
            rows.append(row)
    header, *body = rows or [CsvRow(1, [])]
    has_needed = set(needed) <= {_column(name, needed) for name in header.cells}
    columns = len(_filled(header.cells))
    return has_needed, -sum(len(_filled(row.cells)) > columns for row in body), columns


def _rows(text: str, delimiter: str) -> Iterator[CsvRow]:
    """Rows that are not empty. Raises ValueError for a quote that stays open."""
    limit, number = csv.field_size_limit(), 0
    reader = csv.reader(_lines(text, delimiter), delimiter=delimiter, skipinitialspace=True)
    while True:
        start = reader.line_num + 1
        csv.field_size_limit(2 * MAX_BYTES)  # of all readers of this process: only while this one reads
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"line {start}: {error}") from None
        finally:
            csv.field_size_limit(limit)
        if cells == [_END]:
            return
        if cells and cells[-1].endswith(_END):
            raise ValueError(f'the quote " that opens in the row of line {start} is not closed')
        number += 1
        if any(cells) and not (number == 1 and re.fullmatch("sep=.?", cells[0], re.I)):
            yield CsvRow(start, cells)


def _lines(text: str, delimiter: str) -> Iterator[str]:
    """The lines and one more that ends the file. Raises ValueError for a row of too many cells."""
    for number, match in enumerate(re.finditer(r"[^\r\n]*(\r\n|\r|\n)|[^\r\n]+$", text), 1):
        line = match[0] if match[1] else f"{match[0]}\n"
        if line.count(delimiter) > MAX_COLUMNS:
            line = line.rstrip(f"{delimiter}\r\n ") + "\n"
            if line.count(delimiter) > MAX_COLUMNS:
                raise ValueError(f"line {number} has more than {MAX_COLUMNS:,} cells")
        yield line
    yield _END


def _filled(cells: list[str]) -> list[str]:
    """The cells without the empty ones at their end."""
    count = next((count for count in range(len(cells), 0, -1) if cells[count - 1]), 0)
    return cells[:count]


def _column(name: str, needed: Sequence[str]) -> str:
    """The needed column of this name in any case, else the name."""
    return name.casefold() if name.casefold() in needed else name


def _in_words(columns: Sequence[str]) -> str:
    """The first columns for a message of one line, long names cut."""
    names = [ascii(name)[1:-1] if not name.isprintable() else name for name in columns[:LISTED_COLUMNS]]
    cut = [f"{name[:LONGEST_COLUMN]}..." if len(name) > LONGEST_COLUMN else name for name in names]
    more = len(columns) - LISTED_COLUMNS
    return ", ".join(cut) + (f" and {more:,} more" if more > 0 else "")
