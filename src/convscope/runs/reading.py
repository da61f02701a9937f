"""A run folder as a viewer meets it: finished, still running or crashed, and not to be trusted with paths."""

import csv
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from convscope.runs.index import IndexEntry, read_index, read_text


def run_folder_of(checkpoint: str | Path | None) -> Path | None:
    """The run folder that a checkpoint lies in, <run>/checkpoints/<file>; None for a file from elsewhere."""
    if not isinstance(checkpoint, str | Path):
        return None
    folder = Path(checkpoint).expanduser().resolve().parent
    return folder.parent if folder.name == "checkpoints" and is_run_folder(folder.parent) else None


RUN_FILES = (
    "index.jsonl",
    "metrics.csv",
    "summary.json",
    ".hydra/config.yaml",
)  # any of them makes a folder a run folder


class Run(NamedTuple):
    """What a run folder holds.

    entries: the last line of index.jsonl for each kind, name and epoch, in order of first appearance.
    metrics: the columns of metrics.csv, None where a value was not measured. summary: what the run is,
    from its beginning; what came out, once it has ended.
    config, overrides: text of .hydra/. choices: config group -> file name. remarks: what could not be shown, in words.
    """

    folder: Path
    entries: list[IndexEntry]
    metrics: dict[str, list[float | None]]
    summary: dict[str, Any]
    config: str
    overrides: list[str]
    choices: dict[str, str]
    remarks: list[str]

    @property
    def settings(self) -> dict[str, Any]:
        """The config as a mapping, to be read and not changed; empty if it is none."""
        return _settings(self.config)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The net's rows as summary.json tells them."""
        net = self.summary.get("net")
        rows = net.get("rows") if isinstance(net, dict) else None
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def is_run_folder(folder: Path) -> bool:
    """Whether a run of convscope has left anything here."""
    return any((folder / mark).is_file() for mark in RUN_FILES)


def enclosing_sweep(folder: Path) -> Path | None:
    """The folder of the sweep that this run is a row of; None for a run of its own."""
    return next((each for each in folder.resolve().parents[:2] if (each / "multirun.yaml").is_file()), None)


def read_run(folder: str | Path, with_entries: bool = True) -> Run:
    """Everything a page shows of `folder`; what is absent is empty, what is damaged or refused is told in `remarks`.

    with_entries: False leaves index.jsonl unread, of which a long run has the most.
    """
    folder = Path(folder)
    entries, remarks = read_index(folder) if with_entries else ([], [])
    overrides = _list(read_text(folder / ".hydra" / "overrides.yaml"))
    summary = {**_facts(folder / "about.json", remarks), **_facts(folder / "summary.json", remarks)}
    config = read_text(folder / ".hydra" / "config.yaml")
    choices = _choices(read_text(folder / ".hydra" / "hydra.yaml"))
    return Run(folder, entries, _metrics(folder / "metrics.csv"), summary, config, overrides, choices, remarks)


def start_time(folder: Path) -> datetime:
    """When the run began: from its folder's name (or that of the sweep around it), else from its oldest file."""
    for name in (folder.name, folder.parent.name):
        if found := re.match(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", name):
            return datetime.strptime(found[0], "%Y-%m-%d_%H-%M-%S")
    times = [(folder / mark).stat().st_mtime for mark in RUN_FILES if (folder / mark).is_file()]
    return datetime.fromtimestamp(min(times, default=folder.stat().st_mtime))


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a csv file, as text."""
    lines = list(csv.reader(read_text(path).splitlines()))
    return (lines[0], lines[1:]) if lines else ([], [])


def _metrics(path: Path) -> dict[str, list[float | None]]:
    header, rows = read_table(path)
    return {name: [_number(row[at]) if at < len(row) else None for row in rows] for at, name in enumerate(header)}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _facts(path: Path, remarks: list[str]) -> dict[str, Any]:
    text = read_text(path)
    if not text:
        return {}
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        remarks.append(f"{path.name} cannot be read; not shown")
        return {}
    return said


@lru_cache(maxsize=512)  # the runs of a sweep are read again after each of them
def _choices(text: str) -> dict[str, str]:
    hydra = _mapping(text).get("hydra") or {}
    choices = (hydra.get("runtime") or {}).get("choices") or {}
    return {str(group): str(name) for group, name in choices.items() if name is not None}


@lru_cache(maxsize=512)
def _settings(text: str) -> dict[str, Any]:
    return _mapping(text)


def _mapping(text: str) -> dict[str, Any]:
    said = _yaml(text)
    return said if isinstance(said, dict) else {}


def _list(text: str) -> list[str]:
    said = _yaml(text)
    return [str(item) for item in said] if isinstance(said, list) else []


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # C is six times as fast
    except yaml.YAMLError:
        return None


def value_at(mapping: Mapping[str, Any], *keys: str) -> Any:
    """The value under nested keys; None where any of them is missing."""
    value: Any = mapping
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
