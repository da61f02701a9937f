"""How often a classifier is right, and what it takes for what: counted batch by batch, with 95 % intervals."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from convscope.score.errors import accuracies
from convscope.score.interval import LEVEL, RESAMPLES, Interval


class Scores(NamedTuple):
    """Accuracies in 0..1 over images. class_mean: mean of the accuracies of the classes that have images."""

    top1: Interval
    top5: Interval
    class_mean: Interval


class Tally:
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

    def scores(self) -> Scores:
        """Over all that was added."""
        found = self._accuracies.compute()
        truth, right = self.truth.numpy(), (self.truth == self.answer).numpy()
        count = len(truth)
        return Scores(proportion(float(found["top1"]), count), proportion(float(found["top5"]), count),
                      class_mean(truth, right))  # fmt: skip


def proportion(share: float, count: int) -> Interval:
    """A share of `count` images and Wilson's interval, which needs no resampling and holds near 0 and 1 too."""
    hits = round(share * count)
    found = binomtest(hits, count).proportion_ci(LEVEL, method="wilson")
    return Interval(hits / count, float(found.low), float(found.high), count)


def class_mean(truth: NDArray[np.int64], right: NDArray[np.bool_], seed: int = 0) -> Interval:
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
