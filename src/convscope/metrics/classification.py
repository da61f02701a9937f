"""Accuracies of a classifier, by torchmetrics, and their intervals."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from convscope.metrics.intervals import LEVEL, RESAMPLES, Interval, share_interval


def accuracies(classes: int) -> MetricCollection:
    """Metrics top1, top5 (top-K where there are fewer classes) and class_mean (mean accuracy of the classes), in 0..1.

    Update them with logits [N, K] and labels [N]. The papers' tables print errors, 100 * (1 - top1).
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
    """Mean over the classes that have images; torchmetrics would count a class that was only guessed as accuracy 0."""

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
    """Takes the probabilities [n, K] of one batch after another, and stores two numbers for each image."""

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
        """The accuracies over all images that were added."""
        shares = self._accuracies.compute()
        truth, right = self.truth.numpy(), (self.truth == self.answer).numpy()
        top1, top5 = (proportion_interval(float(shares[name]), len(truth)) for name in ("top1", "top5"))
        return Accuracies(top1, top5, class_mean_interval(truth, right))


def proportion_interval(share: float, count: int) -> Interval:
    """A share of `count` images with its interval by `share_interval`, rounded to a whole number of images."""
    return share_interval(round(share * count), count)


def class_mean_interval(truth: NDArray[np.int64], right: NDArray[np.bool_], seed: int = 0) -> Interval:
    """Mean over the classes with images of their share of right answers, and its percentile bootstrap over the images.

    truth, right: [N]. Numbers of right and wrong images of each class are drawn at once from a multinomial: the same
    distribution as drawing images one by one, in a time that does not depend on N.
    """
    classes, place = np.unique(truth, return_inverse=True)
    hits = np.bincount(place, right, len(classes))
    counts = np.bincount(place, minlength=len(classes))
    value = float((hits / counts).mean())
    cells = np.concatenate([hits, counts - hits]) / len(truth)
    drawn = np.random.default_rng(seed).multinomial(len(truth), cells, RESAMPLES)
    drawn_hits, drawn_misses = drawn[:, : len(classes)], drawn[:, len(classes) :]
    drawn_counts = drawn_hits + drawn_misses
    present = drawn_counts > 0  # a class of few images may be missing from a draw, and then from its mean
    means = (drawn_hits / np.maximum(drawn_counts, 1)).sum(1) / present.sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), len(truth))
