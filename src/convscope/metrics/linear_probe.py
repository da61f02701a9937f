"""Linear classifiers on frozen features, and the folds of images that they learn from (section 5.2)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import UserError
from convscope.metrics.multilabel import softmax_targets

ProbeKind = Literal["svm", "softmax"]
STEPS = 300  # the most that L-BFGS takes


class Coordinates(NamedTuple):
    """Images as points for a linear classifier: train [n, r], test [T, r], float64, r < n."""

    train: Tensor
    test: Tensor


class LinearProbe(NamedTuple):
    """A linear classifier: weight [K, r], bias [K]."""

    weight: Tensor
    bias: Tensor

    def scores(self, images: Tensor) -> Tensor:
        """Scores [N, K] of images with coordinates [N, r]: images @ weight.T + bias."""
        return images @ self.weight.T + self.bias


def coordinates(gram: Tensor, cross: Tensor) -> Coordinates:
    """Coordinates from inner products of features: gram [n, n] of training images, cross [T, n] of test with training.

    Coordinates lie along the principal axes of the training images, strongest first. Features are centered at the mean
    of the training images, which an unpenalized bias allows, and divided by their RMS distance from that mean, so that
    a C means the same for every layer (ours). Axes along which training images differ by less than rounding are left
    out.
    """
    gram, cross = gram.double(), cross.double()
    mean = gram.mean(0)
    centered = gram - mean - mean[:, None] + mean.mean()
    crossed = cross - mean - cross.mean(1, keepdim=True) + mean.mean()
    spread = centered.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    strengths, axes = torch.linalg.eigh(centered / spread)
    distinct = (strengths > 1e-7).nonzero().flatten().flip(0)
    axes, lengths = axes[:, distinct], strengths[distinct].sqrt()
    return Coordinates(axes * lengths, crossed @ axes / (spread * lengths))


def fit_probe(images: Tensor, labels: Tensor, classes: int, kind: ProbeKind, c: float) -> LinearProbe:
    """The classifier that minimizes |weight|^2 / 2 + c * (sum of losses), as scikit-learn defines C. The bias is free.

    images: [n, r] float64 with uncorrelated columns, as `coordinates` returns them. labels: [n], or targets [n, K] of
    images that show several classes (metrics/multilabel.py). svm: squared hinge, each class against the rest; a class
    that is difficult to see adds no gradient. softmax: cross-entropy against `softmax_targets`. Columns are scaled by
    the curvature along them, which halves the steps of L-BFGS.
    """
    n, curvature = len(images), {"svm": 2.0, "softmax": 1 / classes}[kind]
    scale = (curvature * images.square().mean(0) + 1 / (c * n)).rsqrt()
    scaled, penalty = images * scale, scale.square() / (2 * c * n)
    weight = images.new_zeros(classes, images.shape[1]).requires_grad_()
    bias = images.new_zeros(classes).requires_grad_()
    several = labels.dim() == 2
    signs = (labels if several else 2 * F.one_hot(labels, classes) - 1).to(images.dtype)
    aim = softmax_targets(labels).to(images.dtype) if several else labels
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=STEPS, tolerance_grad=1e-5, tolerance_change=1e-8, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        scores = torch.addmm(bias, scaled, weight.T)
        loss = (1 - signs * scores).clamp_min(0).square().sum() / n if kind == "svm" else F.cross_entropy(scores, aim)
        value = loss + (weight.square() * penalty).sum()
        value.backward()
        return value

    solver.step(objective)
    return LinearProbe(weight.detach() * scale, bias.detach())


def choose_c(
    gram: Tensor, labels: Tensor, classes: int, kinds: Sequence[ProbeKind], candidates: Sequence[float]
) -> dict[ProbeKind, float]:
    """For each kind the C that does best on every fifth image of a class after fitting on the other images.

    gram: [n, n] of the training images. labels: [n]. The smallest C wins among equals. With one candidate, or one image
    of each class, nothing can be compared: the middle candidate is taken.
    """
    held_out = _place_in_class(labels) % 5 == 1
    if len(candidates) == 1 or not held_out.any():
        return dict.fromkeys(kinds, candidates[len(candidates) // 2])
    points = coordinates(gram[~held_out][:, ~held_out], gram[held_out][:, ~held_out])
    best: dict[ProbeKind, float] = {}
    for kind in kinds:
        right = []
        for c in candidates:
            answers = fit_probe(points.train, labels[~held_out], classes, kind, c).scores(points.test).argmax(1)
            right.append(int((answers == labels[held_out]).sum()))
        best[kind] = candidates[right.index(max(right))]
    return best


def _place_in_class(labels: Tensor) -> Tensor:
    """[n]: the number of images of the same class before each image."""
    same = F.one_hot(labels)
    return (same.cumsum(0) * same).sum(1) - 1


Positions = NDArray[np.int64]


class Fold(NamedTuple):
    """train [K, n]: positions of n images of each class. test [T]: positions of other images, ascending."""

    train: Positions
    test: Positions

    def of(self, per_class: int) -> Positions:
        """[K * per_class]: the first images of each class, so that those for 5 are among those for 10."""
        return self.train[:, :per_class].flatten()


def folds(
    labels: Positions, names: Sequence[str], per_class: int, test_per_class: int, count: int, seed: int
) -> list[Fold]:
    """`count` folds of images with these labels [N] (0 to K - 1). Each fold is drawn anew from the seed and its number.

    The test images are the same for every smaller per_class of a fold (our choice). Raises UserError with the class
    that has too few images for training and a test.
    """
    members = [np.flatnonzero(labels == label) for label in range(len(names))]
    too_small = {name: len(images) for name, images in zip(names, members, strict=True) if len(images) <= per_class}
    if too_small:
        name, size = min(too_small.items(), key=lambda item: item[1])
        classes = f" ({len(too_small)} classes have too few)" if len(too_small) > 1 else ""
        raise UserError(
            f"transfer.per_class={per_class} asks for {per_class} training images of each class and one more to test, "
            f"but {name} has {size} images{classes}; type transfer.per_class=[{max(size - 1, 1)}] "
            "or fewer, or add images"
        )
    return [_fold(members, per_class, test_per_class, np.random.default_rng([seed, number])) for number in range(count)]


def mean_class_accuracy(predicted: Positions, labels: Positions) -> float:
    """Share of right answers in each class, averaged over the classes that occur in `labels` [T]."""
    right = predicted == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _fold(members: Sequence[Positions], per_class: int, test_per_class: int, draw: np.random.Generator) -> Fold:
    orders = [draw.permutation(images) for images in members]
    train = np.stack([order[:per_class] for order in orders])
    test = np.concatenate([order[per_class : per_class + test_per_class] for order in orders])
    return Fold(train, np.sort(test))
