"""The tables of a sweep's page: a row for each run or group of seeds, a column for each setting that differs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.report.header import run_seconds
from convscope.report.linked_runs import address_of
from convscope.report.run_names import setting_text, settings_in_words
from convscope.runs.config_diff import differences_in_words
from convscope.runs.number_format import duration, percent
from convscope.runs.sweep_runs import SeedGroup, Spread, varied_settings
from convscope.runs.training_runs import TrainingRun, best_epoch, goal_of

MAX_SETTINGS = 6  # settings shown as columns; of more a column in words, and the columns themselves on request
SPARK = (96, 24)  # width and height of the small curves
STATES = {"finished": "finished", "running": "running", "stopped": "cut off", "failed": "failed", "damaged": "damaged"}
MEAN_AP = "val/mean_ap"  # only of nets for images of several classes
MEASURES = (  # heading, column of metrics.csv
    ("val mean AP", MEAN_AP),
    ("val accuracy, top-1", "val/top1"),
    ("top-5", "val/top5"),
    ("val loss", "val/loss"),
)
Measures = Sequence[tuple[str, str]]
Settings = Sequence[Mapping[str, Any]]  # of each group, by dotted key; all have the same keys


class RunColumn(NamedTuple):
    """first: the order after a first click on the heading. more: whether the column is shown only on request."""

    key: str
    head: str
    first: str = "ascending"
    more: bool = False


class RunCell(NamedTuple):
    """order: by which the column is sorted, "" for an empty cell, which comes last. form: "n" for a number."""

    text: str
    order: str
    form: str = ""
    more: bool = False


class RunRow(NamedTuple):
    """One run.

    key: its folder within the sweep's. number: its place in the sweep, counted from 1. page: address of its page from
    the sweep's page, None without one. state: one of the values of STATES. spark: points of the svg curve of val top-1.
    """

    key: str
    name: str
    number: int
    page: str | None
    state: str
    cells: list[RunCell]
    spark: str
    run: TrainingRun


class BestRun(NamedTuple):
    """The run that a search would choose: its best epoch, by what the runs aim at. words: its settings."""

    row: RunRow
    measure: str
    value: str
    epoch: int
    words: str


class RunTables(NamedTuple):
    """columns, rows: of the runs. seed_columns, seed_rows: of the groups; empty where every group has one run.

    best: None for a single run, and where the runs aim at different numbers or have none.
    """

    columns: list[RunColumn]
    rows: list[RunRow]
    seed_columns: list[RunColumn]
    seed_rows: list[list[RunCell]]
    best: BestRun | None = None


_STATE = RunColumn("state", "state")


def run_tables(groups: Sequence[SeedGroup], folder: Path) -> RunTables:
    """The tables of these groups. folder: of the sweep, resolved."""
    settings = varied_settings(groups)
    has_seeds = any(len(group.runs) > 1 for group in groups)
    runs = [run for group in groups for run in group.runs]
    measures = [measure for measure in MEASURES if measure[1] != MEAN_AP or any(MEAN_AP in run.values for run in runs)]
    highest = max((value for run in runs for value in _top1(run)), default=0)
    most_epochs = max((len(run.history) for run in runs), default=0)
    rows: list[RunRow] = []
    words: list[str] = []  # for each row
    for group, values, setting_cells in zip(groups, settings, _setting_cells(settings), strict=True):
        for run in group.runs:
            seeds = [f"seed {run.seed}"] if has_seeds else []
            words.append("; ".join(filter(None, [*differences_in_words([values]), *seeds])))
            seed = [_cell(run.seed)] if has_seeds else []
            cells = [*setting_cells, *seed, *_measured(run, measures), _state(run), *_effort(run)]
            spark = _spark(_top1(run), highest, most_epochs)
            name = _name(group, run, values, has_seeds)
            rows.append(_row(len(rows) + 1, name, run, folder)._replace(cells=cells, spark=spark))
    columns = [*_setting_columns(settings), *([RunColumn("seed", "seed")] if has_seeds else [])]
    columns += [*_measure_columns(measures), _STATE, RunColumn("epochs", "epochs", "descending")]
    columns.append(RunColumn("time", "time"))
    seed_table = _seed_table(groups, settings, measures) if has_seeds else ([], [])
    return RunTables(columns, rows, *seed_table, _best_run(rows, words))


def _best_run(rows: Sequence[RunRow], words: Sequence[str]) -> BestRun | None:
    """words: the settings of each row."""
    metric, mode = goal_of(rows[0].run.run)
    epochs = [best_epoch(row.run) for row in rows]
    measured = [place for place, epoch in enumerate(epochs) if metric in epoch]
    if len(rows) < 2 or not measured or any(goal_of(row.run.run) != (metric, mode) for row in rows):
        return None
    best = (min if mode == "min" else max)(measured, key=lambda place: epochs[place][metric])
    heading = {key: head for head, key in MEASURES}.get(metric, metric)
    value = _mean(Spread(epochs[best][metric], None), metric).text
    return BestRun(rows[best], heading, value, int(epochs[best].get("epoch", 0)), words[best])


def _name(group: SeedGroup, run: TrainingRun | None, values: Mapping[str, Any], has_seeds: bool) -> str:
    """The name of a run, or of its group without one. values: the settings in which the groups differ.

    Groups of one name are called by their folders; here by what differs, as it was typed: "renorm=0.1 seed=1".
    """
    first = group.runs[0].run.folder
    if group.name in (first.name, f"{first.parent.name}/{first.name}") and 0 < len(values) <= MAX_SETTINGS:
        return settings_in_words({**values, **({"seed": run.seed} if has_seeds and run else {})})
    if run is None or len(group.runs) == 1:
        return group.name
    # a group that is called by the folder of its first run does not name the others
    return run.run.folder.name if group.name == first.name else f"{group.name}, seed {run.seed}"


def _row(number: int, name: str, run: TrainingRun, folder: Path) -> RunRow:
    """The row without its cells and curve."""
    place = run.run.folder
    key = place.relative_to(folder).as_posix() if place.is_relative_to(folder) else place.name
    page = f"../{address_of(key)}/report/index.html" if (place / "report" / "index.html").is_file() else None
    return RunRow(key, name, number, page, STATES[run.state.partition(":")[0]], [], "", run)


def _seed_table(
    groups: Sequence[SeedGroup], settings: Settings, measures: Measures
) -> tuple[list[RunColumn], list[list[RunCell]]]:
    """Mean ± standard deviation of each group over its counted runs, as job=table has them."""
    seeds = RunColumn("seeds", "seeds", "descending")
    columns = [RunColumn("run", "run"), *_setting_columns(settings), seeds, *_measure_columns(measures), _STATE]
    rows = []
    for group, values, setting_cells in zip(groups, settings, _setting_cells(settings), strict=True):
        means = [_mean(group.over_seeds(key), key) for _, key in measures]
        name = _name(group, None, values, True)
        rows.append([_cell(name), *setting_cells, _cell(len(group.counted)), *means, _cell(group.state)])
    return columns, rows


def _setting_columns(settings: Settings) -> list[RunColumn]:
    keys = list(settings[0]) if settings else []
    folded = len(keys) > MAX_SETTINGS
    columns = [RunColumn(key, ".".join(key.removeprefix("model.layers.").split(".")[-2:]), more=folded) for key in keys]
    return [*([RunColumn("differs", "what differs")] if folded else []), *columns]


def _setting_cells(settings: Settings) -> list[list[RunCell]]:
    folded = bool(settings) and len(settings[0]) > MAX_SETTINGS
    words = [[_cell(text)] if folded else [] for text in differences_in_words(settings)]
    numeric = {key for values in settings for key, value in values.items() if _cell(value).form}
    cells = [
        [_cell(value)._replace(more=folded, form="n" if key in numeric else "") for key, value in values.items()]
        for values in settings
    ]
    return [[*in_words, *single] for in_words, single in zip(words, cells, strict=True)]


def _cell(value: Any) -> RunCell:
    text = setting_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return RunCell(text, repr(value) if math.isfinite(value) else "", "n")
    return RunCell(text, "" if value is None else text)


def _measure_columns(measures: Measures) -> list[RunColumn]:
    return [RunColumn(key, head, "ascending" if key == "val/loss" else "descending") for head, key in measures]


def _measured(run: TrainingRun, measures: Measures) -> list[RunCell]:
    return [_mean(Spread(run.values[key], None) if key in run.values else None, key) for _, key in measures]


def _effort(run: TrainingRun) -> list[RunCell]:
    seconds = run_seconds(run.run)
    return [_cell(run.epochs), RunCell(duration(seconds), repr(seconds), "n") if seconds else RunCell("", "", "n")]


def _mean(spread: Spread | None, key: str) -> RunCell:
    """A share in percent, a loss as it is; with ± for several seeds."""
    if spread is None or not math.isfinite(spread.mean):
        return RunCell("–", "", "n")
    mean, deviation = spread
    if key == "val/loss":
        text = f"{mean:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")
    else:
        text = percent(mean) if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
    return RunCell(text, repr(mean), "n")


def _state(run: TrainingRun) -> RunCell:
    state, _, detail = run.state.partition(":")
    text = STATES[state] + (f":{detail}" if detail else "")
    return RunCell(text, text, STATES[state].replace(" ", "-"))


def _top1(run: TrainingRun) -> list[float]:
    return [row["val/top1"] for row in run.history if math.isfinite(row.get("val/top1", math.nan))]


def _spark(values: Sequence[float], highest: float, most_epochs: int) -> str:
    """Points of a curve; all curves of a sweep have the same scales. A single epoch is a short stroke."""
    width, height = SPARK
    step = (width - 4) / max(1, most_epochs - 1)
    points = [
        (2 + step * place, height - 2 - (height - 4) * value / (highest or 1)) for place, value in enumerate(values)
    ]
    if len(points) == 1:
        points.append((points[0][0] + 3, points[0][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
