"""How much change of the image each layer tolerates, as numbers of the curves of Fig. 5 (ours)."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.analyses.invariance.about import Fill
from convscope.analyses.invariance.compute import Sweep, sweep_examples
from convscope.analyses.invariance.compute.warp import Transform
from convscope.analyses.subject import Examples
from convscope.metrics.intervals import Interval, mean_interval


class Tolerance(NamedTuple):
    """Three numbers for each of N images: of one layer under one transform.

    half: `half_distance`, in `unit`. relative: the distance at the transform's small amount, divided by that to other
    images (`distance_to_others`), so that layers can be compared: 0 nothing moved, 1 as different as another image.
    far: the same at the farthest amount. relative and far are nan where there is no other image.
    """

    layer: str
    transform: str
    unit: str
    half: Tensor
    relative: Tensor
    far: Tensor


class MeasuredTransform(NamedTuple):
    """A transform of the scored images and of the figure's examples.

    between_images {layer: [N]}: mean distance of each scored image to other images. tolerances: of the scored images,
    from the pixels up.
    """

    scored: Sweep
    examples: Sweep
    between_images: dict[str, Tensor]
    tolerances: list[Tolerance]


class Difference(NamedTuple):
    """The highest layer's tolerance minus the lowest's, image by image."""

    half: Interval
    relative: Interval
    far: Interval


def measure_transform(
    net: nn.Module,
    images: tuple[Examples, Examples],
    layers: Sequence[str],
    transform: Transform,
    fill: Fill,
    between_images: dict[str, Tensor],
) -> MeasuredTransform:
    """Sweeps both sets of images, the scored ones and the figure's examples.

    between_images: `distance_to_others` of the scored images.
    """
    scored, examples = (sweep_examples(net, part, layers, transform, fill) for part in images)
    return MeasuredTransform(scored, examples, between_images, tolerances(scored, between_images))


def tolerances(sweep: Sweep, between_images: dict[str, Tensor]) -> list[Tolerance]:
    """The tolerance of each layer, in the sweep's order. between_images: `distance_to_others` of the same images."""
    transform, amounts = sweep.transform, sweep.transform.amounts
    of_layers = []
    for layer, distance in sweep.distance.items():
        half = torch.tensor([half_distance(amounts, curve) for curve in distance], dtype=torch.float64)
        relative, far = (
            _at(amounts, distance, at) / between_images[layer] for at in (transform.small, transform.farthest)
        )
        of_layers.append(Tolerance(layer, transform.name, transform.unit, half, relative, far))
    return of_layers


def half_distance(amounts: Tensor, distance: Tensor) -> float:
    """Amount of change at which one image's distance [t] reaches half of its maximum, linear between samples.

    amounts [t]: of each sample, signed. Each sign is a side with a maximum of its own (pixels up and down, turns left
    and right); the mean of the sides comes back. A distance that grows in proportion gives half the range, one that
    jumps at once nearly 0. inf where a side has no distance at all, nan where a distance is nan.
    """
    return _mean(_half(*side) for side in _sides(amounts, distance))


def class_stability(sweep: Sweep) -> Tensor:
    """Amount of change [N] up to which the most probable class is that of the unchanged image, the mean of both sides.

    On each side the last sample before another class wins, or the end of the range.
    """
    amounts = sweep.transform.amounts
    start = sweep.predicted[:, amounts.abs().argmin()]
    lost = sweep.predicted != start[:, None]
    stays = [_mean(_until(*side) for side in _sides(amounts, samples)) for samples in lost]
    return torch.tensor(stays, dtype=torch.float64)


def layer_difference(measured: MeasuredTransform) -> Difference:
    """The difference between the highest and the lowest layer."""
    lower, upper = measured.tolerances[0], measured.tolerances[-1]
    return Difference(
        finite_mean(upper.half - lower.half),
        finite_mean(upper.relative - lower.relative),
        finite_mean(upper.far - lower.far),
    )


def finite_mean(values: Tensor) -> Interval:
    """Mean of a number [N] over the images that have it, nan for none.

    An image lacks `relative` where there is no other image, and `half` where the layer never moves.
    """
    numbers = values[values.isfinite()].double().numpy()
    return mean_interval(numbers) if len(numbers) else Interval(math.nan, math.nan, math.nan, 0)


def _sides(amounts: Tensor, heights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both sides of no change, as far as they have samples: amounts growing from 0, and their heights, 0 first."""
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
    """The last of the growing amounts before the first sample that lost the class (1)."""
    return float(amounts[int(lost.argmax()) - 1] if lost.any() else amounts[-1])


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _at(amounts: Tensor, distance: Tensor, amount: float) -> Tensor:
    """Distance [N] at the samples nearest to an amount, the mean of both sides."""
    gap = (amounts.abs() - amount).abs()
    return distance[:, gap <= gap.min() + 1e-6].double().mean(1)
