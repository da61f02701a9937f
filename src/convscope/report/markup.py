"""Tables as text to take elsewhere: csv, Markdown, LaTeX."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from convscope.record import plain_cell

Rows = Sequence[Mapping[str, Any]]
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


def comma_separated(rows: Rows) -> str:
    """A csv file, a column for every key of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    csv.writer(text, lineterminator="\n").writerow([plain_cell(column) for column in rows[0]] if rows else [])
    writer.writerows({key: plain_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def markdown(rows: Rows, caption: str) -> str:
    """A table of GitHub's Markdown under its caption."""
    columns = list(rows[0]) if rows else []
    numbers = [_numbers(rows, column) for column in columns]
    lines = [columns, ["---:" if number else "---" for number in numbers]]
    lines += [[_text(row.get(column)) for column in columns] for row in rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return caption + "\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)


def latex(rows: Rows, caption: str) -> str:
    """A table environment in booktabs' style."""
    columns = list(rows[0]) if rows else []
    form = "".join("r" if _numbers(rows, column) else "l" for column in columns)
    cells: list[list[Any]] = [list(columns), *([row.get(column) for column in columns] for row in rows)]
    head, *lines = [" & ".join(_escaped(_text(cell)) for cell in line) + r" \\" for line in cells]
    body = "\n".join([r"\toprule", head, r"\midrule", *lines, r"\bottomrule"])
    tabular = f"\\begin{{tabular}}{{{form}}}\n{body}\n\\end{{tabular}}"
    return f"\\begin{{table}}\n\\caption{{{_escaped(caption)}}}\n{tabular}\n\\end{{table}}\n"


def _numbers(rows: Rows, column: str) -> bool:
    """Whether a column goes to the right: numbers, means with their spread, and nothing else."""
    said = [row[column] for row in rows if row.get(column) not in (None, "")]
    return bool(said) and all(isinstance(value, int | float) or "±" in str(value) for value in said)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _escaped(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
