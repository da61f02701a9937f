"""The nearest of many images in a layer's features, found in passing (Krizhevsky et al. 2012, section 6.1).

Exact: a distance is the length of the difference itself, in float64. The quicker |a|^2 + |b|^2 - 2ab cancels where
images are alike, which is just where the order matters. Only the k nearest of each query are kept, and distances are
taken for a block of images at a time, so memory does not grow with their number. Equal distances are ordered by image
index: any split of the images over batches and processes gives the same answer.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 2**22  # float64 values of each side that are compared at a time


class Nearest(NamedTuple):
    """Of Q queries the k nearest images, nearest first; each [Q, k], on the CPU.

    distance float64, Euclidean; index int64. Where fewer images were seen the others are inf and -1.
    """

    distance: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs


def empty_neighbors(queries: int, k: int) -> Nearest:
    """The answer after no images."""
    return Nearest(torch.full((queries, k), torch.inf, dtype=torch.float64), torch.full((queries, k), -1))


def merge_neighbors(one: Nearest, other: Nearest) -> Nearest:
    """The answer for the images of both, which have none in common; as many are kept as in `one`."""
    distance, index = (torch.cat(fields, 1) for fields in zip(one, other, strict=True))
    order = index.argsort(dim=1, stable=True)
    order = order.gather(1, distance.gather(1, order).argsort(dim=1, stable=True))[:, : one.index.shape[1]]
    return Nearest(distance.gather(1, order), index.gather(1, order))


def add_neighbors(found: Nearest, queries: Tensor, features: Tensor, index: Tensor) -> Nearest:
    """The answer when more images have been seen: features [N, D] of the images index [N]; queries [Q, D]."""
    rows = max(1, BLOCK // max(1, features.shape[1]))
    for part, numbers in zip(features.split(rows), index.split(rows), strict=True):
        distance = torch.cat([_distances(some, part) for some in queries.split(rows)])  # [Q, n]
        found = merge_neighbors(found, Nearest(distance, numbers.cpu().expand(len(queries), -1)))
    return found


def _distances(queries: Tensor, features: Tensor) -> Tensor:
    """[Q, n] on the CPU; each from its own pair alone, whatever else is in the batch."""
    if features.device.type not in ("cpu", "cuda"):  # others, such as mps, have no float64
        queries, features = queries.cpu(), features.cpu()
    wide = queries.to(features.device).double(), features.double()
    return torch.cdist(*wide, compute_mode="donot_use_mm_for_euclid_dist").cpu()
