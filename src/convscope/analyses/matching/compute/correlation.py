"""Maps of two layers matched one to one by their correlation over all positions of the images, against a null.

The null is the same search with the images of the second net shuffled: position (y, x) of image i is compared with the
same position of another image, so that what places alone explain (bright centers, borders) is part of it. Sums and
cross products are kept, never maps, so that memory does not grow with the images.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from convscope.metrics.intervals import Interval, mean_interval, share_interval

SHUFFLES = 10
QUANTILE = 0.95  # of the null's matched correlations: a map recurs above it
CONSTANT = 1e-10  # a variance below this share of the mean square is none

Numbers = NDArray[np.float64]


class Correlations(NamedTuple):
    """values [C, D]: of every two maps that are not dead. shuffled [S, C, D]: with shuffled images.

    first [C], second [D]: the maps' numbers. maps: how many both layers have.
    """

    values: Numbers
    shuffled: Numbers
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    maps: tuple[int, int]


class MapSums:
    """Sums over the positions of the images seen so far, for the correlations of the maps of two layers.

    shuffles: how many times the images are shuffled, by moving the second net's images of a batch on by 1, 2, ...
    """

    def __init__(self, shuffles: int = SHUFFLES):
        self.shuffles, self.count = shuffles, 0
        self.offsets: tuple[Tensor, Tensor] | None = None  # subtracted, so that float32 products stay exact
        self.sums: list[list[Tensor]] = []  # sum and sum of squares of the first layer, of the second
        self.products = torch.zeros(0)  # [1 + S, C, D] float64

    def add(self, first: Tensor, second: Tensor) -> None:
        """Adds the maps [n, C, h, w] and [n, D, k, l] of the same n images; more than `shuffles` of them."""
        assert len(first) > self.shuffles, "an image would be compared with itself"
        maps = [on_grid.flatten(2).transpose(1, 2) for on_grid in on_one_grid(first, second)]  # [n, P, C]
        if self.offsets is None:
            self.offsets = maps[0].mean((0, 1)), maps[1].mean((0, 1))
            self.sums = [[torch.zeros(of_layer.shape[2], dtype=torch.float64)] * 2 for of_layer in maps]
            channels = maps[0].shape[2], maps[1].shape[2]
            self.products = torch.zeros(1 + self.shuffles, *channels, dtype=torch.float64)
        ours, theirs = (of_layer - offset for of_layer, offset in zip(maps, self.offsets, strict=True))
        self.count += ours.shape[0] * ours.shape[1]
        for number, of_layer in enumerate((ours, theirs)):
            of_batch = of_layer.sum((0, 1)), of_layer.square().sum((0, 1))
            self.sums[number] = [
                total + part.cpu().double() for total, part in zip(self.sums[number], of_batch, strict=True)
            ]
        flat = ours.flatten(0, 1).T  # [C, n * P]
        for shift in range(1 + self.shuffles):
            self.products[shift] += (flat @ theirs.roll(shift, 0).flatten(0, 1)).cpu().double()

    def correlations(self) -> Correlations:
        """The correlations of all maps that are not the same number everywhere."""
        assert self.offsets is not None, "no images were added"
        means, deviations, alive = [], [], []
        for offset, (total, squares) in zip(self.offsets, self.sums, strict=True):
            mean = total / self.count
            variance = (squares / self.count - mean.square()).clamp(min=0)
            means.append(mean)
            deviations.append(variance.sqrt())
            level = offset.cpu().double() + mean
            alive.append((variance > CONSTANT * (variance + level.square())).nonzero().flatten())
        covariance = self.products / self.count - means[0][:, None] * means[1]
        first, second = alive
        scale = deviations[0][first][:, None] * deviations[1][second]
        values = (covariance[:, first][:, :, second] / scale).clamp(-1, 1).numpy()
        maps = len(means[0]), len(means[1])
        return Correlations(values[0], values[1:], first.numpy(), second.numpy(), maps)


def on_one_grid(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both layers' maps on the coarser of their grids, by means over areas (adaptive average pooling)."""
    rows, cols = (min(sizes) for sizes in zip(first.shape[2:], second.shape[2:], strict=True))
    pooled = [
        maps if maps.shape[2:] == (rows, cols) else F.adaptive_avg_pool2d(maps, (rows, cols))
        for maps in (first, second)
    ]
    return pooled[0], pooled[1]


class LayerMatch(NamedTuple):
    """The maps of two layers matched one to one. first, second [m]: their numbers, the strongest match first.

    correlation [m]. shuffled [m]: of the same two maps with shuffled images, their mean. null [S, m]: the matched
    correlations of each shuffle. maps, dead: how many both layers have, and how many are the same everywhere.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    correlation: Numbers
    shuffled: Numbers
    null: Numbers
    maps: tuple[int, int]
    dead: tuple[int, int]

    @property
    def threshold(self) -> float:
        """The correlation above which a map recurs: that 95 % of the null's matches do not reach; nan without maps."""
        return float(np.quantile(self.null, QUANTILE)) if self.null.size else float("nan")

    @property
    def recurs(self) -> NDArray[np.bool_]:
        """[m]: whether the match is stronger than those of shuffled images."""
        return self.correlation > self.threshold

    @property
    def share(self) -> Interval:
        """The share of matched maps that recur, with Wilson's interval over maps."""
        count = len(self.first)
        return share_interval(int(self.recurs.sum()), count) if count else NO_MAPS

    @property
    def mean(self) -> Interval:
        """The mean correlation of matched maps, with a bootstrap interval over maps."""
        return mean_interval(self.correlation, bounds=(-1, 1)) if len(self.first) else NO_MAPS


NO_MAPS = Interval(float("nan"), float("nan"), float("nan"), 0)


def match_maps(correlations: Correlations) -> LayerMatch:
    """The one-to-one matching with the largest sum of correlations; as many pairs as the smaller layer has maps."""
    values = correlations.values
    rows, cols = linear_sum_assignment(values, maximize=True)
    order = np.argsort(-values[rows, cols], kind="stable")
    rows, cols = rows[order], cols[order]
    null = [shuffled[linear_sum_assignment(shuffled, maximize=True)] for shuffled in correlations.shuffled]
    maps, alive = correlations.maps, (len(correlations.first), len(correlations.second))
    return LayerMatch(
        first=correlations.first[rows],
        second=correlations.second[cols],
        correlation=values[rows, cols],
        shuffled=correlations.shuffled[:, rows, cols].mean(0),
        null=np.array(null).reshape(len(null), -1),
        maps=maps,
        dead=(maps[0] - alive[0], maps[1] - alive[1]),
    )
