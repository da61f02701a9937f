"""Linear CKA of layers: how alike two layers arrange the same images, however their maps share the work.

Kornblith et al. 2019, "Similarity of neural network representations revisited", with the unbiased estimate of HSIC
(Song et al. 2012) summed over batches (Nguyen et al. 2021, "Do wide and deep networks learn the same things?"), so that
images are never all in memory and layers of many units are not alike by chance.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.metrics.intervals import Interval, bootstrap_interval

Numbers = NDArray[np.float64]


class Cka(NamedTuple):
    """values [L, M]: of the layers of the first net with those of the second; nan where a layer is constant.

    shuffled [S, L, M]: with the images of the second net shuffled. Both, and the interval, from HSIC by batch:
    cross [B, L, M], first [B, L], second [B, M].
    """

    values: Numbers
    shuffled: Numbers
    cross: Numbers
    first: Numbers
    second: Numbers

    def interval(self, layer: int, column: int) -> Interval:
        """The value of two layers with its bootstrap interval over batches of images."""
        cross, ours, theirs = self.cross[:, layer, column], self.first[:, layer], self.second[:, column]

        def of_batches(batches: NDArray[np.int64]) -> Numbers:
            return _ratio(cross[batches].sum(-1), ours[batches].sum(-1), theirs[batches].sum(-1))

        if not np.isfinite(self.values[layer, column]):
            return Interval(float("nan"), -np.inf, np.inf, len(cross))
        interval = bootstrap_interval(len(cross), of_batches, vectorized=True)
        if len(cross) < 2:
            return interval
        return interval._replace(low=max(-1.0, interval.low), high=min(1.0, interval.high))


class CkaSums:
    """HSIC of every two layers, batch by batch."""

    def __init__(self, shuffles: int):
        self.shuffles = shuffles
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []  # [1 + S, L, M], [L], [M]

    def add(self, first: list[Tensor], second: list[Tensor]) -> None:
        """Adds the features [n, ...] of the layers of both nets for the same n images, at least four."""
        ours, theirs = (torch.stack([similarities(layer) for layer in layers]) for layers in (first, second))  # [L,n,n]
        pairs = len(first[0]) * (len(first[0]) - 3)
        shifted = torch.stack([theirs.roll((shift, shift), (1, 2)) for shift in range(1 + self.shuffles)])
        cross = torch.einsum("lij,smij->slm", ours, shifted) / pairs
        self.batches.append((cross, ours.square().sum((1, 2)) / pairs, theirs.square().sum((1, 2)) / pairs))

    def cka(self) -> Cka:
        """CKA over all batches."""
        cross, ours, theirs = (torch.stack(values).numpy() for values in zip(*self.batches, strict=True))
        values = _ratio(cross.sum(0), ours.sum(0)[:, None], theirs.sum(0))
        return Cka(values[0], values[1:], cross[:, 0], ours, theirs)


def similarities(features: Tensor) -> Tensor:
    """[n, n] float64 on the CPU: products of the images' features [n, ...], U-centered: no row has a mean, and no image
    counts with itself, so that the sum of products of two such tables, over n (n - 3), is HSIC without bias.
    """
    flat = features.flatten(1).float()
    flat = flat - flat.mean(0)
    products = (flat @ flat.T).cpu().double()
    count = len(products)
    products.fill_diagonal_(0)
    rows = products.sum(1) / (count - 2)
    centered = products - rows[:, None] - rows + products.sum() / ((count - 1) * (count - 2))
    return centered.fill_diagonal_(0)


def _ratio(cross: Numbers, ours: Numbers, theirs: Numbers) -> Numbers:
    product = ours * theirs
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(product > 0, cross / np.sqrt(product), np.nan)
