"""What a better net is, for each loss that it may be trained with, and what a net has that has learned nothing.

The one place that says so: the best checkpoint, the plateau, the warning at chance, the summary and the loggers read it
here, the page and the tables of a sweep in about.json and summary.json.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from convscope.metrics.multilabel import LossName, softmax_targets

TOP1, MEAN_AP = "val/top1", "val/mean_ap"


class Chance(NamedTuple):
    """Of the best answer that is the same for every image: the goal's metric, and the mean loss in nats."""

    metric: float
    loss: float

    def explains(self, metric: float, loss: float) -> bool:
        """Whether a net that reaches no more than this may have learned nothing. The margins are ours.

        Where most images are of one class, its metric is within the margin of any net's: there the loss decides. A loss
        or chance of it that is nan is not known, and then the metric decides alone.
        """
        return metric < 1.5 * self.metric and not loss <= 0.98 * self.loss


class ChanceOf(Protocol):
    """Chance on N images. labels: [N]. targets: [N, K] as in metrics/multilabel.py, None for images of one class."""

    def __call__(self, labels: Tensor, targets: Tensor | None, classes: int) -> Chance: ...


class Goal(NamedTuple):
    """metric: the column of metrics.csv that says which net is better; label: the same in words. mode: max where the
    higher value is the better one, min where the lower one is.
    """

    metric: str
    label: str
    mode: Literal["max", "min"]
    chance: ChanceOf

    def best(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The row of the best epoch, of equal ones the first; empty where none has the metric."""
        measured = [row for row in rows if math.isfinite(row.get(self.metric, math.nan))]
        choose = max if self.mode == "max" else min
        return choose(measured, key=lambda row: row[self.metric], default={})

    def facts(self, chance: Chance) -> dict[str, Any]:
        """What about.json and summary.json say of it."""
        own = {"metric": self.metric, "label": self.label, "mode": self.mode}
        return own | {"chance": chance.metric, "chance_loss": chance.loss}


def softmax_chance(labels: Tensor, targets: Tensor | None, classes: int) -> Chance:
    """Always the most frequent class, with the mean share of each class for its probability.

    1/K and log K where the classes have equally many images.
    """
    if targets is None:
        frequent = share = torch.bincount(labels, minlength=classes).double() / len(labels)
    else:
        shares = softmax_targets(targets).double()
        frequent, share = (shares > 0).double().mean(0), shares.mean(0)
    return Chance(float(frequent.max()), float(torch.special.entr(share).sum()))


def multilabel_chance(labels: Tensor, targets: Tensor | None, classes: int) -> Chance:
    """Every class as likely in each image as it is in all of them.

    Equal scores lie on one side of a threshold together (metrics/multilabel.py), so that the average precision
    of a class is the share of the images that show it, of those in which it is not difficult to see.
    """
    assert targets is not None
    counted, shown = (targets != 0).double(), (targets > 0).double().sum(0)
    share = shown / counted.sum(0).clamp(min=1)
    coin = torch.special.entr(share) + torch.special.entr(1 - share)
    return Chance(float(share[shown > 0].mean()), float((counted.mean(0) * coin).sum()))


GOALS: dict[LossName, Goal] = {
    "softmax": Goal(TOP1, "top-1", "max", softmax_chance),
    "multilabel": Goal(MEAN_AP, "mean AP", "max", multilabel_chance),
}
