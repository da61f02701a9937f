"""Error measures of a classifier, by torchmetrics."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from convscope.metrics.intervals import LEVEL, RESAMPLES, Interval


def accuracies(classes: int) -> MetricCollection:
    """Top-1, top-5 (top-K where there are fewer classes) and the mean of the classes' own accuracies, each in 0..1.

    Updated with logits [N, K] and labels [N]. Errors of the papers' tables are 100 * (1 - top1).
    """
    exact: dict[str, Any] = {"num_classes": classes, "validate_args": False}
    return MetricCollection(
        {
            "top1": MulticlassAccuracy(average="micro", **exact),
            "top5": MulticlassAccuracy(average="micro", top_k=min(5, classes), **exact),
            "class_mean": MeanClassAccuracy(average="macro", **exact),
        },
        compute_groups=False,
    )


class MeanClassAccuracy(MulticlassAccuracy):
    """Mean over the classes that have images; torchmetrics counts one that was only guessed as one of accuracy 0."""

    def compute(self) -> Tensor:
        right, missed = (torch.as_tensor(count) for count in (self.tp, self.fn))  # [K]
        images = right + missed
        return (right[images > 0] / images[images > 0]).mean()


class Accuracies(NamedTuple):
    """Accuracies in 0..1 over images. class_mean: mean of the accuracies of the classes that have images."""

    top1: Interval
    top5: Interval
    class_mean: Interval


class PredictionTally:
    """Takes the probabilities [n, K] of one batch after another; keeps two numbers for each image."""

    def __init__(self, classes: int):
        self._accuracies = accuracies(classes)
        self._truth, self._answer = list[Tensor](), list[Tensor]()

    def add(self, probabilities: Tensor, truth: Tensor) -> None:
        """truth: [n] the true classes among the K."""
        probabilities, truth = probabilities.cpu(), truth.cpu()
        self._accuracies.update(probabilities, truth)
        self._truth.append(truth)
        self._answer.append(probabilities.argmax(1))

    @property
    def truth(self) -> Tensor:
        """[N]: the true classes of all images."""
        return torch.cat(self._truth)

    @property
    def answer(self) -> Tensor:
        """[N]: the most probable classes."""
        return torch.cat(self._answer)

    def scores(self) -> Accuracies:
        """Over all that was added."""
        found = self._accuracies.compute()
        truth, right = self.truth.numpy(), (self.truth == self.answer).numpy()
        count = len(truth)
        top1, top5 = (proportion_interval(float(found[name]), count) for name in ("top1", "top5"))
        return Accuracies(top1, top5, class_mean_interval(truth, right))


def proportion_interval(share: float, count: int) -> Interval:
    """A share of `count` images and Wilson's interval, which needs no resampling and holds near 0 and 1 too."""
    hits = round(share * count)
    found = binomtest(hits, count).proportion_ci(LEVEL, method="wilson")
    return Interval(hits / count, float(found.low), float(found.high), count)


def class_mean_interval(truth: NDArray[np.int64], right: NDArray[np.bool_], seed: int = 0) -> Interval:
    """Mean over the classes with images of the share that is right, and the percentile bootstrap over the images.

    The draws are made by class and outcome at once: the same as drawing images, in no more time for 50,000 of them.
    """
    shown, place = np.unique(truth, return_inverse=True)
    hits = np.bincount(place, right, len(shown))
    counts = np.bincount(place, minlength=len(shown))
    value = float((hits / counts).mean())
    cells = np.concatenate([hits, counts - hits]) / len(truth)
    drawn = np.random.default_rng(seed).multinomial(len(truth), cells, RESAMPLES)
    again, missed = drawn[:, : len(shown)], drawn[:, len(shown) :]
    present = again + missed > 0  # a class of few images may not be drawn: then it is no part of that mean
    means = (again / np.maximum(again + missed, 1)).sum(1) / present.sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), len(truth))
