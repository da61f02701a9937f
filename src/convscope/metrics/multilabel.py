"""Images that show several classes: targets [N, K] of 1 (shown), 0 (difficult to see: no say) and -1 (not there)."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from convscope.metrics.intervals import Interval, bootstrap_interval

LossName = Literal["softmax", "multilabel"]


def softmax_targets(targets: Tensor) -> Tensor:
    """[N, K] float: what a softmax should say, the same share for each class that is shown, together 1.

    An image that shows nothing but what is difficult is spread over that. The paper, which trains its softmax on such
    images, does not say how; this is ours, and the classes' order or size has no part in it.
    """
    shown = targets > 0
    shown = torch.where(shown.any(1, keepdim=True), shown, targets == 0).float()
    return shown / shown.sum(1, keepdim=True)


def best_scored_label(scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """[N]: of the classes that an image shows the one with the highest score [N, K], by `spread`'s meaning of shown.

    Measured against it, top-k is right where any of the image's classes is among the k first. Without targets: labels.
    """
    if targets is None:
        return labels
    return scores.masked_fill(softmax_targets(targets) == 0, -torch.inf).argmax(1)


def class_certainty(logits: Tensor, loss: LossName) -> Tensor:
    """[N, K]: how sure a net that was trained with this loss is of each class, by which images are ranked."""
    return logits.softmax(1) if loss == "softmax" else logits.sigmoid()


class ClassRanking(NamedTuple):
    """The images of one class from the surest on, without the difficult ones.

    images [n]: their numbers. shown [P]: those of them that show the class. Of each score that such an image has: the
    place among `images` of the last one with that score, ends [g], and among `shown`, hits [g]. Thresholds in between
    find no more and are never more precise.
    """

    images: NDArray[np.int64]
    shown: NDArray[np.int64]
    ends: NDArray[np.int64]
    hits: NDArray[np.int64]

    def precision(self, times: NDArray[np.int64]) -> float:
        """Average precision where image i is there times[i] times; nan where none shows the class."""
        found, seen = times[self.shown].cumsum()[self.hits], times[self.images].cumsum()[self.ends]
        if not len(found) or not found[-1]:
            return float("nan")
        precision = found / np.maximum(seen, 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(found, prepend=0) * best).sum() / found[-1])


def class_rankings(scores: NDArray[np.floating], targets: NDArray[np.int8]) -> list[ClassRanking]:
    """One for each class. scores, targets: [N, K]."""
    return [_ranking(*column) for column in zip(scores.T, targets.T, strict=True)]


def average_precisions(ranked: Sequence[ClassRanking], images: int) -> NDArray[np.float64]:
    """[K] of N images, 0 to 1, nan for a class that none shows."""
    return np.array([one.precision(np.ones(images, np.int64)) for one in ranked])


def mean_precision_interval(ranked: Sequence[ClassRanking], images: int, seed: int = 0) -> Interval:
    """Mean over the classes that are shown, of one or of all of them, and its bootstrap over the images.

    Without an interval where so few images show the only class that some draws have none.
    """

    def statistic(cases: NDArray[np.int64]) -> float:
        times = np.bincount(cases, minlength=images)
        found = np.array([one.precision(times) for one in ranked])
        return float(found[~np.isnan(found)].mean()) if not np.isnan(found).all() else float("nan")

    return bootstrap_interval(images, statistic, seed)


class MeanAveragePrecision(Metric):
    """Of all images of an epoch, whichever process saw them: the mean over the classes that are shown."""

    full_state_update = False
    scores: list[Tensor]
    targets: list[Tensor]

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Of a batch, [n, K]; targets as in metrics/multilabel.py."""
        self.scores.append(scores)
        self.targets.append(targets)

    def compute(self) -> Tensor:
        scores, targets = dim_zero_cat(self.scores), dim_zero_cat(self.targets)
        found = average_precisions(class_rankings(scores.float().cpu().numpy(), targets.cpu().numpy()), len(scores))
        mean = float(np.nanmean(found)) if not np.isnan(found).all() else math.nan
        return torch.tensor(mean, dtype=torch.float32, device=scores.device)  # not every GPU has float64


def _ranking(scores: NDArray[np.floating], targets: NDArray[np.int8]) -> ClassRanking:
    counted = np.flatnonzero(targets != 0)
    images = counted[np.argsort(-scores[counted], kind="stable")]
    shown = images[targets[images] > 0]
    values = np.unique(-scores[shown])
    ends = np.searchsorted(-scores[images], values, side="right") - 1
    return ClassRanking(images, shown, ends, np.searchsorted(-scores[shown], values, side="right") - 1)
