"""How far features move when an image is shifted, enlarged or turned (section 4.1, Fig. 5).

The paper shows curves; the numbers that `tolerances` and `kept` make of them are ours.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.analyses.invariance.compute.warp import Fill, Transform
from convscope.engine.features import features
from convscope.errors import UserError


class Sweep(NamedTuple):
    """What a net does with N images under the t values of a transform; on the CPU.

    distance {layer: [N, t]}: Euclidean, from the features of the image itself. probability [N, t]: softmax, of the
    target class. predicted [N, t]: the most probable class.
    """

    transform: Transform
    values: Tensor
    distance: dict[str, Tensor]
    probability: Tensor
    predicted: Tensor


class Tolerance(NamedTuple):
    """One layer under one transform: three numbers for each of N images.

    half: `half_distance`, in `unit`. relative: the distance at the transform's small amount, divided by that to other
    images (`strangers`), so that layers can be compared: 0 nothing moved, 1 as different as another image. far: the
    same at the farthest amount. relative and far are nan where there is no other image.
    """

    layer: str
    transform: str
    unit: str
    half: Tensor
    relative: Tensor
    far: Tensor


def sweep(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    layers: Sequence[str],
    transform: Transform,
    fill: Fill = "gray",
    batch: int = 64,
) -> Sweep:
    """Passes the images [N, 3, H, W] under every value, about `batch` pictures at a time, and keeps distances alone.

    targets [N]: the class whose probability is followed. A value that changes nothing is the image itself, at distance
    0. Raises UserError for an unknown layer or fill.
    """
    together = max(1, batch // (len(transform.values) + 1))
    parts = zip(images.split(together), targets.split(together), strict=True)
    device = next(net.parameters()).device
    return join_sweeps(
        [_swept(_Passes(net, few.to(device), target, layers, batch), transform, fill) for few, target in parts]
    )


def join_sweeps(sweeps: Sequence[Sweep]) -> Sweep:
    """The sweeps of some images and of others as one."""
    first = sweeps[0]
    distance = {layer: torch.cat([each.distance[layer] for each in sweeps]) for layer in first.distance}
    probability = torch.cat([each.probability for each in sweeps])
    return Sweep(first.transform, first.values, distance, probability, torch.cat([each.predicted for each in sweeps]))


def distance_to_others(net: nn.Module, images: Tensor, layers: Sequence[str], group: int = 50) -> dict[str, Tensor]:
    """Mean distance [N] of each image's features from those of other images, by layer; nan for one image alone.

    The others are those of its group: as few groups as hold at most `group` images each, every k-th image in the same
    one, so that sorted classes are spread over all of them.
    """
    groups = math.ceil(len(images) / group)
    found = {layer: torch.full((len(images),), math.nan) for layer in layers}
    for members in (torch.arange(len(images))[start::groups] for start in range(groups)):
        for layer, mean in features(net, images[members], layers, _between).layers.items():
            found[layer][members] = mean.float().cpu()
    return found


def tolerances(found: Sweep, others: dict[str, Tensor]) -> list[Tolerance]:
    """What a sweep says of each layer, in its order. others: `strangers` of the same images."""
    transform, amounts = found.transform, found.transform.amounts
    made = []
    for layer, distance in found.distance.items():
        half = torch.tensor([half_distance(amounts, each) for each in distance], dtype=torch.float64)
        relative, far = (_at(amounts, distance, at) / others[layer] for at in (transform.small, transform.farthest))
        made.append(Tolerance(layer, transform.name, transform.unit, half, relative, far))
    return made


def half_distance(amounts: Tensor, distance: Tensor) -> float:
    """How far until one image's distance [t] reaches half of its maximum, linear between samples.

    amounts [t]: how far away each sample is, signed. Each sign is a side with its own maximum (pixels up and down,
    turns left and right); the mean of the sides comes back. A distance that grows in proportion gives half the range,
    one that jumps at once next to nothing. inf where a side has no distance at all, nan where one is no number.
    """
    return _mean(_half(*side) for side in _sides(amounts, distance))


def class_stability(found: Sweep) -> Tensor:
    """[N]: how far the most probable class stays that of the unchanged image, the mean of both sides.

    On each side the last sample before another class wins, or the end of the range.
    """
    amounts = found.transform.amounts
    start = found.predicted[:, amounts.abs().argmin()]
    lost = found.predicted != start[:, None]
    stays = [_mean(_until(*side) for side in _sides(amounts, each)) for each in lost]
    return torch.tensor(stays, dtype=torch.float64)


class _Passes(NamedTuple):
    """A few images in a net: what it takes to pass their pictures."""

    net: nn.Module
    images: Tensor  # [n, 3, H, W], on the net's device
    targets: Tensor  # [n]
    layers: Sequence[str]
    batch: int


def _swept(passes: _Passes, transform: Transform, fill: Fill) -> Sweep:
    """The images themselves ride along in every pass: distances are taken at the hook, and no features are kept."""
    count, amounts = len(passes.images), transform.amounts
    distance = {layer: torch.zeros(count, len(amounts)) for layer in passes.layers}
    probability, predicted = torch.zeros(count, len(amounts)), torch.zeros(count, len(amounts), dtype=torch.long)
    for columns in amounts.nonzero().flatten().split(max(1, passes.batch // count - 1)):
        changed = [transform.apply(passes.images, transform.values[column], fill) for column in columns]
        pictures = torch.cat([passes.images, *changed])
        seen = features(passes.net, pictures, passes.layers, _from_first(count, len(pictures)))
        logits = seen.logits.float().cpu().unflatten(0, (-1, count))  # [1 + columns, n, K]
        chance, best = logits.softmax(2)[:, torch.arange(count), passes.targets], logits.argmax(2)
        for places, row in ((amounts == 0, slice(1)), (columns, slice(1, None))):
            probability[:, places], predicted[:, places] = chance[row].T, best[row].T
        for layer in passes.layers:
            distance[layer][:, columns] = seen.layers[layer][1:].float().cpu().T
    return Sweep(transform, torch.tensor(transform.values, dtype=torch.float64), distance, probability, predicted)


def _from_first(count: int, pictures: int) -> Callable[[Tensor], Tensor]:
    """Of a pass of several times the same `count` images: how far each is from its first [times, count]."""

    def take(output: Tensor) -> Tensor:
        if len(output) != pictures:
            raise UserError(
                f"a layer puts out {len(output)} rows for {pictures} images; choose one with a row for each"
            )
        each = output.unflatten(0, (-1, count)).flatten(2)
        return torch.linalg.vector_norm(each - each[0], dim=2)

    return take


def _between(output: Tensor) -> Tensor:
    """Mean distance [n] of each row from the others, taken from differences; products would lose small ones."""
    each = output.flatten(1)
    if len(each) < 2:
        return torch.full_like(each[:, 0], math.nan)
    return torch.cdist(each, each, compute_mode="donot_use_mm_for_euclid_dist").sum(1) / (len(each) - 1)


def _sides(amounts: Tensor, heights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each side of no change that has samples: its amounts growing from 0, and their heights, 0 first."""
    for sign in (1, -1):
        side = (sign * amounts > 0).nonzero().flatten()
        if len(side):
            side = side[amounts[side].abs().argsort()]
            yield F.pad(amounts[side].abs(), (1, 0)), F.pad(heights[side].double(), (1, 0))


def _half(amounts: Tensor, heights: Tensor) -> float:
    half = float(heights.max()) / 2
    if half == 0 or not math.isfinite(half):
        return math.inf if half == 0 else math.nan
    after = int((heights >= half).nonzero()[0])
    before = after - 1
    share = (half - heights[before]) / (heights[after] - heights[before])
    return float(amounts[before] + share * (amounts[after] - amounts[before]))


def _until(amounts: Tensor, lost: Tensor) -> float:
    """The last of the growing amounts before the first that is lost (1)."""
    return float(amounts[int(lost.argmax()) - 1] if lost.any() else amounts[-1])


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _at(amounts: Tensor, distance: Tensor, amount: float) -> Tensor:
    """Distance [N] at the samples nearest to an amount, the mean of both sides."""
    gap = (amounts.abs() - amount).abs()
    return distance[:, gap <= gap.min() + 1e-6].double().mean(1)
