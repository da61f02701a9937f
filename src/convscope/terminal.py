"""What a person at a terminal sees of a job's results: its small tables; pictures are for the page."""

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Drawn

from convscope.record import Result, Table

MOST = 40  # rows; a longer table is for its csv file


def show(result: Result) -> None:
    """Prints a table of up to 40 rows; other results are passed over."""
    if not isinstance(result, Table) or not 0 < len(result.rows) <= MOST:
        return
    drawn = Drawn(title=escape(result.caption or result.name), title_justify="left", box=box.SIMPLE_HEAD)
    for column, value in result.rows[0].items():
        drawn.add_column(escape(column), justify="right" if isinstance(value, int | float) else "left")
    for row in result.rows:
        drawn.add_row(*(escape(text(value)) for value in row.values()))
    Console().print(drawn)


def text(value: Any) -> str:
    """A cell: numbers in four digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
