"""Which of two epochs is better, for each loss that a net may be trained with, and what a net reaches by chance.

The best checkpoint, the plateau schedule, the warning at chance, summary.json and the loggers read it from here. The
page and the tables of a sweep read it from about.json and summary.json. The program reads it before it has read a word
of the command line, so that torch is imported in the functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.metrics.multilabel import LossName

TOP1, MEAN_AP = "val/top1", "val/mean_ap"


class Chance(NamedTuple):
    """What the best answer that is the same for every image reaches: the goal's metric, and the mean loss in nats."""

    metric: float
    loss: float

    def explains(self, metric: float, loss: float) -> bool:
        """Whether a net with this metric and loss may have learned nothing. The margins are ours.

        Where most images are of one class, the metric of chance is within the margin of any net's: there the loss
        decides. Where the loss, or its value at chance, is nan, the metric decides alone.
        """
        return metric < 1.5 * self.metric and not loss <= 0.98 * self.loss


class ChanceOf(Protocol):
    """Chance on N images. labels: [N]. targets: [N, K], see metrics/multilabel.py; None for images of one class."""

    def __call__(self, labels: Tensor, targets: Tensor | None, classes: int) -> Chance: ...


class Goal(NamedTuple):
    """What training aims at.

    metric: the column of metrics.csv by which epochs are compared. label: its name in messages. mode: whether the
    higher ("max") or the lower ("min") value is better.
    """

    metric: str
    label: str
    mode: Literal["max", "min"]
    chance: ChanceOf

    def best(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The row of the best epoch, the first of equal ones; empty where no row has the metric."""
        measured = [row for row in rows if math.isfinite(row.get(self.metric, math.nan))]
        choose = max if self.mode == "max" else min
        return choose(measured, key=lambda row: row[self.metric], default={})

    def facts(self, chance: Chance) -> dict[str, Any]:
        """The goal and its chance as entries of about.json and summary.json."""
        goal = {"metric": self.metric, "label": self.label, "mode": self.mode}
        return goal | {"chance": chance.metric, "chance_loss": chance.loss}


def softmax_chance(labels: Tensor, targets: Tensor | None, classes: int) -> Chance:
    """Chance of a net that always guesses the most frequent class and gives each class its mean share as probability.

    1/K and log K where all classes have the same number of images.
    """
    import torch

    from convscope.metrics.multilabel import softmax_targets

    if targets is None:
        frequent = share = torch.bincount(labels, minlength=classes).double() / len(labels)
    else:
        shares = softmax_targets(targets).double()
        frequent, share = (shares > 0).double().mean(0), shares.mean(0)
    return Chance(float(frequent.max()), float(torch.special.entr(share).sum()))


def multilabel_chance(labels: Tensor, targets: Tensor | None, classes: int) -> Chance:
    """Chance of a net that gives each class, in every image, its share of all images as probability.

    Images of equal scores pass a threshold together (metrics/multilabel.py). So the average precision of a class is the
    share of the images that show it among those in which it is not difficult to see.
    """
    import torch

    assert targets is not None
    counted, positives = (targets != 0).double(), (targets > 0).double().sum(0)
    share = positives / counted.sum(0).clamp(min=1)
    coin = torch.special.entr(share) + torch.special.entr(1 - share)
    return Chance(float(share[positives > 0].mean()), float((counted.mean(0) * coin).sum()))


GOALS: dict[LossName, Goal] = {
    "softmax": Goal(TOP1, "top-1", "max", softmax_chance),
    "multilabel": Goal(MEAN_AP, "mean AP", "max", multilabel_chance),
}
