"""The training runs of a sweep, those that differ in their seed alone as one group."""

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.errors import UserError
from convscope.runs.config_diff import affects_result, flattened
from convscope.runs.reading import Run, is_run_folder, read_run
from convscope.runs.training_runs import TrainingRun, read_training_run

GIVE = "give a sweep's folder, e.g. outputs/sweep/<sweep>, or one with training runs in it, e.g. outputs/train"
OWN = ("report", "table")  # what a sweep's folder may have of its own, beside those of its runs
NUMBERED = r"(\d{4}-\d\d-\d\d_[\d-]+_|\d+_)"  # what stands before the name of a run's folder


class Spread(NamedTuple):
    """A mean over seeds. deviation: the standard deviation of the sample, None of a single run."""

    mean: float
    deviation: float | None


class SeedGroup(NamedTuple):
    """Runs of the same settings, one for each seed; finished ones first, then by how far they are."""

    name: str
    runs: list[TrainingRun]

    @property
    def counted(self) -> list[TrainingRun]:
        """The finished runs; of none the one that is farthest."""
        return [one for one in self.runs if one.finished] or self.runs[:1]

    @property
    def settings(self) -> dict[str, Any]:
        return self.runs[0].run.settings

    def over_seeds(self, column: str) -> Spread | None:
        """Of a column of metrics.csv over the runs that count; None where none of them has it."""
        found = [one.values[column] for one in self.counted if column in one.values]
        return Spread(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None) if found else None

    @property
    def state(self) -> str:
        """Of one run its own; of several how many are finished, and the others' own."""
        rest = [f"seed {one.seed} {one.state}" for one in self.runs if not one.finished]
        if len(self.runs) == 1 or not rest:
            return self.runs[0].state
        return f"{len(self.runs) - len(rest)} of {len(self.runs)} finished; " + "; ".join(rest)


class SweepRuns(NamedTuple):
    """groups: in the order of their folders. left_out: folder -> why it is no row of its own. evaluations: runs of
    job=evaluate, not yet read.
    """

    groups: list[SeedGroup]
    left_out: dict[str, str]
    evaluations: tuple[Run, ...] = ()


def read_sweep_runs(folders: Sequence[Path], epoch: str = "last") -> SweepRuns:
    """The training runs at these folders, in them, or in the sweeps in them. epoch: "last" or "best".

    Raises UserError for a folder that is not there, and where no training run is found.
    """
    left_out: dict[str, str] = {}
    kinds: dict[Any, list[TrainingRun]] = {}
    evaluations: list[Run] = []
    for path in dict.fromkeys(path for folder in folders for path in _inside(folder, left_out)):
        run = read_run(path, with_entries=False)
        job = run.settings.get("job") or run.summary.get("job") or ("train" if run.metrics else "")
        if job == "evaluate":
            evaluations.append(run)
            continue
        if job != "train":
            left_out[_label(path)] = f"a run of job={job}" if job else "what it was cannot be read"
            continue
        kinds.setdefault(_kind(run) or path, []).append(read_training_run(run, epoch))
    groups = [_group(runs, left_out) for runs in kinds.values()]
    if not groups:
        left_out |= {_label(run.folder): "a run of job=evaluate" for run in evaluations}
        told = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3])
        raise UserError(f"no training run in {', '.join(map(str, folders))}{f' ({told})' if told else ''}; {GIVE}")
    return SweepRuns(_with_distinct_names(groups), left_out, tuple(evaluations))


def _inside(folder: Path, left_out: dict[str, str]) -> Iterator[Path]:
    """Run folders: the folder itself, those in it, or those one level below."""
    if not folder.is_dir():
        raise UserError(f"sweep={folder} is no folder; {GIVE}")
    if is_run_folder(folder):
        yield folder.resolve()
        return
    inside = _folders(folder)
    runs = [path for path in inside if is_run_folder(path)]
    if not runs:
        yield from (path for each in inside for path in _folders(each) if is_run_folder(path))
        return
    yield from runs
    left_out |= {_label(path): "no run has left anything in it" for path in inside if path not in runs}


def _folders(folder: Path) -> list[Path]:
    inside = [path.resolve() for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    inside = [path for path in inside if path.name not in OWN or (path / "metrics.csv").is_file()]
    return sorted(inside, key=_number)


def _number(path: Path) -> tuple[float, str]:
    """Of 10_zfnet, 10: a sweep's tenth run comes after its second."""
    head = path.name.partition("_")[0]
    return (int(head) if head.isdigit() else float("inf")), path.name


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _kind(run: Run) -> frozenset[tuple[str, str]] | None:
    """What runs of one row have in common: all settings that count but the seed. None where they cannot be read."""
    kept = {
        key: value for key, value in flattened(run.settings).items() if value is not None and affects_result(run, key)
    }
    return frozenset((key, repr(value)) for key, value in kept.items()) or None


def _group(runs: list[TrainingRun], left_out: dict[str, str]) -> SeedGroup:
    """Of several runs with one seed the farthest stays."""
    farthest: dict[Any, TrainingRun] = {}
    for one in sorted(runs, key=lambda one: (one.finished, one.epochs), reverse=True):
        if one.seed in farthest:
            kept = _label(farthest[one.seed].run.folder)
            left_out[_label(one.run.folder)] = f"settings and seed are those of {kept}, which is as far or farther"
        else:
            farthest[one.seed] = one
    ordered = sorted(farthest.values(), key=lambda one: (not one.finished, -one.epochs, str(one.seed)))
    return SeedGroup(_name(ordered[0]), ordered)


def _name(one: TrainingRun) -> str:
    """What the run was named, else its folder's name without number, date and seed."""
    plain = re.sub(f"^{NUMBERED}", "", one.run.folder.name)
    said = str(one.run.summary.get("name") or re.sub(rf"[_-]?seed[_-]?{re.escape(str(one.seed))}$", "", plain))
    return said or one.run.folder.name


def _with_distinct_names(groups: list[SeedGroup]) -> list[SeedGroup]:
    """With the folder's name where several rows would be called the same."""
    names = [group.name for group in groups]
    folders = [group.runs[0].run.folder for group in groups]
    plain = [folder.name for folder in folders]
    return [
        group._replace(name=folder.name if plain.count(folder.name) == 1 else _label(folder))
        if names.count(group.name) > 1
        else group
        for group, folder in zip(groups, folders, strict=True)
    ]


def varied_settings(groups: Sequence[SeedGroup]) -> list[dict[str, Any]]:
    """Of each group the settings, by their dotted keys, in which any two groups differ; None for one it has not."""
    flat = [flattened(group.settings) for group in groups]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    differing = [key for key in keys if len({repr(settings.get(key)) for settings in flat}) > 1]
    chosen = [key for key in differing if any(affects_result(group.runs[0].run, key) for group in groups)]
    return [{key: settings.get(key) for key in chosen} for settings in flat]


def images_per_second(group: SeedGroup) -> int | None:
    """Training images per second, mean over the runs that count and their epochs."""
    said = [one.run.summary.get("images_per_second") or _mean(one.run.metrics) for one in group.counted]
    found = [float(value) for value in said if value]
    return round(sum(found) / len(found)) if found else None


def _mean(metrics: Mapping[str, Sequence[float | None]]) -> float | None:
    known = [value for value in metrics.get("images_per_second", ()) if value is not None]
    return sum(known) / len(known) if known else None
