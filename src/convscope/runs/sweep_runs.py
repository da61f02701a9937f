"""The training runs of a sweep. Runs that differ only in their seed form one group, a row of the sweep's tables."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.errors import UserError
from convscope.runs.config_diff import affects_result, flattened
from convscope.runs.reading import Run, is_run_folder, read_run, sweep_overrides, value_at
from convscope.runs.training_runs import TrainingRun, goal_of, read_training_run

HINT = "give a sweep's folder, e.g. outputs/sweep/<sweep>, or one with training runs in it, e.g. outputs/train"
NOT_RUNS = ("report", "table")  # folders in a sweep's folder that hold results of the whole sweep
NUMBERED = r"(\d{4}-\d\d-\d\d_[\d-]+_|\d+_)"  # date or number before the name of a run's folder


class Spread(NamedTuple):
    """A mean over seeds. deviation: the standard deviation of the sample, None for a single run."""

    mean: float
    deviation: float | None


class SeedGroup(NamedTuple):
    """Runs of the same settings, one for each seed; finished runs first, then by their number of epochs."""

    name: str
    runs: list[TrainingRun]

    @property
    def counted(self) -> list[TrainingRun]:
        """The runs that means are over: the finished ones; without any, the one with the most epochs."""
        return [run for run in self.runs if run.finished] or self.runs[:1]

    @property
    def settings(self) -> dict[str, Any]:
        return self.runs[0].run.settings

    def over_seeds(self, column: str) -> Spread | None:
        """Mean and deviation of a column of metrics.csv over the counted runs; None where no run has the column."""
        values = [run.values[column] for run in self.counted if column in run.values]
        if not values:
            return None
        return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    @property
    def state(self) -> str:
        """The state of a single run; for several runs how many are finished, and the state of each other run."""
        unfinished = [f"seed {run.seed} {run.state}" for run in self.runs if not run.finished]
        if len(self.runs) == 1 or not unfinished:
            return self.runs[0].state
        return f"{len(self.runs) - len(unfinished)} of {len(self.runs)} finished; " + "; ".join(unfinished)


class SweepRuns(NamedTuple):
    """The runs of a sweep.

    groups: in the order of their folders. left_out: folder -> why it is in no group. evaluations: runs of job=evaluate.
    """

    groups: list[SeedGroup]
    left_out: dict[str, str]
    evaluations: tuple[Run, ...] = ()


def read_sweep_runs(folders: Sequence[Path], epoch: str = "last") -> SweepRuns:
    """Reads the training runs at these folders, in them, or in the sweeps in them. epoch: "last" or "best".

    Raises UserError for a folder that does not exist, and where there is no training run.
    """
    left_out: dict[str, str] = {}
    runs_by_settings: dict[Any, list[TrainingRun]] = {}
    evaluations: list[Run] = []
    for path in dict.fromkeys(path for folder in folders for path in _run_folders(folder, left_out)):
        run = read_run(path, with_entries=False)
        job = run.settings.get("job") or run.summary.get("job") or ("train" if run.metrics else "")
        if job == "evaluate":
            evaluations.append(run)
        elif job != "train":
            left_out[_label(path)] = f"a run of job={job}" if job else "what it was cannot be read"
        else:
            runs_by_settings.setdefault(_relevant_settings(run) or path, []).append(read_training_run(run, epoch))
    groups = [_group(runs, left_out) for runs in runs_by_settings.values()]
    if not groups:
        left_out |= {_label(run.folder): "a run of job=evaluate" for run in evaluations}
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
        names = ", ".join(map(str, folders))
        raise UserError(f"no training run in {names}{f' ({reasons})' if reasons else ''}; {HINT}")
    return SweepRuns(_with_distinct_names(groups), left_out, tuple(evaluations))


def varied_settings(groups: Sequence[SeedGroup]) -> list[dict[str, Any]]:
    """For each group the settings in which any two groups differ, by dotted key; None for an absent one."""
    flat = [flattened(group.settings) for group in groups]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    differing = [key for key in keys if len({repr(settings.get(key)) for settings in flat}) > 1]
    relevant = [key for key in differing if any(affects_result(group.runs[0].run, key) for group in groups)]
    return [{key: settings.get(key) for key in relevant} for settings in flat]


def swept_settings(run: Run, sweep: Path) -> dict[str, Any] | None:
    """The settings of a run that the command of its sweep has in several values, by config key.

    A choice of a config group is the name of the choice. None where the command cannot be read.
    """
    typed = sweep_overrides(sweep)
    if typed is None:
        return None
    fixed, swept = {_without_quotes(override) for override in typed}, {}
    for override in run.overrides:
        if _without_quotes(override) not in fixed:
            key, _, text = override.lstrip("+~").partition("=")
            value = value_at(run.settings, *key.split("."))
            is_text = isinstance(value, Mapping | list) or (value is None and text != "null")
            swept[key] = text if is_text else value
    return swept


def _without_quotes(override: str) -> str:
    """The override without quotes and blanks, which Hydra may write otherwise than they were typed."""
    return re.sub(r"[\s'\"]", "", override)


def best_first(groups: Sequence[SeedGroup]) -> list[SeedGroup]:
    """The groups by the number that their runs aim at, the best first; those without it, and unfinished ones, last."""

    def place(group: SeedGroup) -> tuple[bool, float]:
        metric, mode = goal_of(group.runs[0].run)
        mean = group.over_seeds(metric)
        last = mean is None or not math.isfinite(mean.mean) or not group.counted[0].finished
        return last, 0.0 if mean is None or last else mean.mean if mode == "min" else -mean.mean

    return sorted(groups, key=place)


def images_per_second(group: SeedGroup) -> int | None:
    """Training images per second, mean over the counted runs and their epochs; None where no run measured them."""
    speeds = [run.run.summary.get("images_per_second") or _mean_speed(run.run) for run in group.counted]
    measured = [float(speed) for speed in speeds if speed]
    return round(sum(measured) / len(measured)) if measured else None


def _mean_speed(run: Run) -> float | None:
    speeds = [speed for speed in run.metrics.get("images_per_second", ()) if speed is not None]
    return sum(speeds) / len(speeds) if speeds else None


def _run_folders(folder: Path, left_out: dict[str, str]) -> Iterator[Path]:
    """The folder itself if it is a run folder, else the run folders in it, else those one level below."""
    if not folder.is_dir():
        raise UserError(f"sweep={folder} is no folder; {HINT}")
    if is_run_folder(folder):
        yield folder.resolve()
        return
    inside = _subfolders(folder)
    runs = [path for path in inside if is_run_folder(path)]
    if not runs:
        yield from (path for subfolder in inside for path in _subfolders(subfolder) if is_run_folder(path))
        return
    yield from runs
    left_out |= {_label(path): "no run has left anything in it" for path in inside if path not in runs}


def _subfolders(folder: Path) -> list[Path]:
    inside = [path.resolve() for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    inside = [path for path in inside if path.name not in NOT_RUNS or (path / "metrics.csv").is_file()]
    return sorted(inside, key=place_in_sweep)


def place_in_sweep(path: Path) -> tuple[float, str]:
    """The number before the folder's name, by which 10_zfnet comes after 2_zfnet, and the name."""
    number = path.name.partition("_")[0]
    return (int(number) if number.isdecimal() else float("inf")), path.name


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _relevant_settings(run: Run) -> frozenset[tuple[str, str]] | None:
    """All settings that affect the result, except the seed; None where they cannot be read."""
    settings = flattened(run.settings).items()
    relevant = {key: value for key, value in settings if value is not None and affects_result(run, key)}
    return frozenset((key, repr(value)) for key, value in relevant.items()) or None


def _group(runs: list[TrainingRun], left_out: dict[str, str]) -> SeedGroup:
    """The group of these runs. Of several runs with one seed it has the one with the most epochs."""
    by_seed: dict[Any, TrainingRun] = {}
    for run in sorted(runs, key=lambda run: (run.finished, run.epochs), reverse=True):
        if run.seed in by_seed:
            chosen = _label(by_seed[run.seed].run.folder)
            left_out[_label(run.run.folder)] = f"settings and seed are those of {chosen}, which is as far or farther"
        else:
            by_seed[run.seed] = run
    ordered = sorted(by_seed.values(), key=lambda run: (not run.finished, -run.epochs, str(run.seed)))
    return SeedGroup(_name(ordered[0]), ordered)


def _name(run: TrainingRun) -> str:
    """The run's name, else the name of its folder without number, date and seed."""
    plain = re.sub(f"^{NUMBERED}", "", run.run.folder.name)
    name = run.run.summary.get("name") or re.sub(rf"[_-]?seed[_-]?{re.escape(str(run.seed))}$", "", plain)
    return str(name) or run.run.folder.name


def _with_distinct_names(groups: list[SeedGroup]) -> list[SeedGroup]:
    """The groups; those of the same name are called by their folders."""
    names = [group.name for group in groups]
    folders = [group.runs[0].run.folder for group in groups]
    folder_names = [folder.name for folder in folders]
    return [
        group._replace(name=folder.name if folder_names.count(folder.name) == 1 else _label(folder))
        if names.count(group.name) > 1
        else group
        for group, folder in zip(groups, folders, strict=True)
    ]
