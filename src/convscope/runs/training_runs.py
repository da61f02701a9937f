"""One training run as its folder tells of it: how far it has come, and what it measured.

Works on what is there: runs that are still going on, were cut off, failed, or left half of their files.
"""

import csv
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.errors import UserError
from convscope.runs.number_format import duration
from convscope.runs.reading import RUN_FILES, Run, is_run_folder, read_run, value_at


def find_training_runs(folders: Sequence[Path]) -> list[Run]:
    """The training runs at these folders, or, of a sweep's folder, those in it.

    Raises UserError for a folder that is neither.
    """
    found = []
    for folder in folders:
        inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        here = [path for path in [folder, *inside] if is_run_folder(path)]
        if not here:
            raise UserError(
                f"no training run in {folder}; give the folder of a run, outputs/train/<run>, or of a sweep"
            )
        found += [read_run(path) for path in here]
    return [run for run in found if run.settings.get("job") == "train"]


STOPPED_AFTER = (
    600  # seconds without a sign of life, or five epochs of the run if those are longer: then it has stopped
)


class TrainingRun(NamedTuple):
    """One training run. values: of metrics.csv at the epoch that counts. epochs: how many are over. history: its rows.

    state: "finished", "running: epoch 3 of 12", "stopped: epoch 3 of 12", or "failed: " and why.
    """

    run: Run
    seed: Any
    values: Mapping[str, float]
    epochs: int
    state: str
    history: Sequence[Mapping[str, float]] = ()

    @property
    def finished(self) -> bool:
        return self.state == "finished"


def read_training_run(run: Run, epoch: str = "last") -> TrainingRun:
    """How far a training run has come and what it measured, from its folder alone."""
    rows = _whole_rows(run.folder / "metrics.csv") or _final(run)
    row: Mapping[str, float] = rows[-1] if rows else {}
    if epoch == "best":
        row = _best(rows, value_at(run.summary, "goal")) or row
    seed = run.settings.get("seed", run.summary.get("seed"))
    return TrainingRun(run, seed, row, int(rows[-1].get("epoch", len(rows))) if rows else 0, _state(run, rows), rows)


def _best(rows: Sequence[Mapping[str, float]], goal: Any) -> Mapping[str, float]:
    """By what was better for the run's loss; runs of version 0.1 do not say, and all of them went by top-1."""
    metric, mode = (goal.get("metric"), goal.get("mode")) if isinstance(goal, dict) else ("val/top1", "max")
    measured = [row for row in rows if math.isfinite(row.get(str(metric), math.nan))]
    return (min if mode == "min" else max)(measured, key=lambda row: row[str(metric)], default={})


def _final(run: Run) -> list[dict[str, float]]:
    """What the summary says of the last epoch, of a run that has lost its metrics.csv."""
    said = value_at(run.summary, "final")
    row = (
        {key: value for key, value in said.items() if isinstance(value, int | float)} if isinstance(said, dict) else {}
    )
    return [row] if row else []


def _whole_rows(path: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv that are written to their end: the last of a damaged file may be cut within a number."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    header, *rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines())) or [[]]
    return [
        {name: value for name, cell in zip(header, row, strict=True) for value in _floats(cell)}
        for row in rows
        if len(row) == len(header)
    ]


def _floats(cell: str) -> list[float]:
    try:
        return [float(cell)]
    except ValueError:
        return []


def _state(run: Run, rows: Sequence[Mapping[str, float]]) -> str:
    """From summary.json, which is written at the end, unless training went on since; else from the files' age."""
    epochs, final = (int(rows[-1].get("epoch", len(rows))) if rows else 0), value_at(run.summary, "final", "epoch")
    wanted = value_at(run.settings, "trainer", "max_epochs")
    told = f"epoch {epochs}" + (f" of {wanted}" if isinstance(wanted, int) and wanted > 0 else "")
    if run.summary.get("finished") and final is not None and epochs < final:
        return f"damaged: metrics.csv has {epochs} of {final} epochs"
    if run.summary.get("finished") and (final is None or epochs == final):
        return "finished"
    if "finished" in run.summary and not run.summary["finished"] and not _went_on(run.folder):
        return f"failed: {run.summary['problem']}" if run.summary.get("problem") else f"stopped: {told}"
    age = time.time() - max(_written(run.folder))
    if age > max(STOPPED_AFTER, 5 * (rows[-1].get("seconds", 0) if rows else 0)):
        return f"stopped: {told}, nothing written for {duration(age)}"
    return f"running: {told}"


def _went_on(folder: Path) -> bool:
    metrics, summary = folder / "metrics.csv", folder / "summary.json"
    return metrics.is_file() and metrics.stat().st_mtime > summary.stat().st_mtime + 1


def _written(folder: Path) -> list[float]:
    paths = [folder / name for name in (*RUN_FILES, "checkpoints/last.ckpt")]
    return [path.stat().st_mtime for path in paths if path.is_file()]
