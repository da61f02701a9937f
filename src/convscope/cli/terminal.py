"""Results in the terminal: small tables, numbers and warnings; pictures are on the page."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Drawn

from convscope.cli.processes import is_first_process
from convscope.runs.number_format import number_as_in_caption, split_caption
from convscope.runs.record import Conclusion, Number, Result, Table

MAX_NUMBERS = 12  # numbers shown at the end of a job
MAX_ROWS = 40  # of a table; longer ones are only in their csv file
ENDS = ("_low", "_high", "_spread")  # of columns about the column before
SENTENCE = 60  # characters; a cell that is longer is a sentence, whose lines may break between words
NARROWEST = 30  # columns of the terminal for sentences
DIGITS = 4  # of the largest number of a column
DEFAULT_WIDTH = 120  # columns where no terminal says how wide it is, as in a log file


def show_result(result: Result, folder: Path) -> None:
    """Prints a table of up to 40 rows; nothing for other results. folder: of the run, with the csv file of the table.

    Only sentences and heads break into lines. A table that is too wide for the terminal and has few rows is printed
    transposed: a line for each column. A table of classes by classes keeps its rows, and numbers replace the names of
    its columns. Of a table that fits neither way, the caption is printed with the path of its csv file.
    """
    if isinstance(result, Conclusion):
        _terminal().print(result.caption, markup=False, highlight=False)
    if not isinstance(result, Table) or not 0 < len(result.rows) <= MAX_ROWS:
        return
    terminal, caption = _terminal(), result.caption or result.name
    laid_out = _laid_out(result, terminal.width)
    if laid_out is None:
        path = folder / "tables" / f"{result.name}.csv"
        terminal.print(escape(f"{caption}; too wide for this terminal: {path}\n"), highlight=False, soft_wrap=True)
        return
    drawn, remark = laid_out
    terminal.print(escape(caption + remark), highlight=False, style="italic")
    terminal.print(drawn)


def _laid_out(table: Table, width: int) -> tuple[Drawn, str] | None:
    """The table as it fits this width with all its columns, and a remark on how; None where it does not."""
    few = len(table.rows) < len(table.rows[0])
    if _width(_upright(table)) <= width:
        return _upright(table), ""
    if few and _is_square(table):
        table, remark = _numbered(table), "; columns are numbered as the rows are"
        drawn = _upright(table) if _width(_upright(table)) <= width else _narrow(table)
        return (drawn, remark) if _least_width(table) <= width else None
    if few and (transposed := _transposed(table, width)):
        return transposed, ""
    return (_narrow(table), "") if _least_width(table) <= width else None


def _width(drawn: Drawn) -> int:
    """Columns of the terminal that a table takes where no line is broken."""
    return Console(width=10_000).measure(drawn).maximum


def _least_width(table: Table) -> int:
    """Columns of the terminal that a table takes where its heads and sentences are broken into lines."""
    drawn = _narrow(table)
    for column in drawn.columns:
        column.max_width = column.min_width
    return _width(drawn)


def _is_square(table: Table) -> bool:
    """Whether the names of the rows are columns too, as in classes by classes: transposed it would say the contrary."""
    names, columns = [next(iter(row.values())) for row in table.rows], list(table.rows[0])[1:]
    return names == columns[: len(names)]


def _numbered(table: Table) -> Table:
    """The table with numbers for the names of the columns that are also names of rows."""
    first, *columns = table.rows[0]
    heads = {name: str(number) for number, name in enumerate(columns[: len(table.rows)], 1)}
    rows = [
        {first: f"{number} {row[first]}"} | {heads.get(name, name): row[name] for name in columns}
        for number, row in enumerate(table.rows, 1)
    ]
    return table._replace(rows=rows)


def show_numbers(results: Sequence[Number], folder: Path) -> None:
    """Prints the numbers of a job: the first MAX_NUMBERS of them, with captions and intervals."""
    numbers = [number for number in results if number.epoch is None and not number.name.endswith(("_low", "_high"))]
    drawn = Drawn(box=box.SIMPLE, show_header=False)
    drawn.add_column()
    drawn.add_column(justify="right", no_wrap=True)
    drawn.add_column(no_wrap=True)
    for number in numbers[:MAX_NUMBERS]:
        description, interval = split_caption(number.caption or number.name, number.value)
        drawn.add_row(escape(description), number_as_in_caption(number.caption, number.value), interval)
    if len(numbers) > MAX_NUMBERS:
        drawn.add_row(f"and {len(numbers) - MAX_NUMBERS} more in {escape(str(folder / 'summary.json'))}")
    if numbers:
        _terminal().print(drawn)


def show_line(text: str) -> None:
    """Prints a line; of several processes only the first does."""
    if is_first_process():
        print(text, flush=True)


def show_warning(text: str) -> None:
    """Prints a warning as `show_line`."""
    show_line(f"warning: {text}")


def show_start(start: Mapping[str, Any]) -> None:
    """Prints which weights a training run took from an earlier net, and which rows are frozen."""
    if start:
        show_line(start["words"])


def _terminal() -> Console:
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=DEFAULT_WIDTH)


def _upright(table: Table) -> Drawn:
    drawn = Drawn(box=box.SIMPLE_HEAD)
    for column, value in table.rows[0].items():
        justify: Any = "right" if isinstance(value, int | float) else "left"
        drawn.add_column(escape(column), justify=justify)
    columns = [_column(table, name) for name in table.rows[0]]
    for cells in zip(*columns, strict=True):
        drawn.add_row(*map(escape, cells))
    return drawn


def _narrow(table: Table) -> Drawn:
    """The table with the heads of its columns, and its sentences, in several lines."""
    drawn = _upright(table)
    for column, name in zip(drawn.columns, table.rows[0], strict=True):
        cells = _column(table, name)
        column.no_wrap, column.overflow = not _has_sentences(cells), "fold"
        column.min_width = min(NARROWEST, max(map(len, cells)))
        if column.no_wrap:
            column.min_width = max(map(len, [*cells, *name.split()]))
            column.header = escape(textwrap.fill(name, column.min_width))
    return drawn


def _transposed(table: Table, width: int) -> Drawn | None:
    """A line for each column of the table; None where they do not fit this width."""
    lines = {name: _column(table, name) for name in table.rows[0]}
    words = [[cell for cell in cells if len(cell) <= SENTENCE] for cells in zip(*lines.values(), strict=True)]
    least = max([len(cell) for cells in words for cell in cells], default=1)
    if any(_has_sentences(cells) for cells in lines.values()):
        room = (width - max(map(len, lines)) - 4) // len(table.rows) - 2  # of a row: between columns are two spaces
        least = max(room, least, NARROWEST)
    drawn = Drawn(box=box.SIMPLE, show_header=False)
    drawn.add_column(no_wrap=True)
    for _ in table.rows:
        drawn.add_column(overflow="fold", max_width=least)
    for name, cells in lines.items():
        drawn.add_row(escape(name), *map(escape, cells))
    return drawn if _width(drawn) <= width else None


def _has_sentences(cells: Sequence[str]) -> bool:
    return any(len(cell) > SENTENCE for cell in cells)


def _column(table: Table, name: str) -> list[str]:
    """The cells of a column. Its numbers, and those of the ends of its intervals, have equally many decimals."""
    values = [row.get(name) for row in table.rows]
    base = next((name.removesuffix(end) for end in ENDS if name.endswith(end)), name)
    family = [name for name in (base, *(f"{base}{end}" for end in ENDS)) if name in table.rows[0]]
    decimals = _decimals([row.get(name) for name in family for row in table.rows])
    return [cell_text(value, decimals) for value in values]


def _decimals(values: Sequence[Any]) -> int | None:
    """Decimals that show four digits of the largest number, or fewer where all numbers have fewer.

    None where the numbers are too large or too small for that.
    """
    numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    largest = max(map(abs, numbers), default=0.0)
    if not 1e-3 <= largest < 1e6:
        return None
    most = max(0, DIGITS - 1 - math.floor(math.log10(largest)))
    return max(len(f"{number:.{most}f}".partition(".")[2].rstrip("0")) for number in numbers)


def cell_text(value: Any, decimals: int | None = None) -> str:
    """The text of a cell: a float with these decimals, or in four digits; nothing for None."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if decimals is None or not math.isfinite(value) else f"{value:z.{decimals}f}"
