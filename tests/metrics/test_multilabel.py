"""Targets of several classes, and average precision against its definition, one threshold at a time."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.metrics import average_precision_score
from sklearn.svm import LinearSVC

from convscope.metrics.epoch_metrics import MeanAveragePrecision, accuracies
from convscope.metrics.linear_probe import fit_probe
from convscope.metrics.multilabel import (
    average_precisions,
    best_scored_label,
    class_certainty,
    class_rankings,
    mean_precision_interval,
    softmax_targets,
)

TARGETS = torch.tensor([[1, -1, 1, 0], [-1, 1, -1, -1], [0, -1, 0, -1], [1, 1, 1, 1]], dtype=torch.int8)


def test_each_class_that_is_shown_has_the_same_share():
    shares = torch.tensor([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0.25] * 4])
    assert torch.allclose(softmax_targets(TARGETS), shares)


def test_top_k_is_right_where_any_class_of_the_image_is_among_the_k():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 8, generator=draw)
    targets = torch.where(torch.rand(200, 8, generator=draw) < 0.3, 1, -1).to(torch.int8)
    targets[torch.arange(200), torch.randint(8, (200,), generator=draw)] = 1
    metrics = accuracies(8)
    metrics.update(logits, best_scored_label(logits, torch.zeros(200, dtype=torch.int64), targets))
    order, measured = logits.argsort(1, descending=True), metrics.compute()
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
    scores = fit_probe(images, targets, 3, "svm", 2.0).scores(images)
    for k in range(3):
        easy = targets[:, k] != 0
        peer = LinearSVC(C=2.0, dual=False, tol=1e-12, intercept_scaling=1e3, max_iter=100_000)
        peer.fit(images[easy].numpy(), targets[easy, k].numpy())
        assert np.abs(scores[:, k].numpy() - peer.decision_function(images.numpy())).max() < 5e-3


def test_softmax_of_several_is_the_minimum_of_its_definition():
    images, targets = clouds()
    shares = np.zeros((60, 3))
    for row, row_targets in enumerate(targets.tolist()):
        positive, difficult = ([k for k in range(3) if row_targets[k] == value] for value in (1, 0))
        classes = positive or difficult or [0, 1, 2]
        shares[row, classes] = 1 / len(classes)
    nowhere = (targets < 0).all(1)  # of such an image nothing can be said; the data has none
    images, targets, shares = images[~nowhere], targets[~nowhere], shares[~nowhere.numpy()]

    def objective(flat):
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        scores = images.numpy() @ weight.T + bias
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        return (weight**2).sum() / 2 - 2.0 * (shares * logs).sum()

    best = minimize(objective, np.zeros(18), method="BFGS", options={"gtol": 1e-7})
    probe = fit_probe(images, targets, 3, "softmax", 2.0)
    assert objective(np.append(probe.weight.numpy().ravel(), probe.bias.numpy())) <= best.fun + 1e-4


def brute(scores, targets):
    """Area under r -> the best precision at any threshold whose recall is at least r, over every recall step."""
    counted = [(score, target) for score, target in zip(scores, targets, strict=True) if target != 0]
    positives = sum(target == 1 for _, target in counted)
    points = []
    for threshold in sorted({score for score, _ in counted}):
        retrieved = [target for score, target in counted if score >= threshold]
        points.append(
            (sum(target == 1 for target in retrieved), sum(target == 1 for target in retrieved) / len(retrieved))
        )
    area = sum(max(precision for hits, precision in points if hits >= step) for step in range(1, positives + 1))
    return area / positives


def drawn(seed, n=40, ties=False):
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 6, n).astype(float) if ties else draw.normal(size=n)
    targets = draw.choice([-1, 0, 1], n, p=[0.6, 0.1, 0.3]).astype(np.int8)
    targets[:2] = 1, -1
    return scores, targets


def precision(scores, targets):
    rankings = class_rankings(np.array(scores)[:, None], np.array(targets, np.int8)[:, None])
    return average_precisions(rankings, len(scores))[0]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_area_under_the_best_precision(seed, ties):
    scores, targets = drawn(seed, ties=ties)
    assert precision(scores, targets) == pytest.approx(brute(scores, targets), abs=1e-12)


def test_by_hand():
    """Right, wrong, right: precision 1 at recall 1/2, 2/3 at recall 1."""
    assert precision([3, 2, 1], [1, -1, 1]) == pytest.approx((1 + 2 / 3) / 2)
    assert precision([3, 2, 1], [-1, 1, 1]) == pytest.approx(2 / 3)  # the later, better precision counts for both
    assert precision([3, 2, 1], [1, 1, -1]) == 1.0 and precision([1, 2, 3, 4], [1, -1, -1, -1]) == 0.25


def test_it_is_at_least_scikit_learns_which_takes_no_later_precision():
    higher = 0
    for seed in range(20):
        scores, targets = drawn(seed)
        theirs = average_precision_score(targets[targets != 0] == 1, scores[targets != 0])
        assert precision(scores, targets) >= theirs - 1e-12
        higher += precision(scores, targets) > theirs + 1e-6
    assert higher > 10


def test_difficult_images_have_no_say():
    scores, targets = drawn(3)
    easy = targets != 0
    assert (~easy).any() and precision(scores, targets) == precision(scores[easy], targets[easy])
    shuffled = np.where(easy, scores, 100.0)
    assert precision(shuffled, targets) == precision(scores, targets)


def test_a_class_that_no_image_shows_is_no_number_and_no_part_of_the_mean():
    scores = np.array([[0.9, 0.1], [0.2, 0.4], [0.4, 0.3]])
    targets = np.array([[1, -1], [-1, 0], [1, -1]], np.int8)
    precisions = average_precisions(class_rankings(scores, targets), 3)
    assert precisions[0] == 1.0 and np.isnan(precisions[1])
    assert mean_precision_interval(class_rankings(scores, targets), 3).value == 1.0
    assert np.isnan(mean_precision_interval(class_rankings(scores, targets)[1:], 3).value)


def test_images_taken_twice_are_images_that_are_there_twice():
    scores, targets = drawn(5, n=25)
    cases = np.random.default_rng(0).integers(0, 25, 25)
    ranking = class_rankings(scores[:, None], targets[:, None])[0]
    again = ranking.precision(np.bincount(cases, minlength=25))
    assert again == pytest.approx(brute(scores[cases], targets[cases]), abs=1e-12)


def test_the_interval_holds_the_value_and_narrows_with_images():
    widths = []
    for n in (40, 400):
        scores, targets = drawn(1, n=n)
        interval = mean_precision_interval(class_rankings(scores[:, None] + targets[:, None], targets[:, None]), n)
        assert interval.low < interval.value < interval.high and interval.n == n
        widths.append(interval.high - interval.low)
    assert widths[1] < 0.6 * widths[0]


def test_the_metric_of_batches_is_that_of_all_images():
    scores, targets = (np.stack(columns, 1) for columns in zip(*(drawn(seed) for seed in range(3)), strict=True))
    metric = MeanAveragePrecision()
    for part in (slice(0, 7), slice(7, 30), slice(30, 40)):
        metric.update(torch.from_numpy(scores[part]), torch.from_numpy(targets[part]))
    expected = np.mean([brute(scores[:, k].astype(np.float32), targets[:, k]) for k in range(3)])
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
    assert metric.compute().dtype == torch.float32  # on Apple's GPUs too
