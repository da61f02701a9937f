"""Results of a run by topic: each topic of an analysis is a section of the page, in the order of the paper.

A result belongs to the topic that its name starts with: "occlusion/fox" to occlusion. Results of no topic come last.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from PIL import Image

from convscope.analyses import Topic, abouts
from convscope.metrics.intervals import same_decimals
from convscope.runs.index import OUTCOME, IndexEntry
from convscope.runs.number_format import number_as_in_caption, parse_number, percent, split_caption, table_column
from convscope.runs.picture_files import DAMAGED_PICTURE, DRAWINGS, figure_file
from convscope.runs.reading import Run, read_table, value_at

REST = Topic("rest", "More", "More", "", "")  # results of no topic
MAX_FACTS = 8  # of a section; more are folded
MAX_ROWS = 25  # of a table; a longer one is folded, and scrolls in its box
PROSE_LENGTH = 60  # characters; a column with a longer cell holds sentences, whose lines may break
VERDICTS = {"holds": "✓", "does not hold": "✗", "not enough data": "?"}  # verdict -> its mark
MOVING = re.compile(r"(top9|images|strips|evolution|filters)/|(settling|curves)$")  # pictures with a place in scripts
_ENDS = ("_low", "_high")  # of the names of an interval's ends


class TableCell(NamedTuple):
    """text: as shown. form: the class of the cell, "n" for a number, "prose", a verdict's, or "". mark: before it."""

    text: str
    form: str = ""
    mark: str = ""


class PageTable(NamedTuple):
    """A table. tall: it is folded, and scrolls in its box. wordy: some cells are sentences."""

    title: str
    caption: str
    columns: list[TableCell]
    rows: list[list[TableCell]]

    @property
    def tall(self) -> bool:
        return len(self.rows) > MAX_ROWS

    @property
    def wordy(self) -> bool:
        return any(column.form == "prose" for column in self.columns)

    @property
    def has_verdicts(self) -> bool:
        return any(column.text == "verdict" for column in self.columns)


class StillPicture(NamedTuple):
    """A picture that the scripts do not move. size: width and height in pixels, None for a damaged file. drawings: its
    ending as svg and pdf with their addresses.
    """

    source: str
    caption: str
    size: tuple[int, int] | None
    drawings: dict[str, str]


class Fact(NamedTuple):
    """A number in words. interval: "0.90 to 0.96", or ""."""

    value: str
    interval: str
    words: str


class Part(NamedTuple):
    """One table, or the pictures between two tables."""

    table: PageTable | None
    pictures: list[StillPicture]


class Section(NamedTuple):
    """All results of one topic. conclusions: what came out, in sentences. parts: a table of verdicts first, the others
    in the order of index.jsonl.
    """

    idea: Topic
    conclusions: list[str]
    facts: list[Fact]
    parts: list[Part]

    @property
    def folded(self) -> bool:
        """Whether its facts are folded: there are too many, or a table of verdicts has them."""
        return len(self.facts) > MAX_FACTS or any(part.table and part.table.has_verdicts for part in self.parts)


def sections(run: Run) -> list[Section]:
    """A section for each topic that the run has results of, in the paper's order; last, REST, the results of no topic.

    Without pictures that page.js moves, and without the table of layers where the page has the net's rows.
    """
    entries = [entry for entry in run.entries if not (is_moving(entry) or _is_rows(run, entry) or _is_outcome(entry))]
    by_topic = [(topic, [entry for entry in entries if _topic(entry) is topic]) for topic in [*_topics(), REST]]
    return [_section(run.folder, topic, of_topic) for topic, of_topic in by_topic if of_topic]


def is_moving(entry: IndexEntry) -> bool:
    """Whether page.js shows this picture: one of training, or one of no topic that has epochs to move through."""
    if entry.kind != "picture":
        return False
    return bool(MOVING.match(entry.name)) or (_topic(entry) is REST and entry.epoch is not None)


def page_table(title: str, caption: str, columns: list[str], rows: list[list[str]]) -> PageTable:
    """A csv table for reading: numbers shortened and to the right, verdicts with a mark, sentences with line breaks.

    A row of a damaged file may be shorter than the others.
    """
    texts = [[row[place] if place < len(row) else "" for row in rows] for place in range(len(columns))]
    forms, lines = [_form(of_column) for of_column in texts], zip(*map(table_column, texts), strict=True)
    heads = [TableCell(name.replace("_", " "), form) for name, form in zip(columns, forms, strict=True)]
    cells = [
        [_cell(name, form, text) for name, form, text in zip(columns, forms, line[: len(row)], strict=False)]
        for row, line in zip(rows, lines, strict=False)
    ]
    return PageTable(title, caption, heads, cells)


def _section(folder: Path, topic: Topic, entries: Sequence[IndexEntry]) -> Section:
    parts: list[Part] = []
    for entry in entries:
        if entry.kind == "table":
            parts.append(Part(page_table(_title(entry), entry.caption, *read_table(folder / str(entry.path))), []))
        elif entry.kind == "picture":
            if not parts or parts[-1].table:
                parts.append(Part(None, []))
            parts[-1].pictures.append(_picture(folder, entry))
    parts.sort(key=lambda part: part.table is None or not part.table.has_verdicts)
    conclusions = [_words(entry) for entry in entries if entry.kind == "conclusion"]
    return Section(topic, conclusions, _facts(entries), parts)


@cache
def _topics() -> list[Topic]:
    """The topics of all analyses, in the order of the page."""
    return [topic for about in abouts().values() for topic in about.topics]


def _topic(entry: IndexEntry) -> Topic:
    return next((topic for topic in _topics() if topic.key == entry.name.split("/")[0]), REST)


def _is_rows(run: Run, entry: IndexEntry) -> bool:
    return entry.kind == "table" and entry.name == "layers" and bool(value_at(run.summary, "net", "rows"))


def _is_outcome(entry: IndexEntry) -> bool:
    """Whether the entry is the first line of the page."""
    return entry.kind == "conclusion" and entry.name == OUTCOME


def _facts(entries: Sequence[IndexEntry]) -> list[Fact]:
    """The numbers; a, a_low and a_high become one fact with an interval."""
    values = {(entry.name, entry.epoch): entry.value for entry in entries if entry.kind == "number"}
    return [_fact(entry, values) for entry in entries if entry.kind == "number" and not _is_end(entry, values)]


def _fact(entry: IndexEntry, values: Mapping[tuple[str, int | None], float | None]) -> Fact:
    low, high = (values.get((entry.name + end, entry.epoch)) for end in _ENDS)
    if entry.value is None:
        return Fact("not measured", "", _words(entry))
    words, interval = split_caption(_words(entry), entry.value)
    if low is None or high is None:
        return Fact(number_as_in_caption(entry.caption, entry.value), interval, words)
    in_percent = percent(entry.value) in entry.caption
    numbers = [100 * number if in_percent else number for number in (entry.value, low, high)]
    value, *ends = same_decimals(numbers, 1 if in_percent else None)
    return Fact(f"{value} %" if in_percent else value, " to ".join(ends), words)


def _is_end(entry: IndexEntry, values: Mapping[tuple[str, int | None], float | None]) -> bool:
    return any(entry.name.endswith(end) and (entry.name.removesuffix(end), entry.epoch) in values for end in _ENDS)


def _picture(folder: Path, entry: IndexEntry) -> StillPicture:
    path = str(entry.path)
    return StillPicture("../" + quote(path), _words(entry), _size(folder / path), drawing_addresses(folder, path))


def drawing_addresses(folder: Path, picture: str) -> dict[str, str]:
    """svg and pdf -> the address from the page of a figure in this form; without those that a run folder lacks."""
    files = {form: figure_file(folder, picture, form) for form in DRAWINGS}
    return {form: "../" + quote(path.relative_to(folder).as_posix()) for form, path in files.items() if path}


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:  # reads no more than the header
            return image.size
    except DAMAGED_PICTURE:
        return None


def _title(entry: IndexEntry) -> str:
    """The name without its topic, in words; "" where it says no more than the caption."""
    rest = entry.name.partition("/")[2] if _topic(entry) is not REST else entry.name
    words = rest.replace("_", " ").replace("/", ", ")
    if words in ("", "table", entry.caption):
        return ""
    return words[:1].upper() + words[1:] + (f", epoch {entry.epoch}" if entry.epoch is not None else "")


def _words(entry: IndexEntry) -> str:
    """Caption, or name, and epoch."""
    words, epoch = entry.caption or entry.name.replace("_", " "), f"epoch {entry.epoch}"
    return words if entry.epoch is None or epoch in words else f"{words}, {epoch}"


def _cell(column: str, form: str, text: str) -> TableCell:
    if column == "verdict" and text in VERDICTS:
        return TableCell(text, f"verdict {text.replace(' ', '-')}", VERDICTS[text])
    return TableCell(text, form)


def _form(texts: Sequence[str]) -> str:
    """The form of a column: "n" where all its cells are numbers, "prose" where one is a sentence, else ""."""
    filled = [text for text in texts if text]
    if filled and all(parse_number(text) is not None for text in filled):
        return "n"
    return "prose" if any(len(text) > PROSE_LENGTH for text in filled) else ""
