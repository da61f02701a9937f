"""Accuracies of a classifier and their intervals."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.metrics.intervals import LEVEL, RESAMPLES, Interval, share_interval


class Accuracies(NamedTuple):
    """Accuracies in 0..1 over images. class_mean: mean of the accuracies of the classes that have images."""

    top1: Interval
    top5: Interval
    class_mean: Interval


class PredictionTally:
    """Takes the probabilities [n, K] of one batch after another, and stores three numbers for each image."""

    def __init__(self, classes: int):
        self._guesses = min(5, classes)
        self._truth, self._answer, self._in_top5 = list[Tensor](), list[Tensor](), list[Tensor]()

    def add(self, probabilities: Tensor, truth: Tensor) -> None:
        """truth: [n] the true classes among the K."""
        probabilities, truth = probabilities.cpu(), truth.cpu()
        self._truth.append(truth)
        self._answer.append(probabilities.argmax(1))
        self._in_top5.append((probabilities.topk(self._guesses).indices == truth[:, None]).any(1))

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
        truth, right, in_top5 = self.truth.numpy(), (self.truth == self.answer).numpy(), torch.cat(self._in_top5)
        top1, top5 = (share_interval(int(hits.sum()), len(truth)) for hits in (right, in_top5))
        return Accuracies(top1, top5, class_mean_interval(truth, right))


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
