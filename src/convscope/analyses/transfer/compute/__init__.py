"""How well a frozen net's features separate the classes of other images (sections 5.2 and 5.4, Tables 4 to 7).

Linear classifiers on features that `feature_pass` computes and `feature_files` keeps on disk. Images that show one
class are drawn anew for every fold; of images that show several, train fits the classifiers and val tests them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.evaluation.compute.multilabel import ClassRankings
from convscope.analyses.subject import Subject
from convscope.analyses.transfer.about import TransferConfig
from convscope.analyses.transfer.compute.feature_files import READ_AT_ONCE, SPLITS, StoredFeatures, read_vectors
from convscope.engine.blocks import default_layers
from convscope.engine.layers import layer_roles
from convscope.engine.progress import track
from convscope.engine.trace import ImageSize
from convscope.metrics.linear_probe import Fold, ProbeKind, choose_c, coordinates, fit_probe, folds, mean_class_accuracy
from convscope.metrics.multilabel import average_precisions, class_certainty, class_rankings
from convscope.models.build import ConvNet
from convscope.models.rows import LinearRow


class Trial(NamedTuple):
    """One classifier, fitted and tested. c: the C that was chosen. accuracy: mean over the classes, a share."""

    net: str
    layer: str
    classifier: ProbeKind
    per_class: int
    fold: int
    c: float
    accuracy: float


class TransferResults(NamedTuple):
    """Every trial, those of the subject's net first. layers: from the pixels up."""

    subject: Subject
    layers: list[str]
    trials: list[Trial]

    @property
    def sizes(self) -> list[int]:
        """Training images of a class, ascending."""
        return sorted({trial.per_class for trial in self.trials})

    @property
    def kinds(self) -> list[ProbeKind]:
        """Kinds of classifiers, in the order of the trials."""
        return list(dict.fromkeys(trial.classifier for trial in self.trials))

    @property
    def nets(self) -> list[str]:
        """Names of the nets, the subject's first."""
        return list(dict.fromkeys(trial.net for trial in self.trials))

    def folds(self, layer: str, kind: ProbeKind, per_class: int, net: str | None = None) -> NDArray[np.float64]:
        """Accuracies in percent [folds] in the order of the folds, so that two can be compared fold by fold.

        net: None for the subject's.
        """
        key = (net or self.nets[0], layer, kind, per_class)
        by_fold = {
            trial.fold: trial.accuracy
            for trial in self.trials
            if (trial.net, trial.layer, trial.classifier, trial.per_class) == key
        }
        return 100 * np.array([by_fold[fold] for fold in sorted(by_fold)])

    def percent(self, layer: str, kind: ProbeKind, per_class: int, net: str | None = None) -> tuple[float, float]:
        """Mean over the folds, and their standard deviation (0 for one fold)."""
        accuracies = self.folds(layer, kind, per_class, net)
        return float(accuracies.mean()), float(accuracies.std(ddof=1)) if len(accuracies) > 1 else 0.0

    def text(self, layer: str, kind: ProbeKind, per_class: int, net: str | None = None) -> str:
        """Mean ± standard deviation in percent, as tables show it."""
        return "{:.1f} ± {:.1f}".format(*self.percent(layer, kind, per_class, net))

    def best(self) -> tuple[str, ProbeKind]:
        """The layer and the classifier of the subject's net with the highest accuracy at most training images."""
        pairs = [(layer, kind) for layer in self.layers for kind in self.kinds]
        return max(pairs, key=lambda pair: self.percent(pair[0], pair[1], self.sizes[-1])[0])


class MultilabelFit(NamedTuple):
    """One linear classifier on a layer, with the C that was chosen, and how it ranks the validation images."""

    net: str
    layer: str
    classifier: ProbeKind
    c: float
    ranked: ClassRankings


def transferred_layers(net: nn.Module, image_size: ImageSize) -> list[str]:
    """Every convolution and hidden full row of a row net; of another net up to five convolutions and the last layer."""
    if isinstance(net, ConvNet):
        full = [name for name, row in net.rows.items() if isinstance(row, LinearRow)]
        return default_layers(net, image_size) + full[:-1]
    return list(dict.fromkeys([*default_layers(net, image_size), layer_roles(net, image_size).last]))


def trials(
    stored: Mapping[str, StoredFeatures], names: Sequence[str], plan: TransferConfig, seed: int, device: torch.device
) -> Iterator[Trial]:
    """Yields a trial for every net, layer, fold, number of training images and classifier, all on the same folds.

    names: of the classes. device: where the fitting is done. Raises UserError where a class has too few images.
    """
    sizes = sorted(set(plan.per_class))
    labels = next(iter(stored.values())).labels
    all_folds = folds(labels, names, sizes[-1], plan.test_per_class, plan.folds, seed)
    steps = [(net, layer, number) for net in stored for layer in stored[net].layers for number in range(plan.folds)]
    for net, layer, number in track(steps, "classifiers on the features"):
        fold = all_folds[number]
        gram, cross = inner_products(stored[net].layers[layer], fold, sizes[-1], plan.unit_length, device)
        for per_class in sizes:
            first = np.flatnonzero(np.arange(len(gram)) % sizes[-1] < per_class)
            products = gram[first][:, first], cross[:, first]
            train_and_test = labels[fold.of(per_class)], labels[fold.test]
            results = _probe_accuracies(products, train_and_test, plan)
            yield from (Trial(net, layer, kind, per_class, number, *result) for kind, result in results.items())


def inner_products(
    features: NDArray[np.floating], fold: Fold, per_class: int, unit_length: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Inner products of training images with each other [n, n] and of test images with them [T, n]."""
    train = read_vectors(features, fold.of(per_class), unit_length).to(device)
    starts = range(0, len(fold.test), READ_AT_ONCE)
    test_parts = (read_vectors(features, fold.test[start : start + READ_AT_ONCE], unit_length) for start in starts)
    return train @ train.T, torch.cat([part.to(device) @ train.T for part in test_parts])


def _probe_accuracies(
    products: tuple[Tensor, Tensor], labels: tuple[NDArray[np.int64], NDArray[np.int64]], plan: TransferConfig
) -> dict[ProbeKind, tuple[float, float]]:
    """The chosen C and the mean accuracy per class of each classifier. labels: of training and of test images."""
    gram, classes = products[0], int(labels[0].max()) + 1
    train_labels = torch.from_numpy(labels[0]).to(gram.device)
    chosen = choose_c(gram, train_labels, classes, plan.classifiers, sorted(plan.c))
    place = coordinates(*products)
    results: dict[ProbeKind, tuple[float, float]] = {}
    for kind, c in chosen.items():
        predicted = fit_probe(place.train, train_labels, classes, kind, c).scores(place.test).argmax(1)
        results[kind] = float(c), mean_class_accuracy(predicted.cpu().numpy(), labels[1])
    return results


def multilabel_fits(
    stored: Mapping[str, StoredFeatures], subject: Subject, plan: TransferConfig, device: torch.device
) -> Iterator[MultilabelFit]:
    """Yields a fit for every net, layer and classifier: on all training images, ranking all validation images.

    The set's own split takes the place of folds and of images per class. Of several C the one with the best mean
    average precision on every fifth training image, when fitted on the rest, is chosen.
    """
    train, val = (subject.data.targets(split, range(subject.data.size(split))) for split in SPLITS)
    positions = np.arange(len(train) + len(val))
    fold = Fold(positions[None, : len(train)], positions[len(train) :])
    pairs = [(net, layer) for net in stored for layer in stored[net].layers]
    for net, layer in track(pairs, "classifiers on the features"):
        gram, cross = inner_products(stored[net].layers[layer], fold, len(train), plan.unit_length, device)
        place = coordinates(gram, cross)
        for kind in plan.classifiers:
            c = _multilabel_c(gram, train, kind, sorted(plan.c))
            scores = fit_probe(place.train, train.to(device), train.shape[1], kind, c).scores(place.test)
            by_class = class_rankings(_ranking_scores(scores, kind), val.numpy())
            yield MultilabelFit(net, layer, kind, float(c), ClassRankings(f"{kind} on {layer}", by_class, len(val)))


def _ranking_scores(scores: Tensor, kind: ProbeKind) -> NDArray[np.float64]:
    """Scores [N, K] by which images are ranked: an SVM's distances, a softmax's probabilities."""
    return (scores if kind == "svm" else class_certainty(scores, "softmax")).cpu().numpy()


def _multilabel_c(gram: Tensor, targets: Tensor, kind: ProbeKind, candidates: Sequence[float]) -> float:
    """The best C, of equals the smallest; of one candidate, or with no fifth image, the middle one."""
    held_out = torch.arange(len(targets)) % 5 == 4
    if len(candidates) == 1 or not held_out.any():
        return candidates[len(candidates) // 2]
    fit_targets, test_targets = targets[~held_out].to(gram.device), targets[held_out].numpy()
    place = coordinates(gram[~held_out][:, ~held_out], gram[held_out][:, ~held_out])
    precisions = []
    for c in candidates:
        scores = fit_probe(place.train, fit_targets, fit_targets.shape[1], kind, c).scores(place.test)
        of_classes = average_precisions(class_rankings(_ranking_scores(scores, kind), test_targets), len(test_targets))
        precisions.append(0.0 if np.isnan(of_classes).all() else float(np.nanmean(of_classes)))
    return candidates[precisions.index(max(precisions))]
