"""Folds: training and test images are disjoint, of the right classes, and drawn by seed and number."""

import numpy as np
import pytest

from convscope.errors import UserError
from convscope.metrics.linear_probe import folds, mean_class_accuracy

LABELS = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [12, 9, 70]))
NAMES = ["ant", "bee", "cat"]


def test_folds_are_disjoint_and_hold_what_was_asked_for():
    for fold in folds(LABELS, NAMES, 6, 50, 4, seed=0):
        learned, tested = set(fold.train.flatten().tolist()), fold.test.tolist()
        assert len(learned) == 18 and not learned & set(tested) and len(set(tested)) == len(tested)
        assert [LABELS[row].tolist() for row in fold.train] == [[0] * 6, [1] * 6, [2] * 6]
        assert np.bincount(LABELS[fold.test]).tolist() == [6, 3, 50]  # up to 50 others


def test_few_training_images_are_among_the_many():
    fold = folds(LABELS, NAMES, 6, 50, 1, seed=0)[0]
    two_each = fold.of(2)
    assert LABELS[two_each].tolist() == [0, 0, 1, 1, 2, 2] and set(two_each) < set(fold.of(6))


def test_the_seed_and_the_number_decide():
    first, again, second = (folds(LABELS, NAMES, 6, 50, 3, seed) for seed in (0, 0, 1))
    same = [np.array_equal(fold.train, repeated.train) for fold, repeated in zip(first, again, strict=True)]
    assert all(same) and not np.array_equal(first[0].train, second[0].train)
    assert not np.array_equal(first[0].train, first[1].train)
    assert np.array_equal(folds(LABELS, NAMES, 6, 50, 1, 0)[0].test, first[0].test)  # more folds change none


def test_a_fold_larger_than_a_class_names_it():
    message = r"transfer.per_class=9 asks for 9 .* but bee has 9 images; type transfer.per_class=\[8\]"
    with pytest.raises(UserError, match=message):
        folds(LABELS, NAMES, 9, 50, 1, 0)
    with pytest.raises(UserError, match=r"but bee has 9 images \(2 classes have too few\)"):
        folds(LABELS, NAMES, 30, 50, 1, 0)


def test_mean_class_accuracy_by_counting():
    labels, answers = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 0, 0])
    by_class = [[int(s == t) for s, t in zip(answers, labels, strict=True) if t == name] for name in range(3)]
    assert mean_class_accuracy(answers, labels) == pytest.approx(sum(sum(hits) / len(hits) for hits in by_class) / 3)
