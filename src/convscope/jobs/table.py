"""job=table: the runs of a sweep in one table, seeds as mean ± standard deviation, the paper's numbers beside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from convscope.draw.beside import Dot, errors_by_row
from convscope.problem import Problem
from convscope.record import Number, Picture, Result, Table, write
from convscope.report.markup import comma_separated, latex, markdown
from convscope.score.papers import PaperTable, paper
from convscope.study.beside import (
    SHARES,
    Direction,
    departures,
    directions,
    full_size,
    in_its_order,
    paper_table,
    printed,
    row_of,
    share,
)
from convscope.study.sweep import Group, collect
from convscope.study.variation import in_words, speed, varied


@dataclass(frozen=True)
class Collect:
    """conf/job/table.yaml: which of the paper's tables, which row the others are held against, which epoch counts."""

    paper: str | None = None
    base: str | None = None
    epoch: Literal["last", "best"] = "last"

    def __post_init__(self) -> None:
        if self.epoch not in ("last", "best"):
            raise Problem(f"table.epoch={self.epoch} is unknown; possible: last, best")
        if self.paper is not None:
            paper(self.paper)


def table(folders: Sequence[Path], plan: Collect, into: Path) -> Iterator[Result]:
    """Yields tables of the runs: what they measured, what it took, the paper's numbers beside, which rows are better or
    worse; and a plot.

    The first three are written as one, `into`/table.csv, table.md and table.tex, and every setting in which the rows
    differ as settings.csv. Raises Problem where no run is.
    """
    groups, left_out = collect(folders, plan.epoch)
    known = paper_table(groups, plan.paper)
    groups = in_its_order(groups, known) if known else groups
    ways = directions(groups, known, plan.base)
    tables = [_runs(groups, plan.epoch), _cost(groups), *([_beside(groups, known)] if known else [])]
    for name, text in _files(tables, groups).items():
        write(into / name, text)
    yield tables[0]
    yield from tables[2:]
    yield from [_directions(ways, groups, known)] if ways else []
    yield from _agreement(ways, groups)
    yield _plot(groups, known)
    yield tables[1]
    if left_out:
        rows = [{"folder": folder, "left out because": why} for folder, why in left_out.items()]
        yield Table("sweep/left_out", rows, "Folders that are no row of the table")


def _files(tables: Sequence[Table], groups: Sequence[Group]) -> dict[str, str]:
    rows: list[dict[str, Any]] = [{} for _ in groups]
    for each in tables:
        rows = [row | own for row, own in zip(rows, each.rows, strict=True)]
    caption = " ".join(each.caption.rstrip(".") + "." for each in tables)
    settings = [{"run": group.name, **own} for group, own in zip(groups, varied(groups), strict=True)]
    whole = {"table.csv": comma_separated(rows), "table.md": markdown(rows, caption), "table.tex": latex(rows, caption)}
    return whole | {"settings.csv": comma_separated(settings)}


def _runs(groups: Sequence[Group], epoch: str) -> Table:
    rows = []
    for group in groups:
        row: dict[str, Any] = {"run": group.name, "seeds": len(group.counted)}
        row |= {column: _cell(group, column) for column in SHARES}
        rows.append(row | {"state": group.state})
    finished = sum(one.finished for group in groups for one in group.runs)
    total = sum(len(group.runs) for group in groups)
    chosen = "of the last epoch" if epoch == "last" else "of the epoch that is best in val top-1"
    caption = (
        f"{finished} of {total} runs have finished. Errors, and mean accuracy of the classes, in percent, {chosen}; of "
        "several seeds mean ± standard deviation. train top-1 is measured while training, on crops, with dropout."
    )
    return Table("sweep/runs", rows, caption)


def _cost(groups: Sequence[Group]) -> Table:
    rows = []
    for group, words in zip(groups, in_words(varied(groups)), strict=True):
        sizes = [one.run.summary["net"]["parameters"] for one in group.runs if one.run.summary.get("net")]
        row: dict[str, Any] = {"run": group.name, "what varies": words, "epochs": group.counted[0].epochs}
        row["parameters, M"] = round(sizes[0] / 1e6, 3) if sizes else None
        rows.append(row | {"images/s": speed(group)})
    if not any(row["what varies"] for row in rows):
        rows = [{column: value for column, value in row.items() if column != "what varies"} for row in rows]
    caption = (
        "In what the rows differ, from the values that most of them have (settings.csv has all), and what they took"
    )
    return Table("sweep/cost", rows, caption)


def _cell(group: Group, column: str) -> float | str | None:
    found = share(group, column)
    if found is None:
        return None
    return round(found.value, 1) if found.spread is None else found.text(".1f")


def _beside(groups: Sequence[Group], known: PaperTable) -> Table:
    reasons = [departures(group) for group in groups]
    shown = [column for column in SHARES if column in known.columns]
    rows = []
    for group, reason in zip(groups, reasons, strict=True):
        theirs, size = row_of(group, known), full_size(group.settings)
        row: dict[str, Any] = {"run": group.name}
        if any(row_of(each, known) not in (None, each.name) for each in groups):
            row["paper's row"] = theirs
        for column in shown:
            figure = printed(known, theirs, column)
            row |= {column: _cell(group, column), _in_paper(column): figure.value if figure else None}
        row["M at full size"] = round(size / 1e6, 2) if size else None
        rows.append(row | ({"comparable": "no" if reason else "yes"} if any(reasons) and not all(reasons) else {}))
    told = ", ".join(dict.fromkeys(part for reason in reasons for part in reason))
    words = f"Not comparable{'' if all(reasons) else ' where'}: here {told}." if told else "The same images and sizes."
    size_told = "M at full size: millions of parameters at width 1, 224 pixels, 1000 classes"
    caption = f"Beside the paper's numbers in percent: {known.source}. {words} {size_told}"
    return Table("sweep/beside_paper", rows, caption)


def _in_paper(column: str) -> str:
    """ "paper top-1" for val top-1, "paper train" for train top-1: as short as a column's head must be."""
    split, measure = column.split()
    return f"paper {measure if split == 'val' else split}"


def _directions(ways: Sequence[Direction], groups: Sequence[Group], known: PaperTable | None) -> Table:
    rows = []
    for way in ways:
        row: dict[str, Any] = {"run": way.row, "against": way.base, "here": _words(way.here)}
        if known:
            row |= {"paper": "" if way.paper is None else _words(way.paper)}
            row |= {"same way": "" if way.agrees is None else "yes" if way.agrees else "no"}
        rows.append(row)
    caption = f"Is a row better or worse than the one it changes? Points of val top-1 error. {_caution(groups)}"
    return Table("sweep/directions", rows, caption)


def _words(points: float) -> str:
    text = f"{abs(points):.1f}"
    return "the same" if text == "0.0" else f"{'worse' if points > 0 else 'better'} by {text}"


def _caution(groups: Sequence[Group]) -> str:
    seeds = sorted({len(group.counted) for group in groups})
    if seeds == [1]:
        return "One seed each: a small difference may be chance."
    if seeds[0] == 1:
        return f"Some rows have one seed, others up to {seeds[-1]}: a small difference may be chance."
    return "A difference below the standard deviations over the seeds may be chance."


def _agreement(ways: Sequence[Direction], groups: Sequence[Group]) -> Iterator[Number]:
    told = [way.agrees for way in ways if way.agrees is not None]
    if told:
        words = f"rows that are better or worse than the row they change as in the paper: {sum(told)} of {len(told)}"
        yield Number("sweep/same_way", sum(told) / len(told), f"share of {words}. {_caution(groups)}")


def _plot(groups: Sequence[Group], known: PaperTable | None) -> Picture:
    dots = []
    for group in groups:
        ours = share(group, "val top-1")
        theirs = printed(known, row_of(group, known), "val top-1") if known else None
        value, spread = ours or (None, None)
        dots.append(Dot(group.name, value, spread, theirs.value if theirs else None, group.counted[0].finished))
    caption = "Validation top-1 error by row; a hollow dot: not finished, a bar: standard deviation over seeds"
    if any(dot.paper is not None for dot in dots):
        alike = not any(map(departures, groups))
        caption += ". Beside it the paper's" + ("" if alike else ", of other images: compare the order, not the values")
    return Picture("sweep/val_top1", errors_by_row(dots, "val top-1 error, %"), caption, plot=True)
