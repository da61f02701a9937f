"""The table of a sweep's page: a row for each run or group of seeds, a column for each setting that differs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from convscope.report.header import run_seconds
from convscope.runs.config_diff import differences_in_words
from convscope.runs.number_format import brief, duration, percent
from convscope.runs.sweep_runs import SeedGroup, Spread, varied_settings
from convscope.runs.training_runs import TrainingRun

FEW = 6  # settings that stand as columns at once; of more a few words stand for all until they are asked for
SPARK = (96, 24)  # width and height of the small curves
STATES = {"finished": "finished", "running": "running", "stopped": "cut off", "failed": "failed", "damaged": "damaged"}
NUMBERS = (
    ("val mean AP", "val/mean_ap"),
    ("val accuracy, top-1", "val/top1"),
    ("top-5", "val/top5"),
    ("val loss", "val/loss"),
)
Measures = Sequence[tuple[str, str]]
SEVERAL = "val/mean_ap"  # a column of nets of images of several classes alone


class RunColumn(NamedTuple):
    """first: the order that a first click on the column gives. more: whether it is shown only when asked for."""

    key: str
    head: str
    first: str = "ascending"
    more: bool = False


_STATE = RunColumn("state", "state")


class RunCell(NamedTuple):
    """order: what the cell is sorted by, "" for one that has nothing and stands last. form: "n" for a number."""

    text: str
    order: str
    form: str = ""
    more: bool = False


class RunRow(NamedTuple):
    """One run. key: its folder within the sweep's. page: its own page as seen from the sweep's, None where it has none.

    number: place in the sweep, counted from 1. state: one of the values of STATES. spark: points of its small
    curve of val top-1, as svg.
    """

    key: str
    name: str
    number: int
    page: str | None
    state: str
    cells: list[RunCell]
    spark: str
    run: TrainingRun


class RunTables(NamedTuple):
    """columns, rows: of the runs. seed_columns, seed_rows: of groups of several seeds; empty where no run has another's
    settings.
    """

    columns: list[RunColumn]
    rows: list[RunRow]
    seed_columns: list[RunColumn]
    seed_rows: list[list[RunCell]]


def run_tables(groups: Sequence[SeedGroup], folder: Path) -> RunTables:
    """The groups as tables. folder: that of the sweep, resolved."""
    settings = varied_settings(groups)
    several = any(len(group.runs) > 1 for group in groups)
    heads = [*_heads(settings), *([RunColumn("seed", "seed")] if several else [])]
    runs = [(group, own, one) for group, own in zip(groups, _cells(settings), strict=True) for one in group.runs]
    top = max((value for _, _, one in runs for value in _top1(one)), default=0)
    last = max((len(one.history) for _, _, one in runs), default=0)
    measures = [
        measure for measure in NUMBERS if measure[1] != SEVERAL or any(SEVERAL in one.values for _, _, one in runs)
    ]
    rows = []
    for number, (group, own, one) in enumerate(runs, 1):
        seed = [_cell(one.seed)] if several else []
        cells = [*own, *seed, *_measured(one, measures), _state(one), *_effort(one)]
        rows.append(_row(number, group, one, cells, folder)._replace(spark=_spark(_top1(one), top, last)))
    columns = [
        *heads,
        *_columns(measures),
        _STATE,
        RunColumn("epochs", "epochs", "descending"),
        RunColumn("time", "time"),
    ]
    return RunTables(columns, rows, *(_over_seeds(groups, settings, measures) if several else ([], [])))


def _row(number: int, group: SeedGroup, one: TrainingRun, cells: list[RunCell], folder: Path) -> RunRow:
    place = one.run.folder
    key = place.relative_to(folder).as_posix() if place.is_relative_to(folder) else place.name
    own = one.run.folder.name if group.name == group.runs[0].run.folder.name else f"{group.name}, seed {one.seed}"
    name = group.name if len(group.runs) == 1 else own
    page = f"../{quote(key)}/report/index.html" if (place / "report" / "index.html").is_file() else None
    return RunRow(key, name, number, page, STATES[one.state.partition(":")[0]], cells, "", one)


def _over_seeds(
    groups: Sequence[SeedGroup], settings: Sequence[Mapping[str, Any]], measures: Measures
) -> tuple[list[RunColumn], list[list[RunCell]]]:
    """The runs that count of each group: mean ± standard deviation, as job=table counts them."""
    heads = [
        RunColumn("run", "run"),
        *_heads(settings),
        RunColumn("seeds", "seeds", "descending"),
        *_columns(measures),
        _STATE,
    ]
    rows = []
    for group, own in zip(groups, _cells(settings), strict=True):
        means = [_mean(group.over_seeds(key), key) for _, key in measures]
        rows.append([_cell(group.name), *own, _cell(len(group.counted)), *means, _cell(group.state)])
    return heads, rows


def _heads(settings: Sequence[Mapping[str, Any]]) -> list[RunColumn]:
    keys = list(settings[0]) if settings else []
    many = len(keys) > FEW
    columns = [RunColumn(key, ".".join(key.removeprefix("model.layers.").split(".")[-2:]), more=many) for key in keys]
    return [*([RunColumn("differs", "what differs")] if many else []), *columns]


def _cells(settings: Sequence[Mapping[str, Any]]) -> list[list[RunCell]]:
    many = bool(settings) and len(settings[0]) > FEW
    words = [[_cell(said)] if many else [] for said in differences_in_words(settings)]
    numeric = {key for own in settings for key, value in own.items() if _cell(value).form}
    return [
        [*said, *(_cell(value)._replace(more=many, form="n" if key in numeric else "") for key, value in own.items())]
        for said, own in zip(words, settings, strict=True)
    ]


def _cell(value: Any) -> RunCell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return RunCell(brief(value), repr(value) if math.isfinite(value) else "", "n")
    return RunCell("none" if value is None else str(value), "" if value is None else str(value))


def _columns(measures: Measures) -> list[RunColumn]:
    return [RunColumn(key, head, "ascending" if key == "val/loss" else "descending") for head, key in measures]


def _measured(one: TrainingRun, measures: Measures) -> list[RunCell]:
    return [_mean(Spread(one.values[key], None) if key in one.values else None, key) for _, key in measures]


def _effort(one: TrainingRun) -> list[RunCell]:
    seconds = run_seconds(one.run)
    return [_cell(one.epochs), RunCell(duration(seconds), repr(seconds), "n") if seconds else RunCell("", "", "n")]


def _mean(found: Spread | None, key: str) -> RunCell:
    """A share in percent, a loss as it is; with ± where there are several seeds."""
    if found is None or not math.isfinite(found.mean):
        return RunCell("–", "", "n")
    mean, deviation = found
    if key == "val/loss":
        text = f"{mean:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")
    else:
        text = percent(mean) if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
    return RunCell(text, repr(mean), "n")


def _state(one: TrainingRun) -> RunCell:
    word, _, rest = one.state.partition(":")
    said = STATES[word] + (f":{rest}" if rest else "")
    return RunCell(said, said, STATES[word].replace(" ", "-"))


def _top1(one: TrainingRun) -> list[float]:
    return [row["val/top1"] for row in one.history if math.isfinite(row.get("val/top1", math.nan))]


def _spark(values: Sequence[float], top: float, last: int) -> str:
    """Points of a curve, all of a sweep's on the same scales; a lone epoch is a short stroke."""
    width, height = SPARK
    step = (width - 4) / max(1, last - 1)
    points = [(2 + step * at, height - 2 - (height - 4) * value / (top or 1)) for at, value in enumerate(values)]
    if len(points) == 1:
        points.append((points[0][0] + 3, points[0][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
