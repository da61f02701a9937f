"""Numbers and tables as text, for pages, terminals, csv, Markdown and LaTeX."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NUMBER = r"[-+]?([\d.]+(e[-+]?\d+)?|inf|nan)"
_INTERVAL = rf"\[{_NUMBER}, {_NUMBER}\]( [a-z]+)?"  # perhaps with a verdict
NUMERIC_CELL = re.compile(rf"{_NUMBER}( (to|±) {_NUMBER}| {_INTERVAL})?", re.IGNORECASE)
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}
Rows = Sequence[Mapping[str, Any]]  # a column for every key of the first row


def percent(share: float) -> str:
    """0.9534 -> "95.3 %"."""
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """75.2 -> "1 min 15 s"; hours without seconds."""
    all_minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(all_minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def about_duration(seconds: float) -> str:
    """A time that is only estimated, in words: "less than a minute", "about 3 minutes", "about 2 hours"."""
    if seconds < 45:
        return "less than a minute"
    for unit, size, most in (("minute", 60, 90 * 60), ("hour", 3600, 36 * 3600), ("day", 86400, math.inf)):
        if seconds < most:
            count = max(1, round(seconds / size))
            return f"about {counted(count, unit)}"
    return "for ever"


def counted(number: int, noun: str, plural: str = "s") -> str:
    """ "1 epoch", "1,200 epochs", "2 batches". plural: the ending of the noun for any number but one."""
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def brief(value: Any) -> str:
    """A float in four digits, from 100 on as an integer; other values as they are; "" for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return str(value)


def three_digits(value: float) -> str:
    """A number in three digits, from 100 on as an integer: 0.935, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def number_as_in_caption(caption: str, value: float) -> str:
    """The number as the caption writes it, also in percent; in three digits where it does not."""
    if match := _value_in(caption, value):
        return match["number"] + (match["percent"] or "")
    share = percent(value)
    return share if share in caption else three_digits(value)


def split_caption(caption: str, value: float) -> tuple[str, str]:
    """The caption without the value and the interval behind it, and that interval; "" where it has none.

    "fc7: 0.615 [0.310, 0.850]; by chance 0.5" gives ("fc7; by chance 0.5", "0.310 to 0.850"), "eyes: 95.3 %" ("eyes",
    ""). A caption without the value comes back unchanged.
    """
    match = _value_in(caption, value)
    if match is None:
        return caption, ""
    rest = caption[: match.start()] + caption[match.end() :]
    return rest, f"{match['low']} to {match['high']}" if match.groupdict().get("low") else ""


_VALUE = r"(?P<number>[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d{1,2})?)(?P<percent> ?%)?"
_PLACES = (  # of the value in a caption: before its interval; behind a colon
    re.compile(rf"[:;,]? \(?{_VALUE} \[(?P<low>[^],]+), (?P<high>[^]]+)\]\)?"),
    re.compile(rf": {_VALUE}(?=$|[;,] )"),
)


def _value_in(caption: str, value: float) -> re.Match[str] | None:
    """The first place at which the caption says the value, rounded."""
    matches = (match for place in _PLACES for match in place.finditer(caption))
    return next((match for match in matches if _is_rounded(match, value)), None)


def _is_rounded(match: re.Match[str], value: float) -> bool:
    text, exact = match["number"].replace(",", ""), 100 * value if match["percent"] else value
    digits, _, exponent = text.partition("e")
    step = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return abs(float(text) - exact) <= 0.5001 * step


def table_cell(text: str) -> str:
    """A cell of a csv file for reading: numbers shortened, "–" for nan and infinity, "yes" and "no" for booleans."""
    if text in ("True", "False"):
        return "yes" if text == "True" else "no"
    value = parse_number(text)
    if value is None or set(text) <= set("-0123456789"):
        return text
    return brief(value) if math.isfinite(value) else "–"


def table_column(texts: Sequence[str]) -> list[str]:
    """The cells of a column as table_cell writes them, its numbers with equally many decimals.

    Four digits of the largest number, and no more than any needs. Columns of whole numbers, of other text, and those
    where that would change a number by more than a twentieth stay as they are.
    """
    cells = [table_cell(text) for text in texts]
    numbers = [value for text in texts if text and (value := parse_number(text)) is not None and math.isfinite(value)]
    longest = max((len(cell.partition(".")[2]) for cell in cells if "e" not in cell), default=0)
    largest = max(map(abs, numbers), default=0.0)
    if not longest or not largest or len(numbers) < len([text for text in texts if text]):
        return cells
    decimals = max(0, min(longest, 3 - math.floor(math.log10(largest))))
    if any(abs(number - round(number, decimals)) > 0.05 * abs(number) for number in numbers):
        return cells
    return [f"{float(text):z,.{decimals}f}" if text else "" for text in texts]


def parse_number(text: str) -> float | None:
    """The number in a cell; None for other text."""
    try:
        return float(text)
    except ValueError:
        return None


def spreadsheet_safe(value: Any) -> Any:
    """A cell of a csv file that a spreadsheet shows and does not run: ' comes before text that would begin a formula.

    Numbers stay numbers, also those written as text and intervals: -0.02 to 0.3, -0.1 [-0.3, 0.2] less. A class called
    =1+1 is written as '=1+1.
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    return value if NUMERIC_CELL.fullmatch(value) else f"'{value}"


def csv_table(rows: Rows, columns: Sequence[str] | None = None) -> str:
    """A csv file. columns: None for the keys of the first row."""
    columns = list(rows[0] if rows else ()) if columns is None else columns
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    csv.writer(text, lineterminator="\n").writerow([spreadsheet_safe(column) for column in columns])
    writer.writerows({key: spreadsheet_safe(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def markdown(rows: Rows, caption: str) -> str:
    """A table of GitHub's Markdown under its caption."""
    columns = list(rows[0]) if rows else []
    lines = [columns, ["---:" if _is_numeric(rows, column) else "---" for column in columns]]
    lines += [[_text(row.get(column)) for column in columns] for row in rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return caption + "\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)


def latex(rows: Rows, caption: str) -> str:
    """A table environment in the style of booktabs."""
    columns = list(rows[0]) if rows else []
    alignment = "".join("r" if _is_numeric(rows, column) else "l" for column in columns)
    cells: list[list[Any]] = [list(columns), *([row.get(column) for column in columns] for row in rows)]
    head, *lines = [" & ".join(_escaped(_text(cell)) for cell in line) + r" \\" for line in cells]
    body = "\n".join([r"\toprule", head, r"\midrule", *lines, r"\bottomrule"])
    tabular = f"\\begin{{tabular}}{{{alignment}}}\n{body}\n\\end{{tabular}}"
    return f"\\begin{{table}}\n\\caption{{{_escaped(caption)}}}\n{tabular}\n\\end{{table}}\n"


def _is_numeric(rows: Rows, column: str) -> bool:
    """Whether a column holds only numbers and means with their spread, which are aligned to the right."""
    values = [row[column] for row in rows if row.get(column) not in (None, "")]
    return bool(values) and all(isinstance(value, int | float) or "±" in str(value) for value in values)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _escaped(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"; "" of nothing."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part) if words else ""
