"""Linear classifiers on frozen features: a linear SVM and a softmax (Zeiler & Fergus, sections 5.2 and 5.4).

A classifier with an L2 penalty lies in the span of its n training images, so their inner products [n, n] say all that
features of any length can say: `coordinates` turns them into at most n numbers for each image, in which both
classifiers are fitted by L-BFGS in float64. The paper names neither the SVM's loss nor its C: ours are the squared
hinge, one class against the rest, and a C that is given or chosen.

Solvers of our own, because on the same coordinates of 3,060 images in 102 classes, on one core, scikit-learn's
LinearSVC takes 3.6, 3.3 and 1.4 times as long at C of 1, 10 and 100 (benchmarks/transfer.py), and stays on one core
where these are products of matrices on all of them, or on a GPU; its LogisticRegression takes 1.5 times as long to the
same minimum. Neither takes images of several classes. Tests hold both to scikit-learn's.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.metrics.multilabel import softmax_targets

ProbeKind = Literal["svm", "softmax"]
STEPS = 300  # of L-BFGS at most


class Coordinates(NamedTuple):
    """Images as a linear classifier sees them: train [n, r], test [T, r] float64, r < n."""

    train: Tensor
    test: Tensor


class LinearProbe(NamedTuple):
    """weight [K, r], bias [K]: scores are train @ weight.T + bias."""

    weight: Tensor
    bias: Tensor

    def scores(self, images: Tensor) -> Tensor:
        """[N, K] of coordinates [N, r]."""
        return images @ self.weight.T + self.bias


def coordinates(gram: Tensor, cross: Tensor) -> Coordinates:
    """Coordinates with the inner products of features: gram [n, n] of training images, cross [T, n] of test with them.

    They lie along the principal axes of the training images, strongest first. Features are centered at the training
    images' mean, which an unpenalized bias allows, and divided by their RMS distance from it, so that one C means the
    same for every layer (ours). Axes along which the training images differ by less than rounding are left out.
    """
    gram, cross = gram.double(), cross.double()
    mean = gram.mean(0)
    centered = gram - mean - mean[:, None] + mean.mean()
    crossed = cross - mean - cross.mean(1, keepdim=True) + mean.mean()
    spread = centered.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    strengths, axes = torch.linalg.eigh(centered / spread)
    kept = (strengths > 1e-7).nonzero().flatten().flip(0)
    axes, lengths = axes[:, kept], strengths[kept].sqrt()
    return Coordinates(axes * lengths, crossed @ axes / (spread * lengths))


def fit_probe(images: Tensor, labels: Tensor, classes: int, kind: ProbeKind, c: float) -> LinearProbe:
    """The classifier that minimizes |weight|^2 / 2 + c * (sum of losses), scikit-learn's meaning of C, bias free.

    images [n, r] float64 with uncorrelated columns, as `coordinates` gives them; labels [n], or targets [n, K] of
    images that show several classes (metrics/multilabel.py). svm: squared hinge, each class against the rest; one that
    is difficult to see pulls neither way. softmax: cross-entropy, against the same share for each class shown. L-BFGS
    goes along columns scaled by the curvature there, which takes half the steps.
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
    """Of each kind the C that does best on every fifth training image of a class when fitted on the others.

    gram [n, n], labels [n]. Of equals the smallest. With one candidate, or one image of a class, nothing can be
    compared: the middle one.
    """
    place = _place_in_class(labels)
    held = place % 5 == 1
    if len(candidates) == 1 or not held.any():
        return dict.fromkeys(kinds, candidates[len(candidates) // 2])
    known = coordinates(gram[~held][:, ~held], gram[held][:, ~held])
    best: dict[ProbeKind, float] = {}
    for kind in kinds:
        right = [
            int(
                (
                    fit_probe(known.train, labels[~held], classes, kind, c).scores(known.test).argmax(1) == labels[held]
                ).sum()
            )
            for c in candidates
        ]
        best[kind] = candidates[right.index(max(right))]
    return best


def _place_in_class(labels: Tensor) -> Tensor:
    """[n]: how many images of the same class stand before each."""
    same = F.one_hot(labels)
    return (same.cumsum(0) * same).sum(1) - 1
