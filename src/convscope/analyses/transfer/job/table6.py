"""Average precision by class of images that show several, beside the paper's Table 6 (PASCAL VOC 2012)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from convscope.metrics.intervals import Interval
from convscope.metrics.multilabel import ClassRanking, average_precisions, mean_precision_interval
from convscope.metrics.papers import published_table
from convscope.plots.errors_by_row import RowError, errors_by_row
from convscope.runs.record import Number, Picture, Result, Table

PAPER = "zf_table6"
THEIRS = "Zeiler & Fergus"
NAMES = {  # the set's names -> the paper's
    "aeroplane": "airplane", "diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv",
}  # fmt: skip
WHY = (
    "not comparable: the paper trained on train and val together and was tested by the official server, whose labels "
    "are not public, with another net, which had learned 1.3 million images of ImageNet"
)
MEAN = "mean"


class Rated(NamedTuple):
    """How a net, or a classifier on its features, ranks N images of a split; one ranking for each class."""

    name: str
    ranked: list[ClassRanking]
    images: int

    @property
    def mean(self) -> Interval:
        """Mean average precision in 0..1, with its bootstrap over the images."""
        return mean_precision_interval(self.ranked, self.images)


def table6(rated: Sequence[Rated], classes: Sequence[str], name: str, split: str) -> Iterator[Result]:
    """A row for each class and their mean; the first of `rated` as a picture; every class's number for each of them.

    name: of the results, e.g. "transfer".
    """
    found = {one.name: _intervals(one) for one in rated}
    rows = [*classes, MEAN]
    shown = [len(one.positives) for one in rated[0].ranked]
    images: list[int] = [*shown, rated[0].images]
    known = [_printed(row) for row in rows]
    yield Table(f"{name}/table6", [
        {"class": row, f"{split} images": count, **_cells(found, place), **theirs}
        for place, (row, count, theirs) in enumerate(zip(rows, images, known, strict=True))
    ], _caption(split))  # fmt: skip
    yield _picture(found, rows, name)
    for each, intervals in found.items():
        end = f"/{each}" if len(found) > 1 else ""
        for row, interval in zip(rows, intervals, strict=True):
            words = f"average precision of {row} by {each}: {interval}, over {interval.n} images"
            yield Number(f"{name}/ap/{row.replace(' ', '_')}{end}", interval.value, words)


def _intervals(rated: Rated) -> list[Interval]:
    """Of each class, then of their mean."""
    alone = [mean_precision_interval([ranking], rated.images) for ranking in rated.ranked]
    return [*alone, rated.mean]


def _cells(found: Mapping[str, Sequence[Interval]], place: int) -> dict[str, Any]:
    """AP in percent and its interval, empty for a class that no image shows."""
    cells: dict[str, Any] = {}
    for name, intervals in found.items():
        one = intervals[place]
        cells[f"{name} AP %"] = round(100 * one.value, 1) if np.isfinite(one.value) else ""
        cells[f"{name} 95 %"] = ends(one)
    return cells


def ends(interval: Interval) -> str:
    """Of a share, in percent; "" where it has none. The wider interval of few images is cut at none and all."""
    low, high = interval.low, interval.high
    return f"{100 * max(0, low):.1f} to {100 * min(1, high):.1f}" if np.isfinite([low, high]).all() else ""


def _printed(row: str) -> dict[str, str]:
    """What the paper prints of a class, "" of one that it does not have."""
    table, key = published_table(PAPER), NAMES.get(row, row)
    figures = [table.figure(key, column) if key in table.rows else None for column in table.columns]
    return {
        f"paper: {column}, not comparable": figure.text() if figure else ""
        for column, figure in zip(table.columns, figures, strict=True)
    }


def _caption(split: str) -> str:
    return (
        f"Average precision of each class on {split} in %, the area under precision over recall (all points, VOC since "
        "2010), without the images in which the class is difficult to see; 95 % by bootstrap over the images. "
        f"{published_table(PAPER).source}: {WHY}"
    )


def _picture(found: Mapping[str, Sequence[Interval]], rows: Sequence[str], name: str) -> Picture:
    first, intervals = next(iter(found.items()))
    table = published_table(PAPER)
    dots = []
    for row, one in zip(rows, intervals, strict=True):
        key = NAMES.get(row, row)
        theirs = table.figure(key, THEIRS) if key in table.rows else None
        here = 100 * one.value if np.isfinite(one.value) else None
        dots.append(RowError(row, here, paper_error=theirs.value if theirs else None))
    caption = f"Average precision by class of {first} (the table of this name has the intervals); {WHY}"
    return Picture(f"{name}/table6", errors_by_row(dots, "average precision, %"), caption, plot=True)


def mean_precision(ranked: Sequence[ClassRanking], images: int) -> float:
    """Mean over the classes that are shown, 0 where none is."""
    found = average_precisions(ranked, images)
    return float(np.nanmean(found)) if not np.isnan(found).all() else 0.0
