"""Linear classifiers on frozen features: a linear SVM and a softmax (Zeiler & Fergus, sections 5.2 and 5.4).

A classifier with an L2 penalty lies in the span of its n training images. So the inner products [n, n] of these images
carry all that features of any length do: `coordinates` turns them into at most n numbers for each image, in which both
classifiers are fitted by L-BFGS in float64. The paper names neither the SVM's loss nor its C. Ours are the squared
hinge, one class against the rest, and a C from the config or chosen by `choose_c`.

The solvers are our own. On the same coordinates of 3,060 images in 102 classes, on one core, scikit-learn's LinearSVC
takes 3.6, 3.3 and 1.4 times as long at C of 1, 10 and 100 (benchmarks/transfer.py), and never uses a second core or a
GPU; its LogisticRegression takes 1.5 times as long to the same minimum. Neither takes images of several classes. Tests
compare both solvers with scikit-learn's.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

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
