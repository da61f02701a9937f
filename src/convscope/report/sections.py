"""What a run found, by idea: each idea of the paper is a section of the page, in the paper's order.

A result belongs to the idea that its name starts with: "occlusion/fox" to occlusion. Those of no known idea come last.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from PIL import Image

from convscope.analyses import Topic, abouts
from convscope.report.tables import Sheet, sheet
from convscope.runs.number_format import as_said, parted, three
from convscope.runs.reading import Entry, Run, table_rows, value_at

REST = Topic("rest", "More", "More", "", "")  # results of no known topic
FEW = 8  # facts; more of them are folded
MOVING = re.compile(r"(top9|images|evolution|filters)/|(settling|curves)$")  # pictures that the scripts have places for


class Fact(NamedTuple):
    """A number in words. interval: "0.90 to 0.96", or ""."""

    value: str
    interval: str
    words: str


class Plate(NamedTuple):
    """A picture that stands still. size: width and height in pixels, None where the file does not say."""

    source: str
    caption: str
    size: tuple[int, int] | None


class Part(NamedTuple):
    """One table, or pictures that the job yielded one after another."""

    sheet: Sheet | None
    plates: list[Plate]


class Section(NamedTuple):
    """All results of one idea. parts: in the order in which the job yielded them, a table of verdicts first."""

    idea: Topic
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
    shown = [entry for entry in run.entries if not moves(entry) and not _is_rows(run, entry)]
    owned = [(idea, [entry for entry in shown if _idea(entry) is idea]) for idea in [*_topics(), REST]]
    return [_section(run.folder, idea, own) for idea, own in owned if own]


def _section(folder: Path, idea: Topic, entries: Sequence[Entry]) -> Section:
    parts: list[Part] = []
    for entry in entries:
        if entry.kind == "table":
            parts.append(Part(sheet(_title(entry), entry.caption, *table_rows(folder / str(entry.path))), []))
        elif entry.kind == "picture":
            if not parts or parts[-1].sheet:
                parts.append(Part(None, []))
            parts[-1].plates.append(_plate(folder, entry))
    parts.sort(key=lambda part: part.sheet is None or not part.sheet.judges)
    return Section(idea, _facts(entries), parts)


def moves(entry: Entry) -> bool:
    """Whether page.js shows this picture: those of training, and what has no section but epochs to move through."""
    if entry.kind != "picture":
        return False
    return bool(MOVING.match(entry.name)) or (_idea(entry) is REST and entry.epoch is not None)


@cache
def _topics() -> list[Topic]:
    """The topics of all analyses, in the order of the page."""
    return [topic for about in abouts().values() for topic in about.topics]


def _idea(entry: Entry) -> Topic:
    return next((idea for idea in _topics() if idea.key == entry.name.split("/")[0]), REST)


def _is_rows(run: Run, entry: Entry) -> bool:
    return entry.kind == "table" and entry.name == "layers" and bool(value_at(run.summary, "net", "rows"))


def _facts(entries: Sequence[Entry]) -> list[Fact]:
    """Numbers a, a_low and a_high become one fact with an interval."""
    values = {(entry.name, entry.epoch): entry.value for entry in entries if entry.kind == "number"}
    facts = []
    for entry in entries:
        if entry.kind == "number" and not _is_end(entry, values):
            low, high = (values.get((entry.name + end, entry.epoch)) for end in _ENDS)
            known = "" if low is None or high is None else f"{three(low)} to {three(high)}"
            words, said = _words(entry), ""
            if entry.value is not None:
                words, said = parted(words, entry.value)
            facts.append(Fact(_value(entry), known or said, words))
    return facts


def _value(entry: Entry) -> str:
    return "not measured" if entry.value is None else as_said(entry.caption, entry.value)


_ENDS = ("_low", "_high")  # names of an interval's ends


def _is_end(entry: Entry, values: Mapping[tuple[str, int | None], float | None]) -> bool:
    return any(entry.name.endswith(end) and (entry.name.removesuffix(end), entry.epoch) in values for end in _ENDS)


def _plate(folder: Path, entry: Entry) -> Plate:
    return Plate("../" + quote(str(entry.path)), _words(entry), _size(folder / str(entry.path)))


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:  # reads no more than the header
            return image.size
    except (OSError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged or absurd files
        return None


def _title(entry: Entry) -> str:
    rest = entry.name.partition("/")[2] if _idea(entry) is not REST else entry.name
    words = rest.replace("_", " ").replace("/", ", ")
    if words in ("", "table", entry.caption):  # says no more than the caption
        return ""
    return words[:1].upper() + words[1:] + (f", epoch {entry.epoch}" if entry.epoch is not None else "")


def _words(entry: Entry) -> str:
    said = entry.caption or entry.name.replace("_", " ")
    when = f"epoch {entry.epoch}"
    return said if entry.epoch is None or when in said else f"{said}, {when}"
