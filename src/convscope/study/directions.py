"""Which rows of a sweep are better or worse than the row they change, told as a table and as one number."""

from collections.abc import Iterator, Sequence
from typing import Any

from convscope.record import Number, Table
from convscope.report.collected import Group
from convscope.score.papers import PaperTable
from convscope.study.beside import Direction


def direction_results(
    ways: Sequence[Direction], groups: Sequence[Group], known: PaperTable | None
) -> Iterator[Table | Number]:
    """Nothing where no row has one to be held against; a number where the paper has both."""
    if ways:
        yield _table(ways, groups, known)
    yield from _agreement(ways, groups)


def _table(ways: Sequence[Direction], groups: Sequence[Group], known: PaperTable | None) -> Table:
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
