"""Tables as a page shows them."""

from collections.abc import Sequence
from typing import NamedTuple

from convscope.runs.number_format import cell, number

LONG = 25  # rows; a longer table is folded, and scrolls in its box
PROSE = 60  # characters; a column with a longer cell holds sentences, which may wrap
VERDICTS = {"holds": "✓", "does not hold": "✗", "not enough data": "?"}  # verdict -> its mark


class Cell(NamedTuple):
    """text: as shown. form: its class: "n" of a number, "prose" of sentences, a verdict's. mark: stands before it."""

    text: str
    form: str = ""
    mark: str = ""


class Sheet(NamedTuple):
    """A table. tall: folded, and scrolls in its box. wordy: some cells are sentences. judges: it gives verdicts."""

    title: str
    caption: str
    columns: list[Cell]
    rows: list[list[Cell]]

    @property
    def tall(self) -> bool:
        return len(self.rows) > LONG

    @property
    def wordy(self) -> bool:
        return any(head.form == "prose" for head in self.columns)

    @property
    def judges(self) -> bool:
        return any(head.text == "verdict" for head in self.columns)


def sheet(title: str, caption: str, columns: list[str], rows: list[list[str]]) -> Sheet:
    """A csv table made ready: numbers shortened and to the right, verdicts with a mark, long texts free to wrap."""
    forms = [_form([row[at] for row in rows if at < len(row)]) for at in range(len(columns))]
    heads = [Cell(name.replace("_", " "), form) for name, form in zip(columns, forms, strict=True)]
    lines = []
    for row in rows:
        known = zip(columns, forms, row, strict=False)  # a damaged file: what is there
        lines.append([_cell(name, form, text) for name, form, text in known])
    return Sheet(title, caption, heads, lines)


def _cell(column: str, form: str, text: str) -> Cell:
    if column == "verdict" and text in VERDICTS:
        return Cell(text, f"verdict {text.replace(' ', '-')}", VERDICTS[text])
    return Cell(cell(text), form)


def _form(texts: Sequence[str]) -> str:
    """Of a column: "n" where all its cells are numbers, "prose" where one is a sentence."""
    said = [text for text in texts if text]
    if said and all(number(text) is not None for text in said):
        return "n"
    return "prose" if any(len(text) > PROSE for text in said) else ""
