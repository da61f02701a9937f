"""How well nets, or classifiers on their features, find the classes of images that show several (section 5.4, Table 6).

job=evaluate ranks the images by a net's own outputs, job=transfer by linear classifiers on its features; both show
what is measured here as Table 6.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from convscope.analyses.evaluation.about import EvaluationConfig
from convscope.analyses.evaluation.compute import ENSEMBLE, EvaluatedNet, check_comparable
from convscope.analyses.subject import Subject
from convscope.data.shared_passes import all_results, own_parts
from convscope.engine.progress import track
from convscope.errors import UserError
from convscope.metrics.intervals import Interval
from convscope.metrics.multilabel import (
    ClassRanking,
    LossName,
    class_certainty,
    class_rankings,
    mean_precision_interval,
)
from convscope.metrics.papers import PrintedNumber, published_table
from convscope.runs.record import Number, Table

PAPER = "zf_table6"
PAPER_NAMES = {  # the data set's names -> the paper's
    "aeroplane": "airplane", "diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv",
}  # fmt: skip
NOT_COMPARABLE = (
    "not comparable: the paper trained on train and val together and was tested by the official server, whose labels "
    "are not public, with another net, which had learned 1.3 million images of ImageNet"
)
MEAN = "mean"


class ClassRankings(NamedTuple):
    """How a net, or a classifier on its features, ranks N images; one ranking for each class."""

    name: str
    rankings: list[ClassRanking]
    images: int

    @property
    def mean(self) -> Interval:
        """Mean average precision in 0..1, with its bootstrap over the images."""
        return mean_precision_interval(self.rankings, self.images)

    def intervals(self) -> list[Interval]:
        """Average precision of each class, then their mean, in 0..1."""
        return [*(mean_precision_interval([ranking], self.images) for ranking in self.rankings), self.mean]


class NetRankings(NamedTuple):
    """A net's, or the ensemble's, rankings of N images. first_guess: share of images that show its top class."""

    ranked: ClassRankings
    first_guess: float


class ClassPrecision(NamedTuple):
    """Average precision in 0..1 of one class, or of "mean", by name of the net or classifier.

    images: how many show the class; of "mean", all. printed: the paper's percent by its column, None where it has none.
    """

    name: str
    images: int
    precision: Mapping[str, Interval]
    printed: Mapping[str, PrintedNumber | None]


def rank_images(nets: Sequence[EvaluatedNet], plan: EvaluationConfig, seed: int) -> list[NetRankings]:
    """Rankings by nets that were trained on such images, by the center crop; of several nets the ensemble's last.

    The ensemble's certainty is the mean of the nets'. Raises UserError for other crops, and where a net does not know
    a class of the data.
    """
    check_comparable(nets)
    data = nets[0].subject.data
    _check_multilabel(nets, plan)
    index = data.choose(plan.split, range(data.size(plan.split)) if plan.images is None else plan.images, seed)
    certainties = {net.name: _class_certainty(net.subject, data.settings.batch_size, plan, index) for net in nets}
    certainties |= {ENSEMBLE: torch.stack(list(certainties.values())).mean(0)} if len(nets) > 1 else {}
    targets = data.targets(plan.split, index).numpy()
    ranked = []
    for name, scores in certainties.items():
        hits = targets[np.arange(len(index)), scores.argmax(1).numpy()] > 0
        of_net = ClassRankings(name, class_rankings(scores.numpy(), targets), len(index))
        ranked.append(NetRankings(of_net, float(hits.mean())))
    return ranked


def _check_multilabel(nets: Sequence[EvaluatedNet], plan: EvaluationConfig) -> None:
    if plan.crops != "center" or plan.scales:
        raise UserError("images that show several classes are evaluated by their center crop: type "
                        "evaluate.crops=center and evaluate.scales=null")  # fmt: skip
    classes = nets[0].subject.data.classes
    for net in nets:
        if unknown := [name for name, target in zip(classes, net.subject.targets, strict=True) if target < 0]:
            raise UserError(f"{net.name} does not know {', '.join(unknown[:4])}: images that show several classes need "
                            "a net trained on them; job=transfer fits a classifier on this one's features")  # fmt: skip


@torch.inference_mode()
def _class_certainty(subject: Subject, batch_size: int, plan: EvaluationConfig, index: Tensor) -> Tensor:
    """How sure the net is of each of the data's classes, [N, K]."""
    columns = torch.tensor(subject.targets)
    parts = []
    for part in track(own_parts(index.split(batch_size)), f"evaluating {subject.net_name}"):
        logits = subject.net(subject.data.images(plan.split, part).to(subject.device))
        parts.append(class_certainty(logits.float().cpu(), cast(LossName, subject.loss))[:, columns])
    return torch.cat(all_results(parts))


def class_precisions(ranked: Sequence[ClassRankings], classes: Sequence[str]) -> list[ClassPrecision]:
    """Average precision of each class, then the mean over the classes, beside the paper's."""
    by_name = {rankings.name: rankings.intervals() for rankings in ranked}
    images = [*(len(ranking.positives) for ranking in ranked[0].rankings), ranked[0].images]
    return [
        ClassPrecision(row, count, {name: intervals[place] for name, intervals in by_name.items()}, _printed(row))
        for place, (row, count) in enumerate(zip([*classes, MEAN], images, strict=True))
    ]


def _printed(row: str) -> dict[str, PrintedNumber | None]:
    """The paper's numbers of a class by column, None for a class that the paper does not have."""
    table, key = published_table(PAPER), PAPER_NAMES.get(row, row)
    return {column: table.figure(key, column) if key in table.rows else None for column in table.columns}


def table6(precisions: Sequence[ClassPrecision], name: str, split: str) -> Table:
    """Table 6: a row for each class and their mean, in percent. name: of the results, e.g. "transfer"."""
    rows = [{"class": row.name, f"{split} images": row.images, **_cells(row)} for row in precisions]
    caption = (
        f"Average precision of each class on {split} in %, the area under precision over recall (all points, VOC since "
        "2010), without the images in which the class is difficult to see; 95 % by bootstrap over the images. "
        f"{published_table(PAPER).source}: {NOT_COMPARABLE}"
    )
    return Table(f"{name}/table6", rows, caption)


def _cells(row: ClassPrecision) -> dict[str, Any]:
    """Percent and interval by net, empty for a class that no image shows; then the paper's numbers."""
    cells: dict[str, Any] = {}
    for name, interval in row.precision.items():
        cells[f"{name} AP %"] = round(100 * interval.value, 1) if np.isfinite(interval.value) else ""
        cells[f"{name} 95 %"] = interval_text(interval)
    for column, figure in row.printed.items():
        cells[f"paper: {column}, not comparable"] = figure.text() if figure else ""
    return cells


def plot_caption(precisions: Sequence[ClassPrecision]) -> str:
    """The caption of Table 6 as a picture, which shows the first net or classifier."""
    first = next(iter(precisions[0].precision))
    return f"Average precision by class of {first} (the table of this name has the intervals); {NOT_COMPARABLE}"


def interval_text(interval: Interval) -> str:
    """The ends of a share's interval in percent; "" where it has none.

    The wider interval of a small sample is cut at 0 and 100.
    """
    low, high = interval.low, interval.high
    return f"{100 * max(0, low):.1f} to {100 * min(1, high):.1f}" if np.isfinite([low, high]).all() else ""


def precision_numbers(precisions: Sequence[ClassPrecision], name: str) -> list[Number]:
    """Average precision of each class and of the mean by each net or classifier. name: of the results."""
    nets = list(precisions[0].precision)
    numbers = []
    for net in nets:
        end = f"/{net}" if len(nets) > 1 else ""
        for row in precisions:
            interval = row.precision[net]
            words = f"average precision of {row.name} by {net}: {interval}, over {interval.n} images"
            numbers.append(Number(f"{name}/ap/{row.name.replace(' ', '_')}{end}", interval.value, words))
    return numbers
