"""How well a frozen net's features separate the classes of another data set (sections 5.2 and 5.4, Tables 4, 5, 7)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.transfer.about import TransferConfig
from convscope.analyses.transfer.compute.features_on_disk import BLOCK, OnDisk, vectors
from convscope.engine.blocks import default_layers
from convscope.engine.hidden_layers import hidden
from convscope.engine.progress import track
from convscope.metrics.folds import Fold, folds, mean_class_accuracy
from convscope.metrics.linear_probe import Kind, chosen_c, coordinates, fit
from convscope.models.build import ConvNet
from convscope.models.rows import Full

KINDS = ("svm", "softmax")


class Trial(NamedTuple):
    """One classifier, fitted and tested. c: the C that was chosen. accuracy: mean over the classes, a share."""

    net: str
    layer: str
    classifier: Kind
    per_class: int
    fold: int
    c: float
    accuracy: float


def transferred_layers(net: nn.Module, image_size: int) -> list[str]:
    """Every convolution and hidden full row of a row net; of another net up to five convolutions and the last layer."""
    if isinstance(net, ConvNet):
        full = [name for name, row in net.rows.items() if isinstance(row, Full)]
        return default_layers(net, image_size) + full[:-1]
    return list(dict.fromkeys([*default_layers(net, image_size), hidden(net, image_size).last]))


def trials(
    kept: Mapping[str, OnDisk], names: Sequence[str], plan: TransferConfig, seed: int, device: torch.device
) -> Iterator[Trial]:
    """Every net, layer, fold, number of images and classifier, all from the features on disk.

    All see the same folds. device: where the fitting is done. Raises UserError where a class has too few images.
    """
    sizes = sorted(set(plan.per_class))
    labels = next(iter(kept.values())).labels
    drawn = folds(labels, names, sizes[-1], plan.test_per_class, plan.folds, seed)
    every = [(net, layer, number) for net in kept for layer in kept[net].layers for number in range(plan.folds)]
    for net, layer, number in track(every, "classifiers on the features"):
        fold = drawn[number]
        gram, cross = products(kept[net].layers[layer], fold, sizes[-1], plan.unit_length, device)
        for per_class in sizes:
            first = np.flatnonzero(np.arange(len(gram)) % sizes[-1] < per_class)
            learned = gram[first][:, first], cross[:, first]
            known = labels[fold.of(per_class)], labels[fold.test]
            found = _accuracies(learned, known, plan)
            yield from (Trial(net, layer, kind, per_class, number, *each) for kind, each in found.items())


def accuracies(tried: Sequence[Trial], layer: str, kind: Kind, per_class: int, net: str) -> NDArray[np.float64]:
    """The accuracies [folds] of a net's layer in the order of the folds: two can be compared fold by fold."""
    wanted = (net, layer, kind, per_class)
    found = [one for one in tried if (one.net, one.layer, one.classifier, one.per_class) == wanted]
    return np.array([one.accuracy for one in sorted(found, key=lambda one: one.fold)])


def products(
    held: NDArray[np.floating], fold: Fold, per_class: int, unit_length: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Inner products of training images with each other [n, n] and of test images with them [T, n]."""
    train = vectors(held, fold.of(per_class), unit_length).to(device)
    starts = range(0, len(fold.test), BLOCK)
    tested = [vectors(held, fold.test[start : start + BLOCK], unit_length).to(device) @ train.T for start in starts]
    return train @ train.T, torch.cat(tested)


def _accuracies(
    products: tuple[Tensor, Tensor], labels: tuple[NDArray[np.int64], NDArray[np.int64]], plan: TransferConfig
) -> dict[Kind, tuple[float, float]]:
    """Of each classifier the chosen C and the mean accuracy per class. labels: of training and of test images."""
    gram, classes = products[0], int(labels[0].max()) + 1
    known = torch.from_numpy(labels[0]).to(gram.device)
    chosen = chosen_c(gram, known, classes, plan.classifiers, sorted(plan.c))
    place = coordinates(*products)
    found: dict[Kind, tuple[float, float]] = {}
    for kind, c in chosen.items():
        said = fit(place.train, known, classes, kind, c).scores(place.test).argmax(1)
        found[kind] = float(c), mean_class_accuracy(said.cpu().numpy(), labels[1])
    return found
