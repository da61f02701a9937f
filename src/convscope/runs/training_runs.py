"""Training runs: the runs in a folder, and for each how far it has come and what it measured.

Reads runs that are still going on, were cut off, failed, or have lost half of their files.
"""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.errors import UserError
from convscope.metrics.goals import Chance
from convscope.runs.heartbeat import read_status
from convscope.runs.number_format import duration, parse_number
from convscope.runs.reading import RUN_FILES, Run, is_run_folder, read_run, table_of, value_at

STOPPED_AFTER = 600  # seconds in which no file was written; five epochs of the run if those take longer


class TrainingRun(NamedTuple):
    """One training run.

    values: of metrics.csv at the chosen epoch. epochs: number of finished ones. history: the rows of metrics.csv.
    state: "finished", "running: epoch 3 of 12", "stopped: epoch 3 of 12", or "failed: " and the reason.
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


def find_training_runs(folders: Sequence[Path]) -> list[Run]:
    """The training runs in these folders, each the folder of a run or of a sweep.

    Raises UserError for a folder that is neither.
    """
    runs = []
    for folder in folders:
        inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        paths = [path for path in [folder, *inside] if is_run_folder(path)]
        if not paths:
            raise UserError(
                f"no training run in {folder}; give the folder of a run, outputs/train/<run>, or of a sweep"
            )
        runs += [read_run(path) for path in paths]
    return [run for run in runs if run.settings.get("job") == "train"]


def read_training_run(run: Run, epoch: str = "last") -> TrainingRun:
    """How far a training run has come and what it measured. epoch: "last" or "best", whose values count."""
    rows = _whole_rows(run.folder / "metrics.csv") or _final_row(run)
    values: Mapping[str, float] = rows[-1] if rows else {}
    seed = run.settings.get("seed", run.summary.get("seed"))
    training = TrainingRun(run, seed, values, _epochs(rows), _state(run, rows), rows)
    return training._replace(values=best_epoch(training) or values) if epoch == "best" else training


def best_epoch(training: TrainingRun) -> Mapping[str, float]:
    """The row of metrics.csv that is best by the goal of the run; empty where no row has its metric."""
    metric, mode = goal_of(training.run)
    measured = [row for row in training.history if math.isfinite(row.get(metric, math.nan))]
    return (min if mode == "min" else max)(measured, key=lambda row: row[metric], default={})


def goal_of(run: Run) -> tuple[str, str]:
    """The metric that the run aims at, a column of metrics.csv, and "max" or "min". In version 0.1 always top-1."""
    goal = value_at(run.summary, "goal")
    metric, mode = (goal.get("metric"), goal.get("mode")) if isinstance(goal, dict) else ("val/top1", "max")
    return str(metric), str(mode)


def best_value(folder: Path) -> float | None:
    """The best validation number of the training run in this folder, by the goal of the run (metrics/goals.py).

    None where no epoch has measured one.
    """
    run = read_run(folder, with_entries=False)
    metric, _ = goal_of(run)
    value = value_at(run.summary, "best", metric)
    if not isinstance(value, int | float):  # of version 0.1, or a run that goes on
        value = read_training_run(run, "best").values.get(metric, math.nan)
    return float(value) if math.isfinite(value) else None


def has_learned(run: Run) -> bool:
    """Whether the last top-1 or mean AP, or the last loss, is better than chance; True where that is not known."""
    classes = run.summary.get("classes")
    metric = value_at(run.summary, "goal", "metric") or "val/top1"
    chance, chance_loss = (value_at(run.summary, "goal", key) for key in ("chance", "chance_loss"))
    if chance is None and isinstance(classes, list) and classes and "val/mean_ap" not in run.metrics:  # of version 0.1
        chance, chance_loss = 1 / len(classes), math.log(len(classes))
    if not isinstance(chance, int | float):
        return True
    value, loss = (_last(run.metrics.get(str(column), [])) for column in (metric, "val/loss"))
    return not Chance(chance, chance_loss if isinstance(chance_loss, int | float) else math.nan).explains(value, loss)


def _last(values: Sequence[float | None]) -> float:
    """The last value that was measured; nan without one."""
    return next((value for value in reversed(values) if value is not None), math.nan)


def _final_row(run: Run) -> list[dict[str, float]]:
    """The last epoch in summary.json, for a run that has lost its metrics.csv."""
    final = value_at(run.summary, "final")
    values = final.items() if isinstance(final, dict) else ()
    row = {key: value for key, value in values if isinstance(value, int | float)}
    return [row] if row else []


def _whole_rows(path: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv that end in a line break: the last row of a damaged file may be cut within a number."""
    content = path.read_bytes() if path.is_file() else b""
    header, rows = table_of(content[: max(content.rfind(b"\n"), content.rfind(b"\r")) + 1])
    cells = [zip(header, map(parse_number, row), strict=True) for row in rows if len(row) == len(header)]
    return [{name: value for name, value in row if value is not None} for row in cells]


def _epochs(rows: Sequence[Mapping[str, float]]) -> int:
    return int(rows[-1].get("epoch", len(rows))) if rows else 0


def _state(run: Run, rows: Sequence[Mapping[str, float]]) -> str:
    """By summary.json, which is written at the end, unless training went on since; else by the age of the files."""
    epochs, final = _epochs(rows), value_at(run.summary, "final", "epoch")
    max_epochs = value_at(run.settings, "trainer", "max_epochs")
    progress = f"epoch {epochs}" + (f" of {max_epochs}" if isinstance(max_epochs, int) and max_epochs > 0 else "")
    if run.summary.get("finished") and final is not None and epochs < final:
        return f"damaged: metrics.csv has {epochs} of {final} epochs"
    if run.summary.get("finished") and (final is None or epochs == final):
        return "finished"
    if "finished" in run.summary and not run.summary["finished"] and not _resumed(run.folder):
        return f"failed: {run.summary['problem']}" if run.summary.get("problem") else f"stopped: {progress}"
    age = time.time() - max(_write_times(run.folder), default=0)
    if (status := read_status(run.folder)) is not None and status.state == "running":
        age = time.time() - status.beat
        return f"stopped: {progress}, no sign of life for {duration(age)}" if status.silent else f"running: {progress}"
    if age > max(STOPPED_AFTER, 5 * (rows[-1].get("seconds", 0) if rows else 0)):
        return f"stopped: {progress}, nothing written for {duration(age)}"
    return f"running: {progress}"


def _resumed(folder: Path) -> bool:
    """Whether metrics.csv is newer than summary.json."""
    metrics, summary = folder / "metrics.csv", folder / "summary.json"
    return metrics.is_file() and metrics.stat().st_mtime > summary.stat().st_mtime + 1


def _write_times(folder: Path) -> list[float]:
    paths = [folder / name for name in (*RUN_FILES, "about.json", "checkpoints/last.ckpt")]
    return [path.stat().st_mtime for path in paths if path.is_file()]
