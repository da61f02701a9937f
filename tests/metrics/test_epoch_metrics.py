"""Accuracies of batches against counting by hand and sorting; average precision is in test_multilabel.py."""

import numpy as np
import pytest
import torch

from convscope.metrics.epoch_metrics import accuracies


def test_accuracies_are_what_counting_gives():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(200, 7))
    labels = draw.choice(7, 200, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])  # unequal classes tell the means apart
    measure = accuracies(7)
    for part in np.array_split(np.arange(200), 3):
        measure.update(torch.tensor(logits[part]), torch.tensor(labels[part]))
    measured = {name: float(value) for name, value in measure.compute().items()}
    order = np.argsort(-logits, axis=1)
    hits = order[:, 0] == labels
    assert np.isclose(measured["top1"], hits.mean())
    assert np.isclose(measured["top5"], (order[:, :5] == labels[:, None]).any(1).mean())
    assert np.isclose(measured["class_mean"], np.mean([hits[labels == label].mean() for label in range(7)]))


def test_fewer_than_five_classes():
    measure = accuracies(3)
    measure.update(torch.tensor([[0.1, 0.2, 0.9]]), torch.tensor([0]))
    assert float(measure.compute()["top5"]) == 1.0


def test_a_class_that_is_guessed_but_has_no_images_does_not_count():
    measured = accuracies(4)
    measured.update(torch.eye(4)[[0, 1, 3, 2]], torch.tensor([0, 1, 1, 2]))
    assert float(measured.compute()["class_mean"]) == pytest.approx((1 + 0.5 + 1) / 3)
