"""The linear classifiers against scikit-learn's, closed forms, and features in place of inner products."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from convscope.metrics.linear_probe import choose_c, coordinates, fit_probe


def clouds(seed=0, apart=1.5, n=60, size=200):
    """Features [n, size] of three classes, more features than images, and the same for a test."""
    draw = torch.Generator().manual_seed(seed)
    centers = apart * torch.randn(3, size, generator=draw) / size**0.5
    labels = torch.arange(n) % 3
    noise = torch.randn(2, n, size, generator=draw) / size**0.5
    return centers[labels] + noise[0], centers[labels] + noise[1], labels


def places(train, test):
    return coordinates(train @ train.T, test @ train.T)


def standard(train, test):
    """Features as `coordinates` means them, computed on the features themselves."""
    train, test = train.double(), test.double()
    mean = train.mean(0)
    spread = (train - mean).square().sum(1).mean().sqrt()
    return (train - mean) / spread, (test - mean) / spread


@pytest.mark.parametrize("size", [200, 7])  # more features than images, and fewer
def test_coordinates_have_the_inner_products_of_the_features(size):
    train, test, _ = clouds(size=size)
    place, (train_features, test_features) = places(train.double(), test.double()), standard(train, test)
    assert torch.allclose(place.train @ place.train.T, train_features @ train_features.T, atol=1e-6)
    assert torch.allclose(place.test @ place.train.T, test_features @ train_features.T, atol=1e-6)
    assert place.train.shape[1] == min(size, len(train) - 1)


def test_images_that_are_all_alike_leave_nothing_to_go_by():
    same = torch.ones(6, 4)
    place = places(same, same)
    assert place.train.shape == (6, 0)
    scores = fit_probe(place.train, torch.arange(6) % 2, 2, "softmax", 10).scores(place.test)
    assert torch.allclose(scores[:, 0], scores[:, 1], atol=1e-6)


@pytest.mark.parametrize("c", [0.1, 10.0])
def test_softmax_is_scikit_learns(c):
    train, test, labels = clouds()
    place, (train_features, test_features) = places(train, test), standard(train, test)
    peer = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(train_features.numpy(), labels.numpy())
    probabilities = fit_probe(place.train, labels, 3, "softmax", c).scores(place.test).softmax(1)
    assert np.abs(probabilities.numpy() - peer.predict_proba(test_features.numpy())).max() < 2e-3


@pytest.mark.parametrize("c", [0.1, 10.0])
def test_svm_is_scikit_learns(c):
    """LinearSVC penalizes its bias; so large an intercept_scaling makes that vanish."""
    train, test, labels = clouds()
    place, (train_features, test_features) = places(train, test), standard(train, test)
    peer = LinearSVC(C=c, dual=False, tol=1e-12, intercept_scaling=1e3, max_iter=100_000)
    peer.fit(train_features.numpy(), labels.numpy())
    scores = fit_probe(place.train, labels, 3, "svm", c).scores(place.test)
    assert np.abs(scores.numpy() - peer.decision_function(test_features.numpy())).max() < 5e-3


def test_two_points_in_closed_form():
    """At -1 and 1, squared hinge: w minimizes w^2 / 2 + 2 C (1 - w)^2 for either class, so w = 4 C / (1 + 4 C)."""
    train = torch.tensor([[-1.0], [1.0]])
    probe = fit_probe(train.double(), torch.tensor([0, 1]), 2, "svm", 3.0)
    assert probe.weight.flatten().tolist() == pytest.approx([-12 / 13, 12 / 13], abs=1e-4)
    assert probe.bias.tolist() == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize("kind", ["svm", "softmax"])
def test_classes_that_can_be_separated_are(kind):
    train, test, labels = clouds(apart=8)
    place = places(train, test)
    probe = fit_probe(place.train, labels, 3, kind, 100)
    assert (probe.scores(place.train).argmax(1) == labels).all()
    assert (probe.scores(place.test).argmax(1) == labels).all()


def test_one_c_or_one_image_of_a_class_leaves_no_choice():
    gram = torch.eye(3)
    assert choose_c(gram, torch.tensor([0, 1, 2]), 3, ["svm"], [1, 10, 100]) == {"svm": 10}
    assert choose_c(torch.eye(6), torch.arange(6) % 2, 2, ["svm"], [7]) == {"svm": 7}
