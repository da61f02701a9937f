"""The run folder: every picture, number and table of a run under its final name, complete or absent.

Jobs and callbacks hand over `Picture`, `Number` and `Table` values; `Record.add` writes the file, appends a line to
index.jsonl and passes pictures on to the loggers. Viewers read the folder alone.
"""

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors.torch import save_file

from convscope.runs.atomic_io import append, check_writable, remove_partial_files, write
from convscope.runs.number_format import csv_table


class Picture(NamedTuple):
    """A PIL image (jpeg, or png with `plot`) or a matplotlib figure (png). `epoch` None: one picture for the run.

    sheet: what stands where on a picture packed of many, in its pixels; a viewer cuts single tiles out by it.
    """

    name: str
    image: Any
    caption: str = ""
    epoch: int | None = None
    layer: str | None = None
    plot: bool = False
    sheet: dict[str, Any] | None = None


class Number(NamedTuple):
    """One named figure of a run."""

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
    """Tensors by name, kept for later analysis as a safetensors file; no line in index.jsonl."""

    name: str
    tensors: dict[str, torch.Tensor]
    epoch: int | None = None


Result = Picture | Number | Table | Arrays
LineKey = tuple[str, str, int | None]  # kind, name and epoch: what a line of index.jsonl is about


class RunLogger(Protocol):
    """What a run's pictures and the rows of its metrics.csv are handed on to, all by their epoch."""

    def picture(self, picture: Picture, path: Path) -> None: ...
    def row(self, epoch: int, values: Mapping[str, float]) -> None: ...


class Record:
    """Writes one run folder (DESIGN: "The run folder").

    folder: created if absent. loggers: handed every picture and every row of metrics.csv after it is written. numbers:
    those of the whole run, by name.
    """

    def __init__(self, folder: Path, loggers: Iterable[RunLogger] = ()):
        self.folder, self.loggers = Path(folder), list(loggers)
        self.numbers: dict[str, float] = {}
        self._about: dict[str, Any] = {}
        check_writable(self.folder)
        remove_partial_files(self.folder)
        self._columns, self._rows = ["epoch"], list[tuple[int, str]]()
        self._seen = {about: hash(line) for about, line in _read_index(self.folder / "index.jsonl").items()}

    def add(self, result: Result) -> None:
        """Writes one result and its line in index.jsonl; a later one of the same name and epoch takes its place."""
        match result:
            case Picture():
                path = self._save_picture(result)
                self._index(result, "picture", path=path.relative_to(self.folder).as_posix(), sheet=result.sheet)
                for logger in self.loggers if not result.name.startswith("images/") else ():  # stock of the page alone
                    logger.picture(result, path)
            case Table():
                path = self.folder / "tables" / f"{_stem(result)}.csv"
                write(path, csv_table(result.rows))
                self._index(result, "table", path=path.relative_to(self.folder).as_posix())
            case Number():
                self._index(result, "number", value=result.value)
                if result.epoch is None:
                    self.numbers[result.name] = result.value
            case Arrays():
                path = self.folder / f"{_stem(result)}.safetensors"
                write(path, lambda part: save_file(result.tensors, part))

    def row(self, epoch: int, values: Mapping[str, float], beside: Mapping[str, float] | None = None) -> None:
        """One row of metrics.csv. A column that appears later is empty in the rows before it, never missing.

        beside: what the loggers get as well, of the run so far.
        """
        self._note_row(epoch, values)
        self._write_rows()
        for logger in self.loggers:
            logger.row(epoch, {**values, **(beside or {})})

    def rows(self, rows: Iterable[Mapping[str, float]]) -> None:
        """metrics.csv anew, of rows that have their epoch: a run that goes on knows them from its checkpoint."""
        self._columns, self._rows = ["epoch"], []
        for row in rows:
            self._note_row(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})
        self._write_rows()

    def _note_row(self, epoch: int, values: Mapping[str, float]) -> None:
        new = [name for name in values if name not in self._columns]
        self._columns += new
        self._rows = [(done, line + "," * len(new)) for done, line in self._rows if done < epoch]
        cells = [f"{values[name]:.6g}" if name in values else "" for name in self._columns[1:]]
        self._rows.append((epoch, ",".join([str(epoch), *cells])))

    def _write_rows(self) -> None:
        lines = [csv_table([], self._columns).rstrip("\n"), *(line for _, line in self._rows)]
        write(self.folder / "metrics.csv", "\n".join(lines) + "\n")

    def about(self, values: Mapping[str, Any]) -> None:
        """about.json: what the run is, for viewers that meet it before it has ended; in summary.json at the end."""
        self._about = dict(values)
        write(self.folder / "about.json", json.dumps(_finite(self._about), indent=2) + "\n")

    def warn(self, text: str) -> None:
        """One more warning in about.json, for viewers of a run that goes on; summary.json has them at the end."""
        self.about({**self._about, "warnings": [*self._about.get("warnings", []), text]})

    def summary(self, values: Mapping[str, Any]) -> None:
        """summary.json; numbers that are not finite become null, as JSON knows none."""
        write(self.folder / "summary.json", json.dumps(_finite(dict(values)), indent=2) + "\n")

    def _save_picture(self, picture: Picture) -> Path:
        form = "png" if picture.plot or hasattr(picture.image, "savefig") else "jpg"
        path = self.folder / "pictures" / f"{_stem(picture)}.{form}"
        if hasattr(picture.image, "savefig"):
            write(path, lambda part: picture.image.savefig(part, format=form))
        elif form == "png":
            write(path, lambda part: picture.image.save(part, optimize=False))
        else:
            write(path, lambda part: picture.image.save(part, quality=90, subsampling=0))
        return path

    def _index(self, result: Picture | Number | Table, kind: str, **where: Any) -> None:
        line = {"kind": kind, "name": result.name, "epoch": result.epoch, **where}
        line |= {"caption": result.caption, "layer": result.layer}
        text = json.dumps(_finite({key: value for key, value in line.items() if value not in (None, "")}))
        about = kind, result.name, result.epoch
        if about not in self._seen:
            append(self.folder / "index.jsonl", text)
        elif self._seen[about] != hash(text):
            lines = _read_index(self.folder / "index.jsonl") | {about: text}
            write(self.folder / "index.jsonl", "".join(line + "\n" for line in lines.values()))
        self._seen[about] = hash(text)


def _read_index(path: Path) -> dict[LineKey, str]:
    """The whole lines of the file, by what each is about; a line that cannot be read is left out."""
    lines: dict[LineKey, str] = {}
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if path.is_file() else []:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            said = json.loads(text)
            lines[said["kind"], said["name"], said.get("epoch")] = text
    return lines


def _stem(result: Picture | Table | Arrays) -> str:
    return result.name if result.epoch is None else f"{result.name}/epoch_{result.epoch:03d}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
