"""How much better or worse each row of a sweep is than the row it changes, here and in the paper."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from convscope.analyses.sweep_table.compute.paper_comparison import paper_row, percent, printed_figure
from convscope.errors import UserError
from convscope.metrics.contrasts import difference_over_seeds, proportion_difference
from convscope.metrics.goals import MEAN_AP, TOP1
from convscope.metrics.intervals import in_percent, interval_text, share_interval
from convscope.metrics.papers import PaperTable
from convscope.runs.reading import Run, value_at
from convscope.runs.sweep_runs import SeedGroup, best_first
from convscope.runs.training_runs import goal_of

MIN_POINTS = 0.05  # points of error: a smaller difference is 0.0 in print, and counts as none


class AblationDelta(NamedTuple):
    """A row against the row it changes, `base`. ours, paper: points of val top-1 error above the base.

    paper: None where the paper has no such rows. low, high: the 95 % interval of `ours`, over the seeds where both rows
    have several, else over the validation images; nan where neither is known.
    """

    row: str
    base: str
    ours: float
    paper: float | None
    low: float = math.nan
    high: float = math.nan

    @property
    def measured(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    @property
    def chance(self) -> bool:
        """Whether the difference may be chance alone."""
        return not (self.low > 0 or self.high < 0)

    @property
    def agrees(self) -> bool | None:
        """Whether both are better, or both worse; None where the paper has none, or ours may be chance."""
        return None if self.paper is None or self.chance else _sign(self.ours) == _sign(self.paper)


def ablation_deltas(groups: Sequence[SeedGroup], table: PaperTable | None, base: str | None) -> list[AblationDelta]:
    """Every finished row against the finished row `base`, or without one against the row that the paper's changes.

    Raises UserError where no row is called `base`.
    """
    if base is not None and base not in [group.name for group in groups]:
        raise UserError(f"table.base={base} is no row; possible: {', '.join(group.name for group in groups)}")
    deltas = []
    for group in groups:
        base_group = _base_group(group, groups, table, base)
        if base_group is not None and base_group is not group:
            deltas += _delta(group, base_group, table)
    return deltas


def _base_group(
    group: SeedGroup, groups: Sequence[SeedGroup], table: PaperTable | None, base: str | None
) -> SeedGroup | None:
    """The group called `base`, or without one the group that repeats the row which the paper's table changes."""
    if base:
        return next((candidate for candidate in groups if candidate.name == base), None)
    row = paper_row(group, table) if table else None
    base_row = table.base(row) if table and row else None
    if not table or not base_row:
        return None
    return next((candidate for candidate in groups if paper_row(candidate, table) == base_row), None)


def _delta(group: SeedGroup, base: SeedGroup, table: PaperTable | None) -> list[AblationDelta]:
    """One delta; none where one of the two rows has not finished or has no val top-1."""
    errors = [percent(row, "val top-1") for row in (group, base) if row.counted[0].finished]
    if len(errors) < 2 or errors[0] is None or errors[1] is None:
        return []
    rows = [paper_row(row, table) for row in (group, base)] if table else []
    printed = [printed_figure(table, row, "val top-1") for row in rows if table and row]
    paper = printed[0].value - printed[1].value if len(printed) == 2 and printed[0] and printed[1] else None
    ours = errors[0].value - errors[1].value
    return [AblationDelta(group.name, base.name, ours, paper, *_delta_interval(group, base))]


def _delta_interval(group: SeedGroup, base: SeedGroup) -> tuple[float, float]:
    """The ends of the 95 % interval of the difference of two rows' val top-1 errors, in points."""
    errors = [
        [1 - training.values["val/top1"] for training in row.counted if "val/top1" in training.values]
        for row in (group, base)
    ]
    if min(map(len, errors)) > 1:
        interval = difference_over_seeds(*errors)
        return 100 * interval.low, 100 * interval.high
    images = [validation_images(row.counted[0].run) for row in (group, base)]
    if not all(images):
        return math.nan, math.nan
    counts = [
        (round(count * statistics.fmean(of_row)), count) for of_row, count in zip(errors, images, strict=True)
    ]  # (wrong, all)
    interval = proportion_difference(*counts)
    return 100 * interval.low, 100 * interval.high


def validation_images(run: Run) -> int:
    """How many images the run was validated on; 0 where its folder does not say, as of version 0.1 on photographs."""
    if count := value_at(run.summary, "images", "val"):
        return int(count)
    drawn, limit = (value_at(run.settings, "data", key) for key in ("val", "limit"))
    return min(drawn, limit or drawn) if type(drawn) is int else 0


def in_words(groups: Sequence[SeedGroup], deltas: Sequence[AblationDelta]) -> str:
    """What came out: the best row and the worst, and which rows differ from the one they change beyond chance."""
    finished = [group for group in best_first(groups) if group.counted[0].finished]
    figures = {group.name: text for group in finished if (text := _reached(group))}
    if not figures:
        return f"None of the {len(groups)} rows has finished."
    best, worst = list(figures)[0], list(figures)[-1]
    words = f"The best of {len(figures)} finished rows is {best}, with {figures[best]}"
    words += f"; the worst is {worst}, with {figures[worst]}" if worst != best else ""
    if not deltas:
        return f"{words}."
    sure = [
        f"{delta.row} {'worse' if delta.ours > 0 else 'better'} than {delta.base} by {abs(delta.ours):.1f} points of "
        f"error (difference {interval_text(delta.ours, delta.low, delta.high, 1)})"
        for delta in deltas
        if not delta.chance
    ]
    return f"{words}. {len(sure)} of {len(deltas)} rows differ by more than chance from the one they change" + (
        f": {'; '.join(sure)}." if sure else "."
    )


def _reached(group: SeedGroup) -> str:
    """The number that the group's runs aim at, with its deviation over the seeds or its interval; "" without it."""
    metric, _ = goal_of(group.runs[0].run)
    spread, images = group.over_seeds(metric), validation_images(group.counted[0].run)
    if spread is None or not math.isfinite(spread.mean):
        return ""
    name = {TOP1: "val top-1", MEAN_AP: "mean AP"}.get(metric, metric)
    if spread.deviation is not None:
        return f"{name} {100 * spread.mean:.1f} ± {100 * spread.deviation:.1f} % over {len(group.counted)} seeds"
    if metric == TOP1 and images:
        return f"{name} {in_percent(share_interval(round(images * spread.mean), images))} of {images} images, one seed"
    return f"{name} {100 * spread.mean:.1f} %, one seed"


def _sign(points: float) -> int:
    return 0 if abs(points) < MIN_POINTS else 1 if points > 0 else -1
