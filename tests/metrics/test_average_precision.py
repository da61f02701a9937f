"""Average precision against the definition, one threshold at a time, and against PASCAL's own devkit by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from convscope.metrics.multilabel import (
    MeanAveragePrecision,
    average_precisions,
    class_rankings,
    mean_precision_interval,
)


def brute(scores, targets):
    """Area under r -> the best precision at any threshold whose recall is at least r, over every recall step."""
    counted = [(score, target) for score, target in zip(scores, targets, strict=True) if target != 0]
    positives = sum(target == 1 for _, target in counted)
    points = []
    for threshold in sorted({score for score, _ in counted}):
        taken = [target for score, target in counted if score >= threshold]
        points.append((sum(target == 1 for target in taken), sum(target == 1 for target in taken) / len(taken)))
    area = sum(max(precision for hits, precision in points if hits >= step) for step in range(1, positives + 1))
    return area / positives


def drawn(seed, n=40, ties=False):
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 6, n).astype(float) if ties else draw.normal(size=n)
    targets = draw.choice([-1, 0, 1], n, p=[0.6, 0.1, 0.3]).astype(np.int8)
    targets[:2] = 1, -1
    return scores, targets


def precision(scores, targets):
    return average_precisions(
        class_rankings(np.array(scores)[:, None], np.array(targets, np.int8)[:, None]), len(scores)
    )[0]


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
    found = average_precisions(class_rankings(scores, targets), 3)
    assert found[0] == 1.0 and np.isnan(found[1])
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
        found = mean_precision_interval(class_rankings(scores[:, None] + targets[:, None], targets[:, None]), n)
        assert found.low < found.value < found.high and found.n == n
        widths.append(found.high - found.low)
    assert widths[1] < 0.6 * widths[0]


def test_the_metric_of_batches_is_that_of_all_images():
    scores, targets = (np.stack(each, 1) for each in zip(*(drawn(seed) for seed in range(3)), strict=True))
    metric = MeanAveragePrecision()
    for part in (slice(0, 7), slice(7, 30), slice(30, 40)):
        metric.update(torch.from_numpy(scores[part]), torch.from_numpy(targets[part]))
    expected = np.mean([brute(scores[:, k].astype(np.float32), targets[:, k]) for k in range(3)])
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
    assert metric.compute().dtype == torch.float32  # on Apple's GPUs too
