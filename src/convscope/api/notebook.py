"""Results as html for a notebook: pictures with captions, numbers, tables."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from convscope.api.pictures import web_image
from convscope.runs.record import Number, Picture, Table

PICTURES, NUMBERS, TABLES, ROWS, LETTERS = 8, 12, 4, 12, 80  # shown at most; letters of a cell
CELL = 'style="text-align:left;vertical-align:top"'


def findings_html(title: str, conclusion: str, results: Sequence[Picture | Number | Table]) -> str:
    """Results under a title and a conclusion, each with its name and caption. Of many the first are shown, the others
    counted.
    """
    pictures = [result for result in results if isinstance(result, Picture)]
    numbers = [result for result in results if isinstance(result, Number)]
    tables = [result for result in results if isinstance(result, Table)]
    parts = [f"<h4>{escape(title)}</h4>", *([f"<p>{escape(conclusion)}</p>"] if conclusion else [])]
    parts += map(_picture, pictures[:PICTURES])
    parts += _more(pictures[PICTURES:], "pictures", ".figure(name)")
    if numbers:
        parts.append(
            html_table(
                [{"number": result.name, "value": result.value, "": result.caption} for result in numbers[:NUMBERS]]
            )
        )
    parts += _more(numbers[NUMBERS:], "numbers", ".numbers")
    for result in tables[:TABLES]:
        parts += [f"<p><b>{escape(result.name)}</b>: {escape(result.caption)}</p>", html_table(result.rows)]
    return "\n".join([*parts, *_more(tables[TABLES:], "tables", ".tables")])


def html_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as a table; of many rows the first."""
    if not rows:
        return ""
    head = "".join(f"<th {CELL}>{escape(str(column))}</th>" for column in rows[0])
    lines = [
        "<tr>" + "".join(f"<td {CELL}>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows[:ROWS]
    ]
    more = f"<p>and {len(rows) - ROWS} more rows</p>" if len(rows) > ROWS else ""
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>{more}"


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return escape(text[:LETTERS] + "…" * (len(text) > LETTERS))


def _picture(picture: Picture) -> str:
    words = f"<figcaption><b>{escape(picture.name)}</b>: {escape(picture.caption)}</figcaption>"
    address, style = web_image(picture.image), "max-width:100%"
    return f'<figure><img src="{address}" alt="{escape(picture.name)}" style="{style}">{words}</figure>'


def _more(results: Sequence[Picture | Number | Table], kind: str, place: str) -> list[str]:
    names = ", ".join(result.name for result in results)
    return [f"<p>and {len(results)} more {kind} in {place}: {escape(names)}</p>"] if results else []
