"""Writes a run folder: every picture, number and table of a run under its final name, complete or absent.

Jobs and callbacks hand over `Conclusion`, `Picture`, `Number`, `Table` and `Arrays` values. `Record.add` writes the
file, appends a line to index.jsonl and passes pictures on to the loggers. Viewers read the folder alone.
"""

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

from convscope.metrics.convergence import measured
from convscope.runs.atomic_io import append, check_writable, remove_partial_files, write
from convscope.runs.background import Background, in_turn
from convscope.runs.heartbeat import Heartbeat
from convscope.runs.index import read_text
from convscope.runs.number_format import csv_table
from convscope.runs.picture_files import JPEG_QUALITY, picture_form, save_drawings, save_picture


class Conclusion(NamedTuple):
    """What came out, in one sentence with its number and its null: the first line of a job and of its section.

    name: OUTCOME, or the key of the section's topic, also with an end of its own, as "match/conv5". caption: the
    sentence, with its period.
    """

    name: str
    caption: str
    epoch: int | None = None
    layer: str | None = None


class Picture(NamedTuple):
    """A PIL image (jpeg, webp for a packed one of an epoch, or png with `plot`) or a matplotlib figure (png).

    epoch: None for the only picture of a run. layer: that it shows, if one. sheet: where the tiles of a packed picture
    are, in pixels, from which a viewer cuts out single tiles. quality: of a jpeg.
    """

    name: str
    image: Any
    caption: str = ""
    epoch: int | None = None
    layer: str | None = None
    plot: bool = False
    sheet: dict[str, Any] | None = None
    quality: int = JPEG_QUALITY


class Number(NamedTuple):
    """One named number of a run."""

    name: str
    value: float
    caption: str = ""
    epoch: int | None = None
    layer: str | None = None


class Table(NamedTuple):
    """Rows with the same keys; written as csv."""

    name: str
    rows: list[dict[str, Any]]
    caption: str = ""
    epoch: int | None = None
    layer: str | None = None


class Arrays(NamedTuple):
    """Tensors by name for later analysis; written as a safetensors file, without a line in index.jsonl."""

    name: str
    tensors: dict[str, Any]  # of torch, which readers of a run folder do without
    epoch: int | None = None


FOR_PAGES = "images/", "strips/"  # pictures that are tiles for a page alone
Result = Conclusion | Picture | Number | Table | Arrays
LineKey = tuple[str, str, int | None]  # kind, name and epoch; a run folder has one line of index.jsonl for each


class RunLogger(Protocol):
    """Receives the pictures of a run and the rows of its metrics.csv, both by epoch."""

    def picture(self, picture: Picture, path: Path) -> None: ...
    @in_turn
    def row(self, epoch: int, values: Mapping[str, float]) -> None: ...


class Record:
    """Writes one run folder.

    folder: created if absent; what killed processes left half-written in it is removed. loggers: receive every picture
    and every row of metrics.csv after it is written. numbers: those of the whole run, by name. begun: whether `begin`
    was called; with begins=False nothing in the folder changes before that. Raises UserError for a folder that cannot
    be written. background: writes what comes, at once or beside what the caller goes on to do.
    """

    def __init__(self, folder: Path, loggers: Iterable[RunLogger] = (), begins: bool = True):
        self.folder, self.loggers, self.begun = Path(folder), list[RunLogger](), False
        self.numbers: dict[str, float] = {}
        self.background, self.heartbeat = Background(), Heartbeat(self.folder)
        self._facts: dict[str, Any] = {}
        self._columns, self._rows = ["epoch"], list[tuple[int, str]]()
        self._line_hashes = {key: hash(line) for key, line in _read_lines(self.folder / "index.jsonl").items()}
        if begins:
            self.begin(loggers)

    @property
    def has_results(self) -> bool:
        """Whether anything is in the folder that a page would show."""
        return bool(self._line_hashes or self._rows)

    def begin(self, loggers: Iterable[RunLogger] = ()) -> None:
        """Makes the folder ready for the first result. Raises UserError for a folder that cannot be written."""
        check_writable(self.folder)
        remove_partial_files(self.folder)
        self.loggers, self.begun = list(loggers), True

    @in_turn
    def add(self, result: Result) -> None:
        """Writes one result and its line in index.jsonl, in place of an earlier one of the same name and epoch."""
        match result:
            case Picture():
                path = self._write_picture(result)
                self._write_line(result, "picture", path=path.relative_to(self.folder).as_posix(), sheet=result.sheet)
                if not result.name.startswith(FOR_PAGES):
                    for logger in self.loggers:
                        logger.picture(result, path)
            case Table():
                path = self.folder / "tables" / f"{_stem(result)}.csv"
                write(path, csv_table(result.rows))
                self._write_line(result, "table", path=path.relative_to(self.folder).as_posix())
            case Conclusion():
                self._write_line(result, "conclusion")
            case Number():
                self._write_line(result, "number", value=result.value)
                if result.epoch is None:
                    self.numbers[result.name] = result.value
            case Arrays():
                from safetensors.torch import save_file  # imports torch

                path = self.folder / f"{_stem(result)}.safetensors"
                own = {name: values.contiguous().clone() for name, values in result.tensors.items()}  # no views
                write(path, lambda part: save_file(own, part))

    @in_turn
    def row(self, epoch: int, values: Mapping[str, float], logged: Mapping[str, float] | None = None) -> None:
        """Writes one row of metrics.csv. A column that appears later is empty in the rows before it, never missing.

        logged: further values of the run so far, for the loggers alone, which get what was measured.
        """
        sent = measured({**values, **(logged or {})}, self._columns)
        self._set_row(epoch, values)
        self._write_rows()
        for logger in self.loggers:
            logger.row(epoch, sent)

    def rows(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Writes metrics.csv anew from rows with their epoch, which a run that resumes has from its checkpoint."""
        self._columns, self._rows = ["epoch"], []
        for row in rows:
            self._set_row(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})
        self._write_rows()

    def about(self, values: Mapping[str, Any]) -> None:
        """Writes about.json: facts of the run for viewers that read it before it has ended."""
        self._facts = dict(values)
        write(self.folder / "about.json", _json_file(self._facts))

    @in_turn
    def warn(self, text: str) -> None:
        """Adds a warning to about.json, for viewers of a run that goes on; summary.json has all at the end."""
        self.about({**self._facts, "warnings": [*self._facts.get("warnings", []), text]})

    def summary(self, values: Mapping[str, Any]) -> None:
        """Writes summary.json. Numbers that are not finite become null, as JSON has none."""
        write(self.folder / "summary.json", _json_file(values))

    def has_picture(self, name: str, epoch: int | None) -> bool:
        """Whether the folder has the picture of this name and epoch."""
        return ("picture", name, epoch) in self._line_hashes

    def _set_row(self, epoch: int, values: Mapping[str, float]) -> None:
        """Replaces the row of this epoch and all later ones."""
        new = [name for name in values if name not in self._columns]
        self._columns += new
        self._rows = [(earlier, line + "," * len(new)) for earlier, line in self._rows if earlier < epoch]
        cells = [f"{values[name]:.6g}" if name in values else "" for name in self._columns[1:]]
        self._rows.append((epoch, ",".join([str(epoch), *cells])))

    def _write_rows(self) -> None:
        lines = [csv_table([], self._columns).rstrip("\n"), *(line for _, line in self._rows)]
        write(self.folder / "metrics.csv", "\n".join(lines) + "\n")

    def _write_picture(self, picture: Picture) -> Path:
        tile = picture.sheet["tile"] if picture.sheet and picture.epoch is not None else None
        stem = self.folder / "pictures" / _stem(picture)
        path = stem.with_name(f"{stem.name}.{picture_form(picture.image, picture.plot, tile)}")
        write(path, lambda part: save_picture(picture.image, part, tile, picture.quality))
        if picture.epoch is None and hasattr(picture.image, "savefig"):
            save_drawings(picture.image, self.folder, _stem(picture))
        return path

    def _write_line(self, result: Conclusion | Picture | Number | Table, kind: str, **fields: Any) -> None:
        """Appends the line of a new result to index.jsonl; writes the file anew where an earlier line changes."""
        line = {"kind": kind, "name": result.name, "epoch": result.epoch, **fields}
        line |= {"caption": result.caption, "layer": result.layer}
        text = json.dumps(_finite({key: value for key, value in line.items() if value not in (None, "")}))
        line_key = kind, result.name, result.epoch
        if line_key not in self._line_hashes:
            append(self.folder / "index.jsonl", text)
        elif self._line_hashes[line_key] != hash(text):
            lines = _read_lines(self.folder / "index.jsonl") | {line_key: text}
            write(self.folder / "index.jsonl", "".join(line + "\n" for line in lines.values()))
        self._line_hashes[line_key] = hash(text)


def _read_lines(path: Path) -> dict[LineKey, str]:
    """The lines of index.jsonl that end in a line break and can be read."""
    lines: dict[LineKey, str] = {}
    for text in read_text(path).split("\n")[:-1]:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            fields = json.loads(text)
            lines[fields["kind"], fields["name"], fields.get("epoch")] = text
    return lines


def _stem(result: Picture | Table | Arrays) -> str:
    """Path in the run folder, without ending. Raises ValueError for a name that leads out of it, as of a checkpoint."""
    if PurePosixPath(result.name).is_absolute() or ".." in PurePosixPath(result.name).parts:
        raise ValueError(f"{result.name} is no name in a run folder")
    return result.name if result.epoch is None else f"{result.name}/epoch_{result.epoch:03d}"


def _json_file(values: Mapping[str, Any]) -> str:
    return json.dumps(_finite(dict(values)), indent=2) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
