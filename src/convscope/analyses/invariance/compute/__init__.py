"""How far features move when an image is shifted, enlarged or turned (section 4.1, Fig. 5)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.analyses.invariance.about import Fill
from convscope.analyses.invariance.compute.warp import Transform
from convscope.analyses.subject import Examples
from convscope.engine.features import features
from convscope.engine.progress import track
from convscope.errors import UserError

FEW = 16  # images between two steps of the progress bar


class Sweep(NamedTuple):
    """A net's answers for N images under the t values of a transform; on the CPU.

    distance {layer: [N, t]}: Euclidean, from the features of the image itself. probability [N, t]: softmax, of the
    target class. predicted [N, t]: the most probable class.
    """

    transform: Transform
    values: Tensor
    distance: dict[str, Tensor]
    probability: Tensor
    predicted: Tensor


def sweep(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    layers: Sequence[str],
    transform: Transform,
    fill: Fill = "gray",
    batch: int = 64,
) -> Sweep:
    """Passes the images [N, 3, H, W] under every value, about `batch` pictures at a time; only distances stay.

    targets [N]: the class whose probability is followed. A value that changes nothing is the image itself, at distance
    0. Raises UserError for an unknown layer or fill.
    """
    together = max(1, batch // (len(transform.values) + 1))
    parts = zip(images.split(together), targets.split(together), strict=True)
    device = next(net.parameters()).device
    return join_sweeps(
        [_swept(_Passes(net, part.to(device), target, layers, batch), transform, fill) for part, target in parts]
    )


def join_sweeps(sweeps: Sequence[Sweep]) -> Sweep:
    """The sweeps of several sets of images as one."""
    first = sweeps[0]
    distance = {layer: torch.cat([part.distance[layer] for part in sweeps]) for layer in first.distance}
    probability, predicted = (torch.cat(parts) for parts in zip(*(part[3:] for part in sweeps), strict=True))
    return Sweep(first.transform, first.values, distance, probability, predicted)


def sweep_examples(
    net: nn.Module, examples: Examples, layers: Sequence[str], transform: Transform, fill: Fill = "gray"
) -> Sweep:
    """The sweep of example images, for their targets, with a progress bar."""
    parts = list(zip(examples.image.split(FEW), examples.target.split(FEW), strict=True))
    watched = track(parts, f"{transform.name} of {len(examples.index)} images")
    return join_sweeps([sweep(net, image, target, layers, transform, fill) for image, target in watched])


def distance_to_others(net: nn.Module, images: Tensor, layers: Sequence[str], group: int = 50) -> dict[str, Tensor]:
    """Mean distance [N] of each image's features from those of other images, by layer; nan for one image alone.

    The other images are those of its group: as few groups as hold at most `group` images each, every k-th image in the
    same one, so that sorted classes are spread over all of them.
    """
    groups = math.ceil(len(images) / group)
    distance = {layer: torch.full((len(images),), math.nan) for layer in layers}
    for members in (torch.arange(len(images))[start::groups] for start in range(groups)):
        for layer, mean in features(net, images[members], layers, _mean_distance).layers.items():
            distance[layer][members] = mean.float().cpu()
    return distance


class _Passes(NamedTuple):
    """A few images and the net that they pass."""

    net: nn.Module
    images: Tensor  # [n, 3, H, W], on the net's device
    targets: Tensor  # [n]
    layers: Sequence[str]
    batch: int


def _swept(passes: _Passes, transform: Transform, fill: Fill) -> Sweep:
    """Passes the images themselves along in every batch: distances are taken at the hook, and no features stay."""
    count, amounts = len(passes.images), transform.amounts
    distance = {layer: torch.zeros(count, len(amounts)) for layer in passes.layers}
    probability, predicted = torch.zeros(count, len(amounts)), torch.zeros(count, len(amounts), dtype=torch.long)
    for columns in amounts.nonzero().flatten().split(max(1, passes.batch // count - 1)):
        changed = [transform.apply(passes.images, transform.values[column], fill) for column in columns]
        pictures = torch.cat([passes.images, *changed])
        answers = features(passes.net, pictures, passes.layers, _from_first(count, len(pictures)))
        logits = answers.logits.float().cpu().unflatten(0, (-1, count))  # [1 + columns, n, K]
        chance, best = logits.softmax(2)[:, torch.arange(count), passes.targets], logits.argmax(2)
        for places, row in ((amounts == 0, slice(1)), (columns, slice(1, None))):
            probability[:, places], predicted[:, places] = chance[row].T, best[row].T
        for layer in passes.layers:
            distance[layer][:, columns] = answers.layers[layer][1:].float().cpu().T
    return Sweep(transform, torch.tensor(transform.values, dtype=torch.float64), distance, probability, predicted)


def _from_first(count: int, pictures: int) -> Callable[[Tensor], Tensor]:
    """For `pictures` that repeat the same `count` images: a function to the distance from the first [times, count]."""

    def distances(output: Tensor) -> Tensor:
        if len(output) != pictures:
            raise UserError(
                f"a layer puts out {len(output)} rows for {pictures} images; choose one with a row for each"
            )
        rows = output.unflatten(0, (-1, count)).flatten(2)
        return torch.linalg.vector_norm(rows - rows[0], dim=2)

    return distances


def _mean_distance(output: Tensor) -> Tensor:
    """Mean distance [n] of each row from the other rows, by differences; products would lose small distances."""
    rows = output.flatten(1)
    if len(rows) < 2:
        return torch.full_like(rows[:, 0], math.nan)
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1) / (len(rows) - 1)
