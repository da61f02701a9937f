"""Which classes are taken for which."""

from typing import NamedTuple

import torch
from torch import Tensor


class Confusion(NamedTuple):
    """classes [C]: those that have images, in order. counts [C, C + 1] int64: rows are true, columns answered classes.

    The last column: answers that are none of these classes.
    """

    classes: Tensor
    counts: Tensor


class Mistake(NamedTuple):
    """Images of class `truth` taken for class `answer`: how many, and which share of the class."""

    truth: int
    answer: int
    images: int
    share: float


def confusion(truth: Tensor, answer: Tensor) -> Confusion:
    """Of true and answered classes [N]."""
    classes, row = truth.unique(return_inverse=True)
    place = torch.searchsorted(classes, answer).clamp_max(len(classes) - 1)
    column = torch.where(classes[place] == answer, place, len(classes))
    width = len(classes) + 1
    counts = torch.bincount(row * width + column, minlength=len(classes) * width)
    return Confusion(classes, counts.view(len(classes), width))


def mistakes(truth: Tensor, answer: Tensor, most: int) -> list[Mistake]:
    """The pairs that are confused most often, by images, then by share of the class, then by number."""
    images = {int(label): int(count) for label, count in zip(*truth.unique(return_counts=True), strict=True)}
    wrong = torch.stack([truth, answer], 1)[truth != answer]
    pairs, counts = wrong.unique(dim=0, return_counts=True)
    found = [Mistake(true, said, count, count / images[true])
             for (true, said), count in zip(pairs.tolist(), counts.tolist(), strict=True)]  # fmt: skip
    return sorted(found, key=lambda one: (-one.images, -one.share, one.truth, one.answer))[:most]
