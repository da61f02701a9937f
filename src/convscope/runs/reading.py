"""Reads a run folder, of a run that has finished, is still running or crashed. The folder may come from anybody."""

import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from convscope.runs.csv_reader import csv_table_of, decoded, number_text
from convscope.runs.index import IndexEntry, read_index, read_text

RUN_FILES = ("index.jsonl", "metrics.csv", "summary.json", ".hydra/config.yaml")  # a run folder has one at least
SWEEP_FILE = "multirun.yaml"  # of Hydra, with the command of a sweep


class Run(NamedTuple):
    """The contents of a run folder.

    entries: the last line of index.jsonl for each kind, name and epoch, in order of first appearance.
    metrics: the columns of metrics.csv, None where a value was not measured.
    summary: facts of the run from about.json, and its results from summary.json once the run has ended.
    config: text of .hydra/config.yaml. overrides: as typed. choices: config group -> file name.
    remarks: files and lines that cannot be shown, in words.
    """

    folder: Path
    entries: list[IndexEntry]
    metrics: dict[str, list[float | None]]
    summary: dict[str, Any]
    config: str
    overrides: list[str]
    choices: dict[str, str]
    remarks: list[str]

    def __repr__(self) -> str:
        epochs, job = max(map(len, self.metrics.values()), default=0), self.summary.get("job", "unknown")
        return f"Run of job={job} in {self.folder}: {len(self.entries)} entries, {epochs} rows of metrics"

    @property
    def settings(self) -> dict[str, Any]:
        """The config as a mapping, which must not be changed; empty if it cannot be read."""
        return _settings(self.config)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the net in summary.json."""
        rows = value_at(self.summary, "net", "rows")
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def read_run(folder: str | Path, with_entries: bool = True) -> Run:
    """The contents of a run folder. Absent files are empty; `remarks` names damaged and refused ones.

    with_entries: False skips index.jsonl, the largest file of a long run.
    """
    run = read_facts(Path(folder))
    entries, remarks = read_index(run.folder) if with_entries else ([], [])
    metrics, choices = _metrics(run.folder / "metrics.csv"), _choices(read_text(run.folder / ".hydra" / "hydra.yaml"))
    return run._replace(entries=entries, metrics=metrics, choices=choices, remarks=[*remarks, *run.remarks])


def read_facts(folder: Path) -> Run:
    """The summary and the config of a run, without its metrics and pictures: quick, for lists of many runs."""
    remarks = list[str]()
    overrides = _list(read_text(folder / ".hydra" / "overrides.yaml"))
    summary = {**_facts(folder / "about.json", remarks), **_facts(folder / "summary.json", remarks)}
    config = read_text(folder / ".hydra" / "config.yaml")
    return Run(folder, [], {}, summary, config, overrides, {}, remarks)


def recorded_settings(folder: str | Path) -> dict[str, Any]:
    """The config of a run as a mapping, which must not be changed; empty if it cannot be read."""
    return _settings(read_text(Path(folder) / ".hydra" / "config.yaml"))


def is_run_folder(folder: Path) -> bool:
    """Whether the folder has any of the files that a run writes."""
    return any(os.path.isfile(folder / name) for name in RUN_FILES)  # no error where a folder may not be read


def run_folder_of(checkpoint: str | Path | None) -> Path | None:
    """The run folder of a checkpoint <run>/checkpoints/<file>; None for a file elsewhere."""
    if not isinstance(checkpoint, str | Path):
        return None
    folder = Path(checkpoint).expanduser().resolve().parent
    return folder.parent if folder.name == "checkpoints" and is_run_folder(folder.parent) else None


def run_around(path: str | Path) -> Path:
    """The run folder that the path is or lies in, such as <run>/checkpoints/last.ckpt; else the path itself."""
    path = Path(os.path.expanduser(path))
    folders = [path, *path.absolute().parents[:3]] if os.path.exists(path) else []
    return next((folder for folder in folders if is_run_folder(folder)), path)


def enclosing_sweep(folder: Path) -> Path | None:
    """The folder of the sweep that this run is a row of; None for a single run."""
    return next((parent for parent in folder.resolve().parents[:2] if is_sweep_folder(parent)), None)


def is_sweep_folder(folder: Path) -> bool:
    """Whether Hydra has written the command of a sweep into the folder."""
    return os.path.isfile(folder / SWEEP_FILE)


def sweep_overrides(sweep: Path) -> list[str] | None:
    """The overrides of the command of a sweep, with the values of each; None where they cannot be read."""
    return _sweep_overrides(read_text(sweep / SWEEP_FILE))


def start_time(folder: Path) -> datetime:
    """When the run was started: from the name of its folder or of its sweep's folder, else from its oldest file."""
    for name in (folder.name, folder.parent.name):
        if date := date_in(name):
            return date
    times = [changed for name in RUN_FILES if (changed := changed_at(folder / name))]
    return datetime.fromtimestamp(min(times, default=changed_at(folder)) / 1e9)


def date_in(name: str) -> datetime | None:
    """The date and time with which the name of a folder of outputs/ begins; None for another name."""
    date = re.match(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", name)
    with suppress(ValueError):  # there is no 13th month
        return datetime.strptime(date[0], "%Y-%m-%d_%H-%M-%S") if date else None
    return None


def changed_at(path: Path) -> int:
    """When the file or folder was last changed, in nanoseconds since 1970; 0 where there is none that can be seen."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a csv file, as text; ([], []) for an absent or empty file, or one that is no csv.

    A file that was saved again by a spreadsheet has the numbers of the first one.
    """
    return table_of(path.read_bytes()) if path.is_file() else ([], [])


def table_of(content: bytes) -> tuple[list[str], list[list[str]]]:
    """Header and rows in the content of a csv file, as `read_table`."""
    try:
        table = csv_table_of(decoded(content))
    except ValueError:
        return [], []
    return table.columns, [[number_text(cell, table.decimal_comma) for cell in row.cells] for row in table.rows]


def value_at(mapping: Mapping[str, Any], *keys: str) -> Any:
    """The value under nested keys; None where any of them is missing."""
    value: Any = mapping
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _metrics(path: Path) -> dict[str, list[float | None]]:
    header, rows = read_table(path)
    return {
        name: [_finite_number(row[place]) if place < len(row) else None for row in rows]
        for place, name in enumerate(header)
    }


def _finite_number(text: str) -> float | None:
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
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        remarks.append(f"{path.name} cannot be read; not shown")
        return {}
    return facts


@lru_cache(maxsize=512)  # the page of a sweep reads all runs again after each of them
def _choices(text: str) -> dict[str, str]:
    hydra = _mapping(text).get("hydra") or {}
    choices = (hydra.get("runtime") or {}).get("choices") or {}
    return {str(group): str(name) for group, name in choices.items() if name is not None}


@lru_cache(maxsize=16)
def _sweep_overrides(text: str) -> list[str] | None:
    record = _mapping(text)
    typed, of_config = value_at(record, "hydra", "overrides", "task"), value_at(record, "hydra", "sweeper", "params")
    if not isinstance(typed, list):
        return None
    parameters = of_config.items() if isinstance(of_config, dict) else ()
    return [*map(str, typed), *(f"{key}={value}" for key, value in parameters)]


@lru_cache(maxsize=512)
def _settings(text: str) -> dict[str, Any]:
    return _mapping(text)


def _mapping(text: str) -> dict[str, Any]:
    content = _yaml(text)
    return content if isinstance(content, dict) else {}


def _list(text: str) -> list[str]:
    content = _yaml(text)
    return [str(item) for item in content] if isinstance(content, list) else []


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # C is six times as fast
    except yaml.YAMLError:
        return None
