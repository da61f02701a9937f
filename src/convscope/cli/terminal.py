"""What a person at a terminal sees of a job's results: its small tables; pictures are for the page."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Drawn

from convscope.runs.number_format import number_as_in_caption, split_caption
from convscope.runs.record import Number, Result, Table

MAX_NUMBERS = 12  # numbers shown at the end of a job
MAX_ROWS = 40  # rows; a longer table is for its csv file
DEFAULT_WIDTH = 120  # columns where no terminal says how wide it is, as in a log file


def show_result(result: Result) -> None:
    """Prints a table of up to 40 rows; other results are passed over.

    A table too wide for the terminal that has few rows stands on its side: a line for each of its columns; one of
    classes by classes keeps its rows and has numbers for the names of its columns.
    """
    if not isinstance(result, Table) or not 0 < len(result.rows) <= MAX_ROWS:
        return
    terminal = _terminal()
    drawn, caption = _upright(result), result.caption or result.name
    if len(result.rows) < len(result.rows[0]) and Console(width=10_000).measure(drawn).maximum > terminal.width:
        if _crosses(result):
            drawn, caption = _upright(_numbered(result)), f"{caption}; columns are numbered as the rows are"
        else:
            drawn = _on_its_side(result)
    drawn.title, drawn.title_justify = escape(caption), "left"
    terminal.print(drawn)


def _crosses(table: Table) -> bool:
    """Whether the rows' names are columns as well, as classes by classes: on its side it would say the contrary."""
    names, columns = [next(iter(row.values())) for row in table.rows], list(table.rows[0])[1:]
    return names == columns[: len(names)]


def _numbered(table: Table) -> Table:
    """With numbers for the names of the columns that are names of rows, too."""
    first, *columns = table.rows[0]
    heads = {name: str(at) for at, name in enumerate(columns[: len(table.rows)], 1)}
    rows = [
        {first: f"{at} {row[first]}"} | {heads.get(name, name): row[name] for name in columns}
        for at, row in enumerate(table.rows, 1)
    ]
    return table._replace(rows=rows)


def show_numbers(results: Sequence[Number], folder: Path) -> None:
    """The figures that a job has found: the first FIGURES of them, in words and with their intervals."""
    told = [each for each in results if each.epoch is None and not each.name.endswith(("_low", "_high"))]
    drawn = Drawn(box=box.SIMPLE, show_header=False)
    drawn.add_column()
    drawn.add_column(justify="right", no_wrap=True)
    drawn.add_column(no_wrap=True)
    for each in told[:MAX_NUMBERS]:
        words, interval = split_caption(each.caption or each.name, each.value)
        drawn.add_row(escape(words), number_as_in_caption(each.caption, each.value), interval)
    if len(told) > MAX_NUMBERS:
        drawn.add_row(f"and {len(told) - MAX_NUMBERS} more in {escape(str(folder / 'summary.json'))}")
    if told:
        _terminal().print(drawn)


def show_warning(text: str) -> None:
    """What a person should know of a run that goes on all the same; of several processes the first says it."""
    if _is_first_process():
        print(f"warning: {text}", flush=True)


def show_start(start: Mapping[str, Any]) -> None:
    """Which weights a training run took from an earlier one, and which rows it leaves as they are."""
    if start and _is_first_process():
        print(start["words"], flush=True)


def show_outcome(name: str, outcome: Mapping[str, Any], goal: Mapping[str, Any]) -> None:
    """The numbers that a training run ends with, in one line; a sweep's lines can be read one below the other.

    goal: label and metric of what is best, as summary.json has them.
    """
    final, best = outcome["final"], outcome["best"]
    if final and _is_first_process():
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


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _upright(table: Table) -> Drawn:
    drawn = Drawn(box=box.SIMPLE_HEAD)
    for column, value in table.rows[0].items():
        justify: Any = "right" if isinstance(value, int | float) else "left"
        drawn.add_column(escape(column), justify=justify, overflow="fold")  # cut off, long names may look alike
    columns = [_column(table, name) for name in table.rows[0]]
    for cells in zip(*columns, strict=True):
        drawn.add_row(*map(escape, cells))
    return drawn


def _on_its_side(table: Table) -> Drawn:
    drawn = Drawn(box=box.SIMPLE, show_header=False)
    for name in table.rows[0]:
        drawn.add_row(escape(name), *map(escape, _column(table, name)))
    return drawn


def _column(table: Table, name: str) -> list[str]:
    """Its cells, a whole 90.0 among tenths with its zero."""
    values = [row.get(name) for row in table.rows]
    cells = [cell_text(value) for value in values]
    if {len(digits) for cell in cells for digits in re.findall(r"\.(\d+)", cell)} != {1}:
        return cells
    return [f"{value:.1f}" if isinstance(value, float) and cell.lstrip("-").isdigit() else cell
            for value, cell in zip(values, cells, strict=True)]  # fmt: skip


def cell_text(value: Any) -> str:
    """A cell: numbers in four digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
