"""job=table: the runs of a sweep in one table, seeds as mean ± standard deviation, the paper's numbers beside."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from convscope.analyses.evaluation.compute.ensemble import Evaluation
from convscope.analyses.inputs import Inputs
from convscope.analyses.sweep_table.about import SweepTableConfig
from convscope.analyses.sweep_table.compute.ablation_deltas import AblationDelta, ablation_deltas, in_words
from convscope.analyses.sweep_table.compute.paper_comparison import (
    MEASURES,
    ensemble_table,
    in_paper_order,
    paper_table,
    printed_figure,
)
from convscope.analyses.sweep_table.compute.sweep_rows import (
    EVALUATED,
    SweepRow,
    crops_in_words,
    read_evaluations,
    sweep_rows,
)
from convscope.errors import UserError
from convscope.metrics.papers import PaperTable, published_table
from convscope.plots.errors_by_row import RowError, errors_by_row
from convscope.runs.atomic_io import write
from convscope.runs.config_diff import differences_in_words
from convscope.runs.number_format import csv_table, latex, markdown
from convscope.runs.record import Conclusion, Number, Picture, Result, Table
from convscope.runs.sweep_runs import SeedGroup, best_first, images_per_second, read_sweep_runs, varied_settings
from convscope.runs.training_runs import goal_of


def results(inputs: Inputs, config: SweepTableConfig) -> Iterator[Result]:
    """Reads the runs of the folders sweep=... and yields the tables of job=table."""
    if config.paper is not None:
        published_table(config.paper)  # raises UserError for an unknown table
    if not config.folders:
        raise UserError("job=table collects runs; type sweep=<a sweep's folder>, such as one of outputs/sweep/")
    folders = [Path(folder).expanduser() for folder in config.folders]
    inputs.facts["sweep"] = [str(folder) for folder in folders]
    return table(folders, config, inputs.folder)


def table(folders: Sequence[Path], plan: SweepTableConfig, into: Path) -> Iterator[Result]:
    """Yields tables of the runs: what they measured and took, the paper's numbers beside, the better rows; a plot.

    The first three are written as one, `into`/table.csv, table.md and table.tex, and every setting in which the rows
    differ as settings.csv. Raises UserError where no folder holds a run.
    """
    groups, left_out, evaluation_runs = read_sweep_runs(folders, plan.epoch)
    evaluations = read_evaluations(evaluation_runs, left_out)
    reference = paper_table(groups, plan.paper) or ensemble_table([evaluation.net_counts for evaluation in evaluations])
    groups = in_paper_order(groups, reference) if reference else groups
    deltas, rows = ablation_deltas(groups, reference, plan.base), sweep_rows(groups, evaluations, reference)
    if plan.order == "best":
        groups = best_first(groups)
        order = {group.name: place for place, group in enumerate(groups)}
        rows.sort(key=lambda row: order.get(row.name, len(order)))
    tables = [_runs(rows, groups, plan.epoch), _cost(groups), *([_paper_columns(rows, reference)] if reference else [])]
    for name, text in _files(tables, groups).items():
        write(into / name, text)
    yield Conclusion("sweep", in_words(groups, deltas))
    yield tables[0]
    yield from _best(groups) if plan.order == "best" else ()
    yield from tables[2:]
    yield from delta_results(deltas, groups, reference)
    yield _plot(rows, reference)
    yield tables[1]
    if evaluations:
        yield _members(evaluations)
    if left_out:
        absent = [{"folder": folder, "left out because": why} for folder, why in left_out.items()]
        yield Table("sweep/left_out", absent, "Folders that are no row of the table")


def _files(tables: Sequence[Table], groups: Sequence[SeedGroup]) -> dict[str, str]:
    """Texts of the files by name. Rows of one name become one row; a column that a row does not have is empty."""
    merged: dict[str, dict[str, Any]] = {row["run"]: {} for row in tables[0].rows}
    columns = dict.fromkeys(column for part in tables for column in part.rows[0])
    for row in (row for part in tables for row in part.rows):
        merged[row["run"]] |= row
    rows = [{column: row.get(column) for column in columns} for row in merged.values()]
    caption = " ".join(part.caption.rstrip(".") + "." for part in tables)
    settings = [{"run": group.name, **values} for group, values in zip(groups, varied_settings(groups), strict=True)]
    texts = {"table.csv": csv_table(rows), "table.md": markdown(rows, caption), "table.tex": latex(rows, caption)}
    return texts | {"settings.csv": csv_table(settings)}


def _runs(rows: Sequence[SweepRow], groups: Sequence[SeedGroup], epoch: str) -> Table:
    with_evaluations = any(row.state == EVALUATED for row in rows)
    table_rows = []
    for row in rows:
        cells: dict[str, Any] = {"run": row.name}
        cells |= {"nets": row.nets} if with_evaluations else {}
        cells |= {"seeds": row.seeds, **{_column_name(column): _cell(row, column) for column in MEASURES}}
        cells |= {"val top-1 error 95 %": row.interval} if with_evaluations else {}
        table_rows.append(cells | {"state": row.state})
    finished = [training.finished for group in groups for training in group.runs]
    best = "of the epoch that is best in val top-1 (optim.loss=multilabel: in mean AP)"
    caption = (
        f"{sum(finished)} of {len(finished)} runs have finished. Errors, and mean accuracy of the classes, in percent, "
        f"{'of the last epoch' if epoch == 'last' else best}; of several seeds mean ± standard deviation. train top-1 "
        "is measured while training, on crops, with dropout."
    )
    if with_evaluations:
        caption += (
            " By the center crop, where a row names no other way; several nets are one by the mean of their softmax."
        )
    return Table("sweep/runs", table_rows, caption)


def _best(groups: Sequence[SeedGroup]) -> Iterator[Number]:
    """Yields the number of the first group, with its settings. Nothing where it has no number or has not finished."""
    metric, _ = goal_of(groups[0].runs[0].run)
    mean = groups[0].over_seeds(metric)
    if mean is not None and groups[0].counted[0].finished:
        (words,) = differences_in_words(varied_settings(groups)[:1])
        caption = f"the best {metric} of {len(groups)} rows: {groups[0].name}{f', with {words}' if words else ''}"
        yield Number("sweep/best", mean.mean, caption)


def _members(evaluations: Sequence[Evaluation]) -> Table:
    rows = [
        {"evaluation": evaluation.run.folder.name, "crops": crops_in_words(evaluation),
         "sizes, px": " ".join(map(str, evaluation.scales)), "net": member.net, "seed": member.seed,
         "run": member.run or member.ckpt}
        for evaluation in evaluations for member in evaluation.members
    ]  # fmt: skip
    return Table("sweep/members", rows, "The nets that job=evaluate took, and the runs that trained them")


def _cost(groups: Sequence[SeedGroup]) -> Table:
    rows = []
    for group, words in zip(groups, differences_in_words(varied_settings(groups)), strict=True):
        summaries = [training.run.summary for training in group.runs]
        sizes = [summary["net"]["parameters"] for summary in summaries if summary.get("net")]
        row: dict[str, Any] = {"run": group.name, "what varies": words, "epochs": group.counted[0].epochs}
        row["parameters, M"] = round(sizes[0] / 1e6, 3) if sizes else None
        rows.append(row | {"images/s": images_per_second(group)})
    if not any(row["what varies"] for row in rows):
        rows = [{column: value for column, value in row.items() if column != "what varies"} for row in rows]
    caption = (
        "In what the rows differ, from the values that most of them have (settings.csv has all), and what they took"
    )
    return Table("sweep/cost", rows, caption)


def _cell(row: SweepRow, column: str) -> float | str | None:
    figure = row.figures.get(column)
    if figure is None:
        return None
    return round(figure.value, 1) if figure.spread is None else figure.text(".1f")


def _paper_columns(rows: Sequence[SweepRow], reference: PaperTable) -> Table:
    reasons = [row.reasons for row in rows]
    with_paper_row = any(row.row not in (None, row.name) for row in rows)
    table_rows = []
    for row in rows:
        cells: dict[str, Any] = {"run": row.name} | ({"paper's row": row.row} if with_paper_row else {})
        for column in (column for column in MEASURES if column in reference.columns):
            figure = printed_figure(reference, row.row, column)
            cells |= {_column_name(column): _cell(row, column), _paper_column(column): figure.value if figure else None}
        cells["M at full size"] = round(row.size / 1e6, 2) if row.size else None
        if any(reasons) and not all(reasons):
            cells["comparable"] = "no" if row.reasons else "yes"
        table_rows.append(cells)
    departures = ", ".join(dict.fromkeys(reason for of_row in reasons for reason in of_row))
    where = "" if all(reasons) else " where"
    words = f"Not comparable{where}: here {departures}." if departures else "The same images and sizes."
    size_words = "M at full size: millions of parameters of one net at width 1, 224 pixels, 1000 classes"
    caption = f"Beside the paper's numbers in percent: {reference.source}. {words} {size_words}"
    return Table("sweep/beside_paper", table_rows, caption)


def _column_name(column: str) -> str:
    """The column, with "error" where it is one: elsewhere the program shows accuracies."""
    return f"{column} error" if MEASURES[column][1] else column


def _paper_column(column: str) -> str:
    """ "paper top-1" for val top-1, "paper train" for train top-1: column names must be short."""
    split, measure = column.split()
    return f"paper {measure if split == 'val' else split}"


def _plot(rows: Sequence[SweepRow], reference: PaperTable | None) -> Picture:
    dots = []
    for row in rows:
        printed = printed_figure(reference, row.row, "val top-1") if reference else None
        value, spread = row.figures.get("val top-1") or (None, None)
        dots.append(RowError(row.name, value, spread, printed.value if printed else None, row.finished))
    caption = "Validation top-1 error by row; a hollow dot: not finished, a bar: standard deviation over seeds"
    if any(dot.paper_error is not None for dot in dots):
        alike = not any(row.reasons for row in rows)
        caption += ". Beside it the paper's" + ("" if alike else ", of other images: compare the order, not the values")
    return Picture("sweep/val_top1", errors_by_row(dots, "val top-1 error, %"), caption, plot=True)


def delta_results(
    deltas: Sequence[AblationDelta], groups: Sequence[SeedGroup], reference: PaperTable | None
) -> Iterator[Table | Number]:
    """Yields a table where a row has a base, and a number where the paper has both rows of a delta."""
    if deltas:
        yield _delta_table(deltas, groups, reference)
    printed = [delta for delta in deltas if delta.paper is not None]
    agreements = [delta.agrees for delta in printed if delta.agrees is not None]
    if agreements:
        count, same = len(agreements), sum(agreements)
        words = f"rows that are better or worse than the row they change as in the paper: {same} of {count}"
        rest = f"; of {len(printed) - count} more chance may be all" if count < len(printed) else ""
        yield Number("sweep/same_way", same / count, f"share of {words}{rest}. {_interval_caution(groups)}")


def _delta_table(deltas: Sequence[AblationDelta], groups: Sequence[SeedGroup], reference: PaperTable | None) -> Table:
    rows = []
    for delta in deltas:
        interval = f"{delta.low:.1f} to {delta.high:.1f}" if delta.measured else ""
        row: dict[str, Any] = {"run": delta.row, "against": delta.base, "here": _better_or_worse(delta.ours)}
        row["95 %"] = interval
        if reference:
            row["paper"] = "" if delta.paper is None else _better_or_worse(delta.paper)
            row["same way"] = "" if delta.paper is None else _agreement(delta)
        rows.append(row)
    question = "Is a row better or worse than the one it changes? Points of val top-1 error."
    return Table("sweep/directions", rows, f"{question} {_interval_caution(groups)}")


def _agreement(delta: AblationDelta) -> str:
    if delta.agrees is not None:
        return "yes" if delta.agrees else "no"
    return "within chance" if delta.measured else "not known"


def _better_or_worse(points: float) -> str:
    text = f"{abs(points):.1f}"
    return "the same" if text == "0.0" else f"{'worse' if points > 0 else 'better'} by {text}"


def _interval_caution(groups: Sequence[SeedGroup]) -> str:
    seeds = sorted({len(group.counted) for group in groups})
    interval = "The interval: zero inside, and the difference may be chance"
    if seeds == [1]:
        return f"{interval}; one seed each, so of the validation images alone, and another seed may differ by more."
    if seeds[0] == 1:
        return f"{interval}; of one seed it is of the validation images alone, and another seed may differ by more."
    return f"{interval}; over the seeds."
