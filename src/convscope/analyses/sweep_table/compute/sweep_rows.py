"""The rows of job=table: training runs, each alone, and what job=evaluate measured of nets alone and together."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convscope.analyses.evaluation.compute import ENSEMBLE
from convscope.analyses.evaluation.compute.ensemble import Evaluation, Member, read_evaluation
from convscope.analyses.sweep_table.compute.paper_comparison import (
    SHARES,
    departures,
    full_size,
    row_of,
    share,
    unlike_paper,
)
from convscope.errors import UserError
from convscope.metrics.papers import Figure, PaperTable
from convscope.runs.reading import Run, read_run
from convscope.runs.sweep_runs import SeedGroup

EVALUATED = "evaluated"  # the state of a row that job=evaluate measured


class SweepRow(NamedTuple):
    """One row. nets: how many together. seeds: over how many the figures are means. figures: percent by column of
    SHARES. ends: of val top-1's 95 % interval, "" where none was measured. row: the paper's. reasons: why it cannot be
    compared with that. size: parameters of one net at full size.
    """

    name: str
    nets: int
    seeds: int
    figures: Mapping[str, Figure]
    ends: str
    state: str
    finished: bool
    row: str | None
    reasons: list[str]
    size: int | None


def readable(runs: Sequence[Run], left_out: dict[str, str]) -> list[Evaluation]:
    """The whole evaluations among these runs of job=evaluate; of the others left_out is told why."""
    found = []
    for run in runs:
        try:
            found.append(read_evaluation(run))
        except UserError as problem:
            left_out[f"{run.folder.parent.name}/{run.folder.name}"] = str(problem)
    return found


def sweep_rows(
    groups: Sequence[SeedGroup], evaluations: Sequence[Evaluation], known: PaperTable | None
) -> list[SweepRow]:
    """All rows, in the order of the paper's; those that repeat none of them last, in their own order."""
    found = [_trained(group, known) for group in groups]
    for one in evaluations:
        new = [line for line in _evaluated(one, known) if line not in found]  # nets of two ensembles are one row
        found += _told_apart(new, {line.name for line in found}, one.run)
    if not known:
        return found
    order = {row: at for at, row in enumerate(known.rows)}
    return sorted(found, key=lambda line: order.get(line.row or "", len(order)))


def _trained(group: SeedGroup, known: PaperTable | None) -> SweepRow:
    shares = {column: share(group, column) for column in SHARES}
    return SweepRow(
        name=group.name,
        nets=1,
        seeds=len(group.counted),
        figures={column: figure for column, figure in shares.items() if figure},
        ends="",
        state=group.state,
        finished=group.counted[0].finished,
        row=row_of(group, known) if known else None,
        reasons=departures(group),
        size=full_size(group.settings),
    )


def _evaluated(one: Evaluation, known: PaperTable | None) -> list[SweepRow]:
    """A line for each net, of several of a kind mean and deviation; and one for all of them together."""
    found = [_line(one, [member for member in one.members if member.net == net], known) for net in one.kinds]
    if len(one.members) < 2:
        return found
    together = found[0]._replace(
        name=" + ".join(f"{count} x {net}" for net, count in one.kinds.items()) + f", {way(one)}",
        nets=len(one.members),
        seeds=1,
        figures={column: Figure(value) for column, value in one.errors[ENSEMBLE].items()},
        ends=one.ends[ENSEMBLE],
        row=known.ensemble(one.kinds, one.crops) if known else None,
    )
    return [*found, together]


def _line(one: Evaluation, members: Sequence[Member], known: PaperTable | None) -> SweepRow:
    net, settings = members[0].net, _settings(one, members[0])
    spread = {column: [one.errors[member.name][column] for member in members] for column in one.errors[members[0].name]}
    return SweepRow(
        name=f"{net}, {way(one)}",
        nets=1,
        seeds=len(members),
        figures={
            column: Figure(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None)
            for column, found in spread.items()
        },
        ends=one.ends[members[0].name] if len(members) == 1 else "",
        state=EVALUATED,
        finished=True,
        row=known.runs.get(net) if known else None,
        reasons=unlike_paper(settings, len(one.run.summary.get("classes") or [])),
        size=full_size(settings),
    )


def way(one: Evaluation) -> str:
    """ "ten crops", "dense, 3 sizes"."""
    crops = {"center": "center", "dense": "dense", "both": "fifty crops and dense"}.get(one.crops, f"{one.crops} crops")
    return crops + (f", {len(one.scales)} sizes" if len(one.scales) > 1 else "")


def _settings(one: Evaluation, member: Member) -> dict[str, Any]:
    """Those that the net was trained with, as far as its run is still there, but the images it was evaluated on."""
    trained = read_run(Path(member.run)).settings if member.run else {}
    data = {**(trained.get("data") or {}), "source": one.run.summary.get("data"), "image_size": one.image_size}
    return {**trained, "data": data | ({"limit": one.images} if one.images else {})}


def _told_apart(found: list[SweepRow], taken: set[str], run: Run) -> list[SweepRow]:
    """With the evaluation's folder where another row is called the same."""
    return [line._replace(name=f"{line.name} ({run.folder.name})") if line.name in taken else line for line in found]
