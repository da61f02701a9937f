"""Images that show several classes: their targets, what a softmax makes of them, and average precision.

targets [N, K]: 1 for a class that the image shows, -1 for one that it does not show, 0 where the class is difficult to
see and so does not count. Average precision is that of PASCAL VOC since 2010: the area under precision over recall, at
every threshold. Precision at a recall is the highest at that recall or above. Images of equal scores pass a threshold
together (ours; VOC's devkit leaves their order open).
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.metrics.intervals import Interval, bootstrap_interval

LossName = Literal["softmax", "multilabel"]


def softmax_targets(targets: Tensor) -> Tensor:
    """[N, K] float: the probabilities that a softmax learns, equal for each class that the image shows, together 1.

    Where an image shows only difficult classes, these share the probability. The paper trains its softmax on such
    images and does not say how. This way is ours, and independent of the order and size of the classes.
    """
    positive = targets > 0
    positive = torch.where(positive.any(1, keepdim=True), positive, targets == 0).float()
    return positive / positive.sum(1, keepdim=True)


def best_scored_label(scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """[N]: of the classes that an image shows (see `softmax_targets`), the one with the highest score [N, K].

    With these as labels, a top-k guess is right where any class of the image is among the k first. Returns labels [N]
    where targets are None.
    """
    if targets is None:
        return labels
    return scores.masked_fill(softmax_targets(targets) == 0, -torch.inf).argmax(1)


def class_certainty(logits: Tensor, loss: LossName) -> Tensor:
    """[N, K]: each class's probability by a net that was trained with this loss. It ranks the images of a class."""
    return logits.softmax(1) if loss == "softmax" else logits.sigmoid()


class ClassRanking(NamedTuple):
    """The images of one class from the highest score to the lowest, without the difficult ones.

    images [n]: image numbers. positives [P]: those of them that show the class. The thresholds that matter are the g
    different scores of positives; others find no more positives and are never more precise. ends [g]: place in `images`
    of the last image at or above the threshold. hits [g]: the same in `positives`.
    """

    images: NDArray[np.int64]
    positives: NDArray[np.int64]
    ends: NDArray[np.int64]
    hits: NDArray[np.int64]

    def precision(self, times: NDArray[np.int64]) -> float:
        """Average precision where image i occurs times[i] times; nan where no image shows the class."""
        true_positives = times[self.positives].cumsum()[self.hits]
        retrieved = times[self.images].cumsum()[self.ends]
        if not len(true_positives) or not true_positives[-1]:
            return float("nan")
        precision = true_positives / np.maximum(retrieved, 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(true_positives, prepend=0) * best).sum() / true_positives[-1])


def class_rankings(scores: NDArray[np.floating], targets: NDArray[np.int8]) -> list[ClassRanking]:
    """A ranking for each class. scores, targets: [N, K]."""
    return [_ranking(*column) for column in zip(scores.T, targets.T, strict=True)]


def average_precisions(rankings: Sequence[ClassRanking], images: int) -> NDArray[np.float64]:
    """[K]: average precision of each class over `images` images, 0 to 1; nan for a class that no image shows."""
    return np.array([ranking.precision(np.ones(images, np.int64)) for ranking in rankings])


def mean_precision_interval(rankings: Sequence[ClassRanking], images: int, seed: int = 0) -> Interval:
    """Mean average precision over the classes that some image shows, and its bootstrap interval over the images.

    The interval's ends are nan where so few images show the only class that some draws have none of them.
    """

    def statistic(cases: NDArray[np.int64]) -> float:
        times = np.bincount(cases, minlength=images)
        precisions = np.array([ranking.precision(times) for ranking in rankings])
        precisions = precisions[~np.isnan(precisions)]
        return float(precisions.mean()) if len(precisions) else math.nan

    return bootstrap_interval(images, statistic, seed)


def _ranking(scores: NDArray[np.floating], targets: NDArray[np.int8]) -> ClassRanking:
    counted = np.flatnonzero(targets != 0)
    images = counted[np.argsort(-scores[counted], kind="stable")]
    positives = images[targets[images] > 0]
    thresholds = np.unique(-scores[positives])
    ends = np.searchsorted(-scores[images], thresholds, side="right") - 1
    hits = np.searchsorted(-scores[positives], thresholds, side="right") - 1
    return ClassRanking(images, positives, ends, hits)
