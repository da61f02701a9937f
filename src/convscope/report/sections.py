"""What a run found, by idea: each idea of the paper is a section of the page, in the paper's order.

A result belongs to the idea that its name starts with: "occlusion/fox" to occlusion. Those of no known idea come last.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from PIL import Image

from convscope.report.ideas import IDEAS, REST, Idea
from convscope.runs.index import IndexEntry
from convscope.runs.number_format import number_as_in_caption, parse_number, split_caption, table_cell, three_digits
from convscope.runs.reading import Run, read_table, value_at

FEW = 8  # facts; more of them are folded
MOVING = re.compile(r"(top9|images|evolution|filters)/|(settling|curves)$")  # pictures that the scripts have places for


class Fact(NamedTuple):
    """A number in words. interval: "0.90 to 0.96", or ""."""

    value: str
    interval: str
    words: str


class StillPicture(NamedTuple):
    """A picture that stands still. size: width and height in pixels, None where the file does not say."""

    source: str
    caption: str
    size: tuple[int, int] | None


class Part(NamedTuple):
    """One table, or pictures that the job yielded one after another."""

    sheet: "PageTable | None"
    plates: list[StillPicture]


class Section(NamedTuple):
    """All results of one idea. parts: in the order in which the job yielded them, a table of verdicts first."""

    idea: Idea
    facts: list[Fact]
    parts: list[Part]

    @property
    def many(self) -> bool:
        """Whether its facts are folded: too many to stand large, or told by a table of verdicts."""
        return len(self.facts) > FEW or any(part.sheet and part.sheet.judges for part in self.parts)


def sections(run: Run) -> list[Section]:
    """A section for each idea that the run has results of, in the paper's order; the last one, REST, for other names.

    Left out: pictures that page.js moves, and the table of layers where the page shows the net's rows.
    """
    shown = [entry for entry in run.entries if not is_moving(entry) and not _is_rows(run, entry)]
    owned = [(idea, [entry for entry in shown if _idea(entry) is idea]) for idea in [*IDEAS, REST]]
    return [_section(run.folder, idea, own) for idea, own in owned if own]


def _section(folder: Path, idea: Idea, entries: Sequence[IndexEntry]) -> Section:
    parts: list[Part] = []
    for entry in entries:
        if entry.kind == "table":
            parts.append(Part(page_table(_title(entry), entry.caption, *read_table(folder / str(entry.path))), []))
        elif entry.kind == "picture":
            if not parts or parts[-1].sheet:
                parts.append(Part(None, []))
            parts[-1].plates.append(_plate(folder, entry))
    parts.sort(key=lambda part: part.sheet is None or not part.sheet.judges)
    return Section(idea, _facts(entries), parts)


def is_moving(entry: IndexEntry) -> bool:
    """Whether page.js shows this picture: those of training, and what has no section but epochs to move through."""
    if entry.kind != "picture":
        return False
    return bool(MOVING.match(entry.name)) or (_idea(entry) is REST and entry.epoch is not None)


def _idea(entry: IndexEntry) -> Idea:
    return next((idea for idea in IDEAS if idea.key == entry.name.split("/")[0]), REST)


def _is_rows(run: Run, entry: IndexEntry) -> bool:
    return entry.kind == "table" and entry.name == "layers" and bool(value_at(run.summary, "net", "rows"))


def _facts(entries: Sequence[IndexEntry]) -> list[Fact]:
    """Numbers a, a_low and a_high become one fact with an interval."""
    values = {(entry.name, entry.epoch): entry.value for entry in entries if entry.kind == "number"}
    facts = []
    for entry in entries:
        if entry.kind == "number" and not _is_end(entry, values):
            low, high = (values.get((entry.name + end, entry.epoch)) for end in _ENDS)
            known = "" if low is None or high is None else f"{three_digits(low)} to {three_digits(high)}"
            words, said = _words(entry), ""
            if entry.value is not None:
                words, said = split_caption(words, entry.value)
            facts.append(Fact(_value(entry), known or said, words))
    return facts


def _value(entry: IndexEntry) -> str:
    return "not measured" if entry.value is None else number_as_in_caption(entry.caption, entry.value)


_ENDS = ("_low", "_high")  # names of an interval's ends


def _is_end(entry: IndexEntry, values: Mapping[tuple[str, int | None], float | None]) -> bool:
    return any(entry.name.endswith(end) and (entry.name.removesuffix(end), entry.epoch) in values for end in _ENDS)


def _plate(folder: Path, entry: IndexEntry) -> StillPicture:
    return StillPicture("../" + quote(str(entry.path)), _words(entry), _size(folder / str(entry.path)))


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:  # reads no more than the header
            return image.size
    except (OSError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged or absurd files
        return None


def _title(entry: IndexEntry) -> str:
    rest = entry.name.partition("/")[2] if _idea(entry) is not REST else entry.name
    words = rest.replace("_", " ").replace("/", ", ")
    if words in ("", "table", entry.caption):  # says no more than the caption
        return ""
    return words[:1].upper() + words[1:] + (f", epoch {entry.epoch}" if entry.epoch is not None else "")


def _words(entry: IndexEntry) -> str:
    said = entry.caption or entry.name.replace("_", " ")
    when = f"epoch {entry.epoch}"
    return said if entry.epoch is None or when in said else f"{said}, {when}"


LONG = 25  # rows; a longer table is folded, and scrolls in its box
PROSE = 60  # characters; a column with a longer cell holds sentences, which may wrap
VERDICTS = {"holds": "✓", "does not hold": "✗", "not enough data": "?"}  # verdict -> its mark


class TableCell(NamedTuple):
    """text: as shown. form: its class: "n" of a number, "prose" of sentences, a verdict's. mark: stands before it."""

    text: str
    form: str = ""
    mark: str = ""


class PageTable(NamedTuple):
    """A table. tall: folded, and scrolls in its box. wordy: some cells are sentences. judges: it gives verdicts."""

    title: str
    caption: str
    columns: list[TableCell]
    rows: list[list[TableCell]]

    @property
    def tall(self) -> bool:
        return len(self.rows) > LONG

    @property
    def wordy(self) -> bool:
        return any(head.form == "prose" for head in self.columns)

    @property
    def judges(self) -> bool:
        return any(head.text == "verdict" for head in self.columns)


def page_table(title: str, caption: str, columns: list[str], rows: list[list[str]]) -> PageTable:
    """A csv table made ready: numbers shortened and to the right, verdicts with a mark, long texts free to wrap."""
    forms = [_form([row[at] for row in rows if at < len(row)]) for at in range(len(columns))]
    heads = [TableCell(name.replace("_", " "), form) for name, form in zip(columns, forms, strict=True)]
    lines = []
    for row in rows:
        known = zip(columns, forms, row, strict=False)  # a damaged file: what is there
        lines.append([_cell(name, form, text) for name, form, text in known])
    return PageTable(title, caption, heads, lines)


def _cell(column: str, form: str, text: str) -> TableCell:
    if column == "verdict" and text in VERDICTS:
        return TableCell(text, f"verdict {text.replace(' ', '-')}", VERDICTS[text])
    return TableCell(table_cell(text), form)


def _form(texts: Sequence[str]) -> str:
    """Of a column: "n" where all its cells are numbers, "prose" where one is a sentence."""
    said = [text for text in texts if text]
    if said and all(parse_number(text) is not None for text in said):
        return "n"
    return "prose" if any(len(text) > PROSE for text in said) else ""
