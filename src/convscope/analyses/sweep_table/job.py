"""job=table: the runs of a sweep in one table, seeds as mean ± standard deviation, the paper's numbers beside."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from convscope.analyses.evaluation.compute.ensemble import Evaluation
from convscope.analyses.inputs import Inputs
from convscope.analyses.sweep_table.about import SweepTableConfig
from convscope.analyses.sweep_table.compute.ablation_deltas import direction_results
from convscope.analyses.sweep_table.compute.paper_comparison import (
    SHARES,
    directions,
    in_its_order,
    of_ensembles,
    paper_table,
    printed,
)
from convscope.analyses.sweep_table.compute.sweep_rows import EVALUATED, SweepRow, readable, sweep_rows, way
from convscope.errors import UserError
from convscope.metrics.papers import PaperTable, paper
from convscope.plots.errors_by_row import Dot, errors_by_row
from convscope.runs.atomic_io import write
from convscope.runs.config_diff import differences_in_words
from convscope.runs.number_format import csv_table, latex, markdown
from convscope.runs.record import Picture, Result, Table
from convscope.runs.sweep_runs import SeedGroup, images_per_second, read_sweep_runs, varied_settings


def results(inputs: Inputs, config: SweepTableConfig) -> Iterator[Result]:
    """Reads the runs of the folders sweep=... and yields the tables of job=table."""
    if config.paper is not None:
        paper(config.paper)  # raises UserError for a table that there is not
    if not config.folders:
        raise UserError("job=table collects runs; type sweep=<a sweep's folder>, such as one of outputs/sweep/")
    folders = [Path(folder).expanduser() for folder in config.folders]
    inputs.facts["sweep"] = [str(folder) for folder in folders]
    return table(folders, config, inputs.folder)


def table(folders: Sequence[Path], plan: SweepTableConfig, into: Path) -> Iterator[Result]:
    """Yields tables of the runs: what they measured, what it took, the paper's numbers beside, which rows are better or
    worse; and a plot.

    The first three are written as one, `into`/table.csv, table.md and table.tex, and every setting in which the rows
    differ as settings.csv. Raises UserError where no run is.
    """
    groups, left_out, evaluated = read_sweep_runs(folders, plan.epoch)
    found = readable(evaluated, left_out)
    known = paper_table(groups, plan.paper) or of_ensembles([one.kinds for one in found])
    groups = in_its_order(groups, known) if known else groups
    ways, rows = directions(groups, known, plan.base), sweep_rows(groups, found, known)
    tables = [_runs(rows, groups, plan.epoch), _cost(groups), *([_beside(rows, known)] if known else [])]
    for name, text in _files(tables, groups).items():
        write(into / name, text)
    yield tables[0]
    yield from tables[2:]
    yield from direction_results(ways, groups, known)
    yield _plot(rows, known)
    yield tables[1]
    if found:
        yield _members(found)
    if left_out:
        absent = [{"folder": folder, "left out because": why} for folder, why in left_out.items()]
        yield Table("sweep/left_out", absent, "Folders that are no row of the table")


def _files(tables: Sequence[Table], groups: Sequence[SeedGroup]) -> dict[str, str]:
    """Rows of one name are one row; a column that one does not have is empty there."""
    merged: dict[str, dict[str, Any]] = {row["run"]: {} for row in tables[0].rows}
    columns = dict.fromkeys(column for each in tables for column in each.rows[0])
    for row in (row for each in tables for row in each.rows):
        merged[row["run"]] |= row
    rows = [{column: row.get(column) for column in columns} for row in merged.values()]
    caption = " ".join(each.caption.rstrip(".") + "." for each in tables)
    settings = [{"run": group.name, **own} for group, own in zip(groups, varied_settings(groups), strict=True)]
    whole = {"table.csv": csv_table(rows), "table.md": markdown(rows, caption), "table.tex": latex(rows, caption)}
    return whole | {"settings.csv": csv_table(settings)}


def _runs(rows: Sequence[SweepRow], groups: Sequence[SeedGroup], epoch: str) -> Table:
    several = any(line.state == EVALUATED for line in rows)
    shown = []
    for line in rows:
        row: dict[str, Any] = {"run": line.name}
        row |= {"nets": line.nets} if several else {}
        row |= {"seeds": line.seeds, **{_head(column): _cell(line, column) for column in SHARES}}
        row |= {"val top-1 error 95 %": line.ends} if several else {}
        shown.append(row | {"state": line.state})
    finished = sum(one.finished for group in groups for one in group.runs)
    total = sum(len(group.runs) for group in groups)
    best = "of the epoch that is best in val top-1 (optim.loss=multilabel: in mean AP)"
    chosen = "of the last epoch" if epoch == "last" else best
    caption = (
        f"{finished} of {total} runs have finished. Errors, and mean accuracy of the classes, in percent, {chosen}; of "
        "several seeds mean ± standard deviation. train top-1 is measured while training, on crops, with dropout."
    )
    caption += (
        " By the center crop, where a row names no other way; several nets are one by the mean of their softmax."
        if several
        else ""
    )
    return Table("sweep/runs", shown, caption)


def _members(found: Sequence[Evaluation]) -> Table:
    rows = [
        {"evaluation": one.run.folder.name, "crops": way(one), "sizes, px": " ".join(map(str, one.scales)),
         "net": member.net, "seed": member.seed, "run": member.run or member.ckpt}
        for one in found for member in one.members
    ]  # fmt: skip
    return Table("sweep/members", rows, "The nets that job=evaluate took, and the runs that trained them")


def _cost(groups: Sequence[SeedGroup]) -> Table:
    rows = []
    for group, words in zip(groups, differences_in_words(varied_settings(groups)), strict=True):
        sizes = [one.run.summary["net"]["parameters"] for one in group.runs if one.run.summary.get("net")]
        row: dict[str, Any] = {"run": group.name, "what varies": words, "epochs": group.counted[0].epochs}
        row["parameters, M"] = round(sizes[0] / 1e6, 3) if sizes else None
        rows.append(row | {"images/s": images_per_second(group)})
    if not any(row["what varies"] for row in rows):
        rows = [{column: value for column, value in row.items() if column != "what varies"} for row in rows]
    caption = (
        "In what the rows differ, from the values that most of them have (settings.csv has all), and what they took"
    )
    return Table("sweep/cost", rows, caption)


def _cell(line: SweepRow, column: str) -> float | str | None:
    found = line.figures.get(column)
    if found is None:
        return None
    return round(found.value, 1) if found.spread is None else found.text(".1f")


def _beside(rows: Sequence[SweepRow], known: PaperTable) -> Table:
    reasons = [line.reasons for line in rows]
    columns = [column for column in SHARES if column in known.columns]
    shown = []
    for line in rows:
        row: dict[str, Any] = {"run": line.name}
        if any(each.row not in (None, each.name) for each in rows):
            row["paper's row"] = line.row
        for column in columns:
            figure = printed(known, line.row, column)
            row |= {_head(column): _cell(line, column), _in_paper(column): figure.value if figure else None}
        row["M at full size"] = round(line.size / 1e6, 2) if line.size else None
        shown.append(
            row | ({"comparable": "no" if line.reasons else "yes"} if any(reasons) and not all(reasons) else {})
        )
    told = ", ".join(dict.fromkeys(part for reason in reasons for part in reason))
    words = f"Not comparable{'' if all(reasons) else ' where'}: here {told}." if told else "The same images and sizes."
    size_told = "M at full size: millions of parameters of one net at width 1, 224 pixels, 1000 classes"
    caption = f"Beside the paper's numbers in percent: {known.source}. {words} {size_told}"
    return Table("sweep/beside_paper", shown, caption)


def _head(column: str) -> str:
    """Errors say that they are, as the rest of the program tells accuracies."""
    return f"{column} error" if SHARES[column][1] else column


def _in_paper(column: str) -> str:
    """ "paper top-1" for val top-1, "paper train" for train top-1: as short as a column's head must be."""
    split, measure = column.split()
    return f"paper {measure if split == 'val' else split}"


def _plot(rows: Sequence[SweepRow], known: PaperTable | None) -> Picture:
    dots = []
    for line in rows:
        ours, theirs = line.figures.get("val top-1"), printed(known, line.row, "val top-1") if known else None
        value, spread = ours or (None, None)
        dots.append(Dot(line.name, value, spread, theirs.value if theirs else None, line.finished))
    caption = "Validation top-1 error by row; a hollow dot: not finished, a bar: standard deviation over seeds"
    if any(dot.paper is not None for dot in dots):
        alike = not any(line.reasons for line in rows)
        caption += ". Beside it the paper's" + ("" if alike else ", of other images: compare the order, not the values")
    return Picture("sweep/val_top1", errors_by_row(dots, "val top-1 error, %"), caption, plot=True)
