"""A sweep's rows beside the paper's: which table they repeat, whether that can be compared, which way each row goes."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from convscope.errors import UserError
from convscope.metrics.contrasts import proportions, seeds
from convscope.metrics.papers import Figure, PaperTable, paper
from convscope.models.build import build
from convscope.runs.reading import Run, value_at
from convscope.runs.sweep_runs import SeedGroup

SHARES = {  # what the papers print: column of metrics.csv, whether it is an error
    "train top-1": ("train/top1", True),
    "val top-1": ("val/top1", True),
    "val top-5": ("val/top5", True),
    "class accuracy": ("val/class_mean", False),
}
EXPERIMENTS = {  # conf/experiment -> key of papers.yaml
    "table2": "zf_table2",
    "table3": "zf_table3",
    "vgg_table3": "vgg_table3",
}
SMALLEST = 0.05  # points of error: less is 0.0 in print, and called the same


class Direction(NamedTuple):
    """A row against the row it changes. here, paper: points of val top-1 error above it; paper None: not printed.

    low, high: the 95 % interval of `here`, over the seeds where both rows have several, else over the validation
    images; nan where neither is known.
    """

    row: str
    base: str
    here: float
    paper: float | None
    low: float = math.nan
    high: float = math.nan

    @property
    def measured(self) -> bool:
        """Whether how far chance goes is known."""
        return not math.isnan(self.low)

    @property
    def chance(self) -> bool:
        """Whether the difference may be chance alone."""
        return not (self.low > 0 or self.high < 0)

    @property
    def agrees(self) -> bool | None:
        """Whether both are better, or both worse; None where the paper has none, or ours may be chance."""
        return None if self.paper is None or self.chance else _sign(self.here) == _sign(self.paper)


def share(group: SeedGroup, column: str) -> Figure | None:
    """Percent of `column` of SHARES: of one run its value, of several mean and standard deviation over the seeds."""
    name, error = SHARES[column]
    found = group.over_seeds(name)
    if found is None:
        return None
    return Figure(100 * (1 - found.mean if error else found.mean), found.deviation and 100 * found.deviation)


def paper_table(groups: Sequence[SeedGroup], key: str | None) -> PaperTable | None:
    """The table of `key`; without one that of the runs' experiment, or Table 3 where two of its nets are among them."""
    if key is not None:
        return paper(key)
    asked = {one.run.choices.get("experiment") for group in groups for one in group.runs}
    for experiment, table in EXPERIMENTS.items():
        if experiment in asked:
            return paper(table)
    third = paper("zf_table3")
    return third if len({row_of(group, third) for group in groups} - {None}) > 1 else None


def of_ensembles(kinds: Sequence[Iterable[str]]) -> PaperTable | None:
    """The first of these tables that has a row of nets of these kinds together."""
    tables = [paper(key) for key in ("zf_table2", "vgg_table6")]
    return next((table for table in tables if any(table.ensemble(each, "") for each in kinds)), None)


def row_of(group: SeedGroup, table: PaperTable) -> str | None:
    """The row that these runs repeat, by the name of their net or their own."""
    names = (value_at(group.settings, "model", "name"), group.name)
    return next((table.runs[name] for name in names if name in table.runs), None)


def in_its_order(groups: Sequence[SeedGroup], table: PaperTable) -> list[SeedGroup]:
    """As the paper's rows stand; groups that are none of them last, in their own order."""
    rows = list(table.rows)
    return sorted(
        groups, key=lambda group: rows.index(row_of(group, table) or "") if row_of(group, table) else len(rows)
    )


def departures(group: SeedGroup) -> list[str]:
    """In what a run departs from ImageNet with its 1000 classes at full size; empty where in nothing."""
    classes = next((len(one.run.summary["classes"]) for one in group.runs if one.run.summary.get("classes")), None)
    return unlike_paper(group.settings, classes)


def unlike_paper(settings: Mapping[str, Any], classes: int | None) -> list[str]:
    """The same of settings of a run and its number of classes, None if unknown."""
    told: list[str] = []
    data, width = settings.get("data") or {}, value_at(settings, "model", "width")
    if data.get("source") != "imagenet":
        told.append(f"data {data.get('source', 'unknown')}")
    told += [f"{classes} classes"] if classes not in (None, 1000) else []
    told += [f"{data['limit']} images"] if data.get("limit") else []
    told += [f"width {width}"] if width not in (None, 1) else []
    told += [f"{data['image_size']} px"] if data.get("image_size") not in (None, 224) else []
    return told


def full_size(settings: Mapping[str, Any]) -> int | None:
    """Parameters of a net of rows at width 1, 224 pixels and 1000 classes; None for another net, or one that is too
    small for 224 pixels."""
    rows = value_at(settings, "model", "layers")
    if not rows:
        return None
    try:
        with torch.device("meta"):  # shapes alone, no memory
            return sum(weight.numel() for weight in build(rows, 224, 1000).parameters())
    except UserError:
        return None


def directions(groups: Sequence[SeedGroup], table: PaperTable | None, base: str | None) -> list[Direction]:
    """Every finished row against the finished row `base`, or without one against the row that the paper's table
    changes. Raises UserError where no row is called `base`."""
    if base is not None and base not in [group.name for group in groups]:
        raise UserError(f"table.base={base} is no row; possible: {', '.join(group.name for group in groups)}")
    found = []
    for group in groups:
        own = row_of(group, table) if table else None
        wanted = table.base(own) if table and own else None
        against = [other for other in groups if base == other.name] if base else _repeating(groups, table, wanted)
        if against and against[0] is not group:
            found += _direction(group, against[0], table)
    return found


def _repeating(groups: Sequence[SeedGroup], table: PaperTable | None, row: str | None) -> list[SeedGroup]:
    return [group for group in groups if table and row and row_of(group, table) == row]


def _direction(group: SeedGroup, base: SeedGroup, table: PaperTable | None) -> list[Direction]:
    ours = [share(each, "val top-1") for each in (group, base) if each.counted[0].finished]
    if len(ours) < 2 or ours[0] is None or ours[1] is None:
        return []
    rows = [row_of(each, table) for each in (group, base)] if table else []
    known = [printed(table, row, "val top-1") for row in rows if table and row]
    theirs = known[0].value - known[1].value if len(known) == 2 and known[0] and known[1] else None
    difference = ours[0].value - ours[1].value
    return [Direction(group.name, base.name, difference, theirs, *_ends(group, base))]


def _ends(group: SeedGroup, base: SeedGroup) -> tuple[float, float]:
    """Of the 95 % interval of the difference of two rows' val top-1 errors, in points."""
    runs = [[one for one in each.counted if "val/top1" in one.values] for each in (group, base)]
    errors = [[1 - one.values["val/top1"] for one in each] for each in runs]
    if min(map(len, errors)) > 1:
        interval = seeds(*errors)
        return 100 * interval.low, 100 * interval.high
    images = [validation_images(each.counted[0].run) for each in (group, base)]
    if not all(images):
        return math.nan, math.nan
    counts = [(round(count * statistics.fmean(each)), count) for each, count in zip(errors, images, strict=True)]
    interval = proportions(*counts)
    return 100 * interval.low, 100 * interval.high


def validation_images(run: Run) -> int:
    """How many images the run was validated on; 0 where its folder does not say, as of version 0.1 on photographs."""
    if count := value_at(run.summary, "images", "val"):
        return int(count)
    drawn, limit = (value_at(run.settings, "data", key) for key in ("val", "limit"))
    return min(drawn, limit or drawn) if type(drawn) is int else 0


def printed(table: PaperTable, row: str | None, column: str) -> Figure | None:
    """What the paper has there; None for what it does not have."""
    return table.figure(row, column) if row in table.rows and column in table.columns and row is not None else None


def _sign(points: float) -> int:
    return 0 if abs(points) < SMALLEST else 1 if points > 0 else -1
