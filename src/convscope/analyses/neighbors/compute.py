"""The nearest of many images in a layer's features, by one pass (Krizhevsky et al. 2012, section 6.1).

Exact: a distance is the length of the difference itself, in float64. The quicker |a|^2 + |b|^2 - 2ab cancels where
images are alike, which is just where the order matters. Memory holds the k nearest of each query, and distances of one
block of images at a time, so it does not grow with the number of images. Equal distances are ordered by image index:
any split of the images over batches and processes gives the same answer.
"""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.analyses.subject import Subject
from convscope.data.shared_passes import all_results, gathered, own_parts
from convscope.engine.features import features
from convscope.engine.layers import are_pooled_away
from convscope.engine.progress import track
from convscope.errors import UserError

BLOCK = 2**22  # float64 values of each side that are compared at a time


class Nearest(NamedTuple):
    """The k nearest images of Q queries, nearest first; each field [Q, k], on the CPU.

    distance float64, Euclidean; index int64. After fewer than k images the rest is inf and -1.
    """

    distance: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs

    def of(self, rows: Tensor | int) -> "Nearest":
        """The neighbors of some of the queries, or of a single one."""
        return Nearest(self.distance[rows], self.index[rows])


class Queries(NamedTuple):
    """Validation images index [Q], their features [Q, D] on the net's device, and probabilities [Q, K]."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    features: Tensor
    probability: Tensor


def empty_neighbors(queries: int, k: int) -> Nearest:
    """The neighbors after no images."""
    return Nearest(torch.full((queries, k), torch.inf, dtype=torch.float64), torch.full((queries, k), -1))


def merge_neighbors(first: Nearest, second: Nearest) -> Nearest:
    """The neighbors among the images of both, which have no image in common; as many as in `first`."""
    distance, index = (torch.cat(fields, 1) for fields in zip(first, second, strict=True))
    order = index.argsort(dim=1, stable=True)
    order = order.gather(1, distance.gather(1, order).argsort(dim=1, stable=True))[:, : first.index.shape[1]]
    return Nearest(distance.gather(1, order), index.gather(1, order))


def add_neighbors(nearest: Nearest, queries: Tensor, vectors: Tensor, index: Tensor) -> Nearest:
    """The neighbors after further images: vectors [N, D], the features of images index [N]; queries [Q, D]."""
    rows = max(1, BLOCK // max(1, vectors.shape[1]))
    for part, numbers in zip(vectors.split(rows), index.split(rows), strict=True):
        distance = torch.cat([_distances(block, part) for block in queries.split(rows)])  # [Q, n]
        nearest = merge_neighbors(nearest, Nearest(distance, numbers.cpu().expand(len(queries), -1)))
    return nearest


def _distances(queries: Tensor, vectors: Tensor) -> Tensor:
    """Distances [Q, n] on the CPU; each depends on its pair alone, whatever else is in the batch."""
    if vectors.device.type not in ("cpu", "cuda"):  # others, such as mps, have no float64
        queries, vectors = queries.cpu(), vectors.cpu()
    wide = queries.to(vectors.device).double(), vectors.double()
    return torch.cdist(*wide, compute_mode="donot_use_mm_for_euclid_dist").cpu()


def query_images(subject: Subject, layer: str, index: Tensor) -> Queries:
    """Features and probabilities of validation images. Raises UserError for features that are not finite."""
    results, vector = list[tuple[Tensor, Tensor]](), vector_of(subject, layer)
    for part in track(own_parts(index.split(64)), "features of the test images"):
        outputs = features(subject.net, subject.data.images("val", part), [layer], vector)
        vectors = _finite(outputs.layers[layer], layer)
        results.append((vectors.cpu(), outputs.logits.float().softmax(1).cpu()))
    all_vectors, probability = zip(*all_results(results), strict=True)
    return Queries(index, torch.cat(all_vectors).to(subject.device), torch.cat(probability))


def nearest_training_images(subject: Subject, layer: str, queries: Tensor, k: int) -> Nearest:
    """The k training images nearest to each query [Q, D], by one pass, which processes may share, without a store.

    Raises UserError for features that are not finite.
    """
    nearest, vector = empty_neighbors(len(queries), k), vector_of(subject, layer)
    batches = subject.data.ordered_dataloader("train", subject.device)
    for batch in track(batches, f"nearest training images in {layer}"):
        vectors = features(subject.net, batch.image, [layer], vector).layers[layer]
        nearest = add_neighbors(nearest, queries, _finite(vectors, layer), batch.index)
    return reduce(merge_neighbors, gathered(nearest))


def vector_of(subject: Subject, layer: str) -> Callable[[Tensor], Tensor]:
    """A function from the layer's output to the vector [N, D] of each image.

    Maps that the net averages before it classifies are averaged over their positions: compared place by place, the
    images with the weakest maps would be nearest to all others.
    """
    if are_pooled_away(subject.net, subject.data.image_shape, layer):
        return lambda output: output.mean((2, 3)) if output.dim() == 4 else output.flatten(1).clone()
    return lambda output: output.flatten(1).clone()


def _finite(vectors: Tensor, layer: str) -> Tensor:
    if not vectors.isfinite().all():
        raise UserError(f"layer {layer} puts out values that are not finite, so nothing is near; choose another net")
    return vectors


def same_class(subject: Subject, index: Tensor, nearest: Nearest) -> Tensor:
    """Whether each neighbor is of its query's class [Q, k]. index [Q]: the queries, validation images."""
    labels = subject.data.labels("val", index)
    return subject.data.labels("train", nearest.index.flatten()).view_as(nearest.index) == labels[:, None]


def chance_of_same_class(subject: Subject, index: Tensor) -> float:
    """How often a training image drawn blindly is of the class of one of these validation images."""
    classes = subject.data.labels("train", range(subject.data.size("train")))
    shares = classes.bincount(minlength=len(subject.data.classes)).double() / len(classes)
    return float(shares[subject.data.labels("val", index)].mean())


def count_doubles(subject: Subject, index: Tensor, nearest: Tensor) -> int:
    """How many validation images index [Q] equal their nearest training image [Q], pixel for pixel.

    Compared by pixels, because distances differ a little with the batch.
    """
    doubles = 0
    for queries, neighbors in zip(index.split(64), nearest.split(64), strict=True):
        pixels, closest = subject.data.pixels("val", queries), subject.data.pixels("train", neighbors)
        doubles += int((pixels == closest).flatten(1).all(1).sum())
    return doubles
