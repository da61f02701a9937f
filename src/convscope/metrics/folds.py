"""Which images a classifier learns from and which it is tested on, drawn several times.

The protocol of Zeiler & Fergus, section 5.2: 15 or 30 images of each class for training, up to 50 other images of the
class for the test, mean accuracy per class, five folds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UserError

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
