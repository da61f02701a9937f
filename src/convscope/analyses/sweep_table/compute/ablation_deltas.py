"""Which rows of a sweep are better or worse than the row they change, told as a table and as one number."""

from collections.abc import Iterator, Sequence
from typing import Any

from convscope.analyses.sweep_table.compute.paper_comparison import Direction
from convscope.metrics.papers import PaperTable
from convscope.runs.record import Number, Table
from convscope.runs.sweep_runs import SeedGroup


def direction_results(
    ways: Sequence[Direction], groups: Sequence[SeedGroup], known: PaperTable | None
) -> Iterator[Table | Number]:
    """Nothing where no row has one to be held against; a number where the paper has both."""
    if ways:
        yield _table(ways, groups, known)
    yield from _agreement(ways, groups)


def _table(ways: Sequence[Direction], groups: Sequence[SeedGroup], known: PaperTable | None) -> Table:
    rows = []
    for way in ways:
        ends = f"{way.low:.1f} to {way.high:.1f}" if way.measured else ""
        row: dict[str, Any] = {"run": way.row, "against": way.base, "here": _words(way.here), "95 %": ends}
        if known:
            row |= {"paper": "" if way.paper is None else _words(way.paper)}
            row |= {"same way": "" if way.paper is None else _same_way(way)}
        rows.append(row)
    caption = f"Is a row better or worse than the one it changes? Points of val top-1 error. {_caution(groups)}"
    return Table("sweep/directions", rows, caption)


def _same_way(way: Direction) -> str:
    if way.agrees is not None:
        return "yes" if way.agrees else "no"
    return "within chance" if way.measured else "not known"


def _words(points: float) -> str:
    text = f"{abs(points):.1f}"
    return "the same" if text == "0.0" else f"{'worse' if points > 0 else 'better'} by {text}"


def _caution(groups: Sequence[SeedGroup]) -> str:
    seeds = sorted({len(group.counted) for group in groups})
    interval = "The interval: zero inside, and the difference may be chance"
    if seeds == [1]:
        return f"{interval}; one seed each, so of the validation images alone, and another seed may differ by more."
    if seeds[0] == 1:
        return f"{interval}; of one seed it is of the validation images alone, and another seed may differ by more."
    return f"{interval}; over the seeds."


def _agreement(ways: Sequence[Direction], groups: Sequence[SeedGroup]) -> Iterator[Number]:
    printed = [way for way in ways if way.paper is not None]
    told = [way.agrees for way in printed if way.agrees is not None]
    if told:
        words = f"rows that are better or worse than the row they change as in the paper: {sum(told)} of {len(told)}"
        rest = f"; of {len(printed) - len(told)} more chance may be all" if len(told) < len(printed) else ""
        yield Number("sweep/same_way", sum(told) / len(told), f"share of {words}{rest}. {_caution(groups)}")
