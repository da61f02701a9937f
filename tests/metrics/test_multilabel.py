"""Targets of several classes: their shares, the class that counts as the right one, and the linear classifiers."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.svm import LinearSVC

from convscope.metrics.classification import accuracies
from convscope.metrics.linear_probe import fit_probe
from convscope.metrics.multilabel import best_scored_label, class_certainty, softmax_targets

TARGETS = torch.tensor([[1, -1, 1, 0], [-1, 1, -1, -1], [0, -1, 0, -1], [1, 1, 1, 1]], dtype=torch.int8)


def test_each_class_that_is_shown_has_the_same_share():
    assert torch.allclose(
        softmax_targets(TARGETS), torch.tensor([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0.25] * 4])
    )


def test_top_k_is_right_where_any_class_of_the_image_is_among_the_k():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 8, generator=draw)
    targets = torch.where(torch.rand(200, 8, generator=draw) < 0.3, 1, -1).to(torch.int8)
    targets[torch.arange(200), torch.randint(8, (200,), generator=draw)] = 1
    found = accuracies(8)
    found.update(logits, best_scored_label(logits, torch.zeros(200, dtype=torch.int64), targets))
    order, measured = logits.argsort(1, descending=True), found.compute()
    for name, k in (("top1", 1), ("top5", 5)):
        hits = [any(row[label] > 0 for label in first[:k]) for row, first in zip(targets, order, strict=True)]
        assert float(measured[name]) == pytest.approx(np.mean(hits), abs=1e-6)


def test_images_of_one_class_keep_their_labels():
    labels = torch.tensor([2, 0])
    assert best_scored_label(torch.randn(2, 3), labels, None) is labels


def test_certainty_is_the_losss_own():
    logits = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    assert torch.allclose(class_certainty(logits, "softmax").sum(1), torch.ones(2))
    assert class_certainty(logits, "multilabel")[0, 0] == 0.5


def clouds(n=60, size=5):
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(n, size, generator=draw, dtype=torch.float64)
    weight = torch.randn(size, 3, generator=draw, dtype=torch.float64)
    targets = torch.where(images @ weight + 0.5 * torch.randn(n, 3, generator=draw) > 0.4, 1, -1).to(torch.int8)
    targets[torch.rand(n, 3, generator=draw) < 0.1] = 0
    return images, targets


def test_svm_of_each_class_is_scikit_learns_on_the_images_that_are_not_difficult():
    images, targets = clouds()
    found = fit_probe(images, targets, 3, "svm", 2.0).scores(images)
    for k in range(3):
        easy = targets[:, k] != 0
        peer = LinearSVC(C=2.0, dual=False, tol=1e-12, intercept_scaling=1e3, max_iter=100_000)
        peer.fit(images[easy].numpy(), targets[easy, k].numpy())
        assert np.abs(found[:, k].numpy() - peer.decision_function(images.numpy())).max() < 5e-3


def test_softmax_of_several_is_the_minimum_of_its_definition():
    images, targets = clouds()
    shares = np.zeros((60, 3))
    for row, told in enumerate(targets.tolist()):
        own = [k for k in range(3) if told[k] == 1] or [k for k in range(3) if told[k] == 0] or [0, 1, 2]
        shares[row, own] = 1 / len(own)
    nowhere = (targets < 0).all(1)  # of such an image nothing can be said; the data has none
    images, targets, shares = images[~nowhere], targets[~nowhere], shares[~nowhere.numpy()]

    def objective(flat):
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        scores = images.numpy() @ weight.T + bias
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        return (weight**2).sum() / 2 - 2.0 * (shares * logs).sum()

    best = minimize(objective, np.zeros(18), method="BFGS", options={"gtol": 1e-7})
    found = fit_probe(images, targets, 3, "softmax", 2.0)
    assert objective(np.append(found.weight.numpy().ravel(), found.bias.numpy())) <= best.fun + 1e-4
