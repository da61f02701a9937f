"""Results in the terminal: small tables, numbers and warnings; pictures are on the page."""

import re
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
LONGEST_NAME = 30  # of a layer that stays on one line
DEFAULT_WIDTH = 120  # columns where no terminal says how wide it is, as in a log file


def show_result(result: Result) -> None:
    """Prints a table of up to 40 rows; nothing for other results.

    A table that is too wide for the terminal and has few rows is printed transposed: a line for each column. A table of
    classes by classes keeps its rows, and numbers replace the names of its columns. Of a table that fits neither way,
    the ends of intervals are left out, then the last columns.
    """
    if isinstance(result, Conclusion):
        _terminal().print(result.caption, markup=False, highlight=False)
    if not isinstance(result, Table) or not 0 < len(result.rows) <= MAX_ROWS:
        return
    terminal = _terminal()
    drawn, caption = _upright(result), result.caption or result.name
    measure = Console(width=10_000).measure
    few = len(result.rows) < len(result.rows[0]) and measure(drawn).maximum > terminal.width
    if few and _is_square(result):
        drawn, caption = _upright(_numbered(result)), f"{caption}; columns are numbered as the rows are"
    elif few and measure(_transposed(result)).minimum <= terminal.width:
        drawn = _transposed(result)
    elif absent := _columns_without_room(result, terminal.width):
        rows = [{name: value for name, value in row.items() if name not in absent} for row in result.rows]
        drawn, caption = _upright(result._replace(rows=rows)), f"{caption}; {len(absent)} more columns in its csv file"
    drawn.title, drawn.title_justify = escape(caption), "left"
    terminal.print(drawn)


def _columns_without_room(table: Table, width: int) -> list[str]:
    """The columns to leave out so that no number of the others is broken into two lines."""
    names = list(table.rows[0])
    ends = [name for name in names if name.endswith(ENDS)]
    drops = ends + [name for name in reversed(names[1:]) if name not in ends]
    for count in (0, *range(len(ends), len(drops) + 1)):
        rest = [{name: row.get(name) for name in names if name not in drops[:count]} for row in table.rows]
        if Console(width=10_000).measure(_upright(table._replace(rows=rest))).minimum <= width:
            return drops[:count]
    return drops


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


def show_outcome(name: str, outcome: Mapping[str, Any], goal: Mapping[str, Any]) -> None:
    """Prints the last and the best numbers of a training run in one line, as a sweep has one for each run.

    goal: label and metric of what is best, as summary.json has them.
    """
    final, best = outcome["final"], outcome["best"]
    if final and is_first_process():
        precision = f", mean AP {final['val/mean_ap']:.1%}" if "val/mean_ap" in final else ""
        reached = f"; best {goal['label']} {best[goal['metric']]:.1%} in epoch {best['epoch']}" if best else ""
        print(
            f"{name}: val accuracy, top-1 {final['val/top1']:.1%}, mean of classes {final['val/class_mean']:.1%}"
            f"{precision} in epoch {final['epoch']}{reached}",
            flush=True,
        )


def _terminal() -> Console:
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=DEFAULT_WIDTH)


def _upright(table: Table) -> Drawn:
    drawn = Drawn(box=box.SIMPLE_HEAD)
    for column, value in table.rows[0].items():
        justify: Any = "right" if isinstance(value, int | float) else "left"
        is_name = column == "layer" and max(map(len, _column(table, column))) <= LONGEST_NAME
        # cut off, long names may look alike; features.10.expand1x1 stays on its line
        drawn.add_column(escape(column), justify=justify, overflow="fold", no_wrap=is_name)
    columns = [_column(table, name) for name in table.rows[0]]
    for cells in zip(*columns, strict=True):
        drawn.add_row(*map(escape, cells))
    return drawn


def _transposed(table: Table) -> Drawn:
    drawn = Drawn(box=box.SIMPLE, show_header=False)
    for name in table.rows[0]:
        drawn.add_row(escape(name), *map(escape, _column(table, name)))
    return drawn


def _column(table: Table, name: str) -> list[str]:
    """The cells of a column; among numbers in tenths 90.0 keeps its zero."""
    values = [row.get(name) for row in table.rows]
    cells = [cell_text(value) for value in values]
    if {len(digits) for cell in cells for digits in re.findall(r"\.(\d+)", cell)} != {1}:
        return cells
    return [f"{value:.1f}" if isinstance(value, float) and cell.lstrip("-").isdigit() else cell
            for value, cell in zip(values, cells, strict=True)]  # fmt: skip


def cell_text(value: Any) -> str:
    """The text of a cell: a float in four digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
