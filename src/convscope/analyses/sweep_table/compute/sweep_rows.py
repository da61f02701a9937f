"""The rows of job=table: training runs, each alone, and what job=evaluate measured of nets alone and together."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.analyses.evaluation.compute import ENSEMBLE
from convscope.analyses.evaluation.compute.ensemble import Evaluation, Member, read_evaluation
from convscope.analyses.sweep_table.compute.paper_comparison import (
    MEASURES,
    departures,
    full_size_parameters,
    paper_row,
    percent,
    settings_departures,
)
from convscope.errors import UserError
from convscope.metrics.papers import PaperTable, PrintedNumber
from convscope.runs.reading import Run, read_run
from convscope.runs.sweep_runs import SeedGroup

EVALUATED = "evaluated"  # the state of a row that job=evaluate measured


class SweepRow(NamedTuple):
    """One row. nets: how many together. seeds: over how many the figures are means.

    figures: percent by column of MEASURES. interval: the ends of val top-1's 95 % interval, "" where none was measured.
    row: the paper's, None where the paper has none. reasons: why it cannot be compared with the paper's. size:
    parameters of one net at full size.
    """

    name: str
    nets: int
    seeds: int
    figures: Mapping[str, PrintedNumber]
    interval: str
    state: str
    finished: bool
    row: str | None
    reasons: list[str]
    size: int | None


def read_evaluations(runs: Sequence[Run], left_out: dict[str, str]) -> list[Evaluation]:
    """The whole evaluations among these runs of job=evaluate. Adds the folder of any other to left_out, with why."""
    evaluations = []
    for run in runs:
        try:
            evaluations.append(read_evaluation(run))
        except UserError as problem:
            left_out[f"{run.folder.parent.name}/{run.folder.name}"] = str(problem)
    return evaluations


def sweep_rows(
    groups: Sequence[SeedGroup], evaluations: Sequence[Evaluation], table: PaperTable | None
) -> list[SweepRow]:
    """All rows, in the order of the paper's; rows that repeat none of them last, in the order of their folders."""
    rows = [_training_row(group, table) for group in groups]
    for evaluation in evaluations:
        new = [row for row in _evaluation_rows(evaluation, table) if row not in rows]  # nets of two ensembles: one row
        rows += _with_folder_names(new, {row.name for row in rows}, evaluation.run)
    if not table:
        return rows
    order = {name: place for place, name in enumerate(table.rows)}
    return sorted(rows, key=lambda row: order.get(row.row or "", len(order)))


def _training_row(group: SeedGroup, table: PaperTable | None) -> SweepRow:
    figures = {column: percent(group, column) for column in MEASURES}
    return SweepRow(
        name=group.name,
        nets=1,
        seeds=len(group.counted),
        figures={column: figure for column, figure in figures.items() if figure},
        interval="",
        state=group.state,
        finished=group.counted[0].finished,
        row=paper_row(group, table) if table else None,
        reasons=departures(group),
        size=full_size_parameters(group.settings),
    )


def _evaluation_rows(evaluation: Evaluation, table: PaperTable | None) -> list[SweepRow]:
    """A row for each net, with mean and deviation over its seeds; and one for all members together."""
    counts = evaluation.net_counts
    rows = [
        _net_row(evaluation, [member for member in evaluation.members if member.net == net], table) for net in counts
    ]
    if len(evaluation.members) < 2:
        return rows
    together = rows[0]._replace(
        name=" + ".join(f"{count} x {net}" for net, count in counts.items()) + f", {crops_in_words(evaluation)}",
        nets=len(evaluation.members),
        seeds=1,
        figures={column: PrintedNumber(error) for column, error in evaluation.errors[ENSEMBLE].items()},
        interval=evaluation.intervals[ENSEMBLE],
        row=table.ensemble(counts, evaluation.crops) if table else None,
    )
    return [*rows, together]


def _net_row(evaluation: Evaluation, members: Sequence[Member], table: PaperTable | None) -> SweepRow:
    first, errors = members[0], evaluation.errors
    settings = _settings(evaluation, first)
    return SweepRow(
        name=f"{first.net}, {crops_in_words(evaluation)}",
        nets=1,
        seeds=len(members),
        figures={column: _figure([errors[member.name][column] for member in members]) for column in errors[first.name]},
        interval=evaluation.intervals[first.name] if len(members) == 1 else "",
        state=EVALUATED,
        finished=True,
        row=table.runs.get(first.net) if table else None,
        reasons=settings_departures(settings, len(evaluation.run.summary.get("classes") or [])),
        size=full_size_parameters(settings),
    )


def _figure(values: Sequence[float]) -> PrintedNumber:
    """Mean and standard deviation; no deviation of one value."""
    return PrintedNumber(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def crops_in_words(evaluation: Evaluation) -> str:
    """The method in words, e.g. "ten crops" or "dense, 3 sizes"."""
    names = {"center": "center", "dense": "dense", "both": "fifty crops and dense"}
    crops = names.get(evaluation.crops, f"{evaluation.crops} crops")
    return crops + (f", {len(evaluation.scales)} sizes" if len(evaluation.scales) > 1 else "")


def _settings(evaluation: Evaluation, member: Member) -> dict[str, Any]:
    """The settings that the net was trained with, if its run still exists, but the data it was evaluated on."""
    trained = read_run(Path(member.run)).settings if member.run else {}
    evaluated = {"source": evaluation.run.summary.get("data"), "image_size": evaluation.image_size}
    evaluated |= {"limit": evaluation.images} if evaluation.images else {}
    return {**trained, "data": {**(trained.get("data") or {}), **evaluated}}


def _with_folder_names(rows: list[SweepRow], used_names: set[str], run: Run) -> list[SweepRow]:
    """The rows; one whose name is used already gets the name of the evaluation's folder after its own."""
    return [row._replace(name=f"{row.name} ({run.folder.name})") if row.name in used_names else row for row in rows]
