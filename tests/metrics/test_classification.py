"""Accuracies and intervals against counting by hand, sorting, and resampling one image at a time."""

import numpy as np
import pytest
import torch

from convscope.metrics.classification import PredictionTally, class_mean_interval
from convscope.metrics.intervals import share_interval


def some(count=400, classes=9, seed=0):
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, classes, (count,), generator=draw)
    scores = torch.randn(count, classes, generator=draw)
    scores[torch.arange(count), truth] += 1.2
    return scores.softmax(1), truth


def added(probabilities, truth, batch=70):
    tally = PredictionTally(probabilities.shape[1])
    for part, labels in zip(probabilities.split(batch), truth.split(batch), strict=True):
        tally.add(part, labels)
    return tally


def test_top1_and_top5_by_sorting():
    probabilities, truth = some()
    scores = added(probabilities, truth).scores()
    ranked = [sorted(range(9), key=lambda c, row=row: -row[c]) for row in probabilities.tolist()]
    assert scores.top1.value == sum(r[0] == t for r, t in zip(ranked, truth.tolist(), strict=True)) / 400
    assert scores.top5.value == sum(t in r[:5] for r, t in zip(ranked, truth.tolist(), strict=True)) / 400
    assert scores.top1.n == 400


def test_the_class_mean_counts_only_classes_that_have_images():
    """Answers of other classes of a net that knows many are wrong, but no class of their own with accuracy 0."""
    truth = torch.tensor([2, 2, 2, 2, 5, 5])
    answers = torch.tensor([2, 2, 2, 7, 5, 8])
    scores = added(torch.eye(10)[answers], truth).scores()
    assert scores.class_mean.value == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_the_interval_of_a_share_is_wilsons():
    interval, z, p, n = share_interval(45, 50), 1.959963984540054, 0.9, 50
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert (interval.low, interval.high) == pytest.approx((center - half, center + half))
    assert share_interval(50, 50).high == 1 and share_interval(50, 50).low < 0.95


def test_the_interval_of_the_class_mean_is_that_of_drawn_images():
    probabilities, truth = some(300, 4)
    truth, right = truth.numpy(), (probabilities.argmax(1) == truth).numpy()
    interval, draw = class_mean_interval(truth, right), np.random.default_rng(5)
    means = []
    for _ in range(3000):
        cases = draw.integers(0, 300, 300)
        means.append(np.mean([right[cases][truth[cases] == c].mean() for c in range(4)]))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.006)
