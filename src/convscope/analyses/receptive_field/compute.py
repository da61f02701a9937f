"""Effective receptive fields: from which pixels the central unit of each layer gets its gradient (Luo et al. 2016).

The energy of a pixel is the square of the gradient of a unit by that pixel, summed over colors and over the maps of the
layer at the central position. The paper's theory speaks of squares: the gradients of random weights are zero on
average, their squares are not. In the gradient of a sum of all maps, maps of opposite signs would cancel, and a pass
for each map would be dear. So each map gets a random sign, anew for each image: the squares of the gradient of the
signed sum are, on average over the signs, the sum of the squares of all maps, from one backward pass for each layer.
Every image counts alike: its energies are divided by their sum.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.data.epoch_images import EpochImages
from convscope.engine.axes import Axes, axes_of, maps_of
from convscope.engine.hooks import evaluating, on_output
from convscope.engine.receptive_fields import Box, Field, follow
from convscope.engine.trace import trace
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, bootstrap_interval

SHARE = 0.95  # of the energy, inside the effective field
BATCH = 16  # images in one pass
EPOCH_IMAGES = 16  # of those that a training measures after an epoch
ROUNDING = 1e-9  # a square that lacks no more of the share holds it


class CentralUnit(NamedTuple):
    """The unit of a layer whose field is nearest to the middle of the image.

    row, col: its position in the maps; None in a layer without positions, where all units count. center: row and column
    of the middle of its field, in pixels. box: its theoretical field, None where that is the whole image.
    """

    layer: str
    row: int | None
    col: int | None
    center: tuple[float, float]
    box: Box | None

    @property
    def side(self) -> int | None:
        """The longer side of the theoretical field in pixels; None for the whole image."""
        return None if self.box is None else max(self.box.height, self.box.width)


class EffectiveField(NamedTuple):
    """Where a unit gets its gradient from.

    heat [H, W] float64: the share of the energy that comes from each pixel, mean over the images; its sum is 1. sides
    [D]: of the squares around the unit's center that hold more and more pixels, in pixels; the last holds every pixel
    of the theoretical field that is in the image. within [n, D]: the share of the energy in each of these squares, for
    each image that has any. silent: images without a gradient, because no map is on there.
    """

    unit: CentralUnit
    heat: NDArray[np.float64]
    sides: NDArray[np.float64]
    within: NDArray[np.float64]
    silent: int

    @property
    def sees_all(self) -> bool:
        """Whether the unit can depend on every pixel of the image."""
        if self.unit.box is None:
            return True
        top, left, height, width = self.unit.box
        return top <= 0 and left <= 0 and top + height >= self.heat.shape[0] and left + width >= self.heat.shape[1]

    @property
    def visible(self) -> float:
        """Side of the smallest centered square with all pixels on which the unit can depend; it may leave the image."""
        return float(self.sides[-1])

    @property
    def side(self) -> float:
        """Side of the smallest centered square that holds 95 % of the energy; nan where there is none."""
        return float(self._sides_of(self.within.mean(0))) if len(self.within) else np.nan

    @property
    def share(self) -> float:
        """`side` as a share of `visible`."""
        return self.side / self.visible

    @property
    def spread(self) -> float:
        """Standard deviation of the energy around the center along one axis, in pixels; nan where there is none."""
        if not len(self.within):
            return np.nan
        rows, cols = (np.arange(size) - middle for size, middle in zip(self.heat.shape, self.unit.center, strict=True))
        return float(np.sqrt((self.heat * (rows[:, None] ** 2 + cols**2)).sum() / 2))

    def interval(self, seed: int = 0) -> Interval:
        """`side` with its 95 % interval over images, within the sides that are possible."""
        if not len(self.within):
            return Interval(np.nan, np.nan, np.nan, 0)

        def side_of(cases: NDArray[np.int64]) -> NDArray[np.float64]:
            flat, count = cases.reshape(-1, cases.shape[-1]), len(self.within)
            bins = flat + count * np.arange(len(flat))[:, None]
            times = np.bincount(bins.ravel(), minlength=count * len(flat)).reshape(-1, count)
            return self._sides_of(times @ self.within / flat.shape[1]).reshape(cases.shape[:-1])

        drawn = bootstrap_interval(len(self.within), side_of, seed, vectorized=True)
        if drawn.n < 2:
            return drawn
        return drawn._replace(low=max(drawn.low, float(self.sides[0])), high=min(drawn.high, self.visible))

    def _sides_of(self, within: NDArray[np.float64]) -> NDArray[np.float64]:
        """The side of the smallest square that holds 95 %: [...] of shares [..., D]."""
        return np.asarray(self.sides[(within >= SHARE - ROUNDING).argmax(-1)])


def effective_fields(
    net: nn.Module,
    images: Tensor,
    layers: Sequence[str],
    seed: int = 0,
    watch: Callable[[Sequence[Tensor]], Iterator[Tensor]] = iter,
) -> dict[str, EffectiveField]:
    """The effective field of each layer's central unit, over images [N, C, H, W] in eval mode; the net stays as it is.

    seed: of the maps' signs, drawn from a generator of its own. watch: goes over the batches, and may show how far.
    Raises UserError for an unknown layer, one that runs not once, and one that outputs neither maps nor units.
    """
    units, axes = central_units(net, tuple(images.shape[1:]), layers)
    rings = {unit.layer: _rings(unit, images.shape[2:]) for unit in units}
    heats = {unit.layer: np.zeros(tuple(images.shape[2:])) for unit in units}
    within: dict[str, list[NDArray[np.float64]]] = {unit.layer: [] for unit in units}
    draw = torch.Generator().manual_seed(seed)
    for batch in watch(images.split(BATCH)):
        for unit, gradient in _gradients(net, batch, units, axes, draw):
            energy = gradient.square().sum(1).cpu().double().numpy()  # on the CPU: not every GPU has float64
            total = energy.sum((1, 2))
            shares = energy[total > 0] / total[total > 0, None, None]
            heats[unit.layer] += shares.sum(0)
            within[unit.layer].append(_within(shares, rings[unit.layer]))
    fields = {}
    for unit in units:
        energies = np.concatenate(within[unit.layer])
        heat, sides = heats[unit.layer] / max(1, len(energies)), rings[unit.layer].sides
        fields[unit.layer] = EffectiveField(unit, heat, sides, energies, len(images) - len(energies))
    return fields


def central_units(
    net: nn.Module, image: tuple[int, ...], layers: Sequence[str]
) -> tuple[list[CentralUnit], dict[str, Axes | None]]:
    """The central unit of each layer for images [C, H, W], and the axes of the layers' maps. Raises UserError."""
    net_trace = trace(net, image)
    tensor_fields, axes = follow(net_trace), axes_of(net_trace)
    units, layouts = [], dict[str, Axes | None]()
    for layer in dict.fromkeys(layers):
        number = net_trace.layer(layer).output
        shape = net_trace.shapes[number]
        if len(shape) not in (2, 4) or number not in tensor_fields:
            raise UserError(f"layer {layer} outputs neither maps nor units of the image; choose another layer")
        layouts[layer] = axes.get(number)
        rows, cols = (shape[axis] for axis in axes.get(number, (2, 3))) if len(shape) == 4 else (1, 1)
        units.append(_central_unit(layer, tensor_fields[number], (rows, cols) if len(shape) == 4 else None, image[1:]))
    return units, layouts


def _central_unit(layer: str, field: Field | None, maps: tuple[int, int] | None, image: tuple[int, ...]) -> CentralUnit:
    """The central unit of maps of this many rows and columns. maps: None for units without positions."""
    middle = (image[0] - 1) / 2, (image[1] - 1) / 2
    if maps is None:
        return CentralUnit(layer, None, None, middle, None)
    places, centers = [], []
    for axis in (0, 1):
        if field is None:  # the middles of equal parts of the image
            start, step = image[axis] / maps[axis] / 2 - 0.5, image[axis] / maps[axis]
        else:
            span = field[axis]
            start, step = span.start + (span.size - 1) / 2, float(span.stride)
        positions = start + step * np.arange(maps[axis])
        places.append(int(np.abs(positions - middle[axis]).argmin()))
        centers.append(float(positions[places[axis]]))
    box = None if field is None else field.box(*places)
    return CentralUnit(layer, places[0], places[1], (centers[0], centers[1]), box)


class _Rings(NamedTuple):
    """The pixels of the image by their distance from a center. number [H, W]: which of sides [D] first holds a pixel.

    Pixels outside the theoretical field count to the last: a unit does not depend on them.
    """

    number: NDArray[np.int64]
    sides: NDArray[np.float64]


def _rings(unit: CentralUnit, image: Sequence[int]) -> _Rings:
    rows, cols = (np.abs(np.arange(size) - middle) for size, middle in zip(image, unit.center, strict=True))
    sides = 2 * np.maximum(rows[:, None], cols) + 1
    inside = sides
    if unit.box is not None:
        top, left, height, width = unit.box
        inside = sides[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    distinct = np.unique(inside)
    return _Rings(np.minimum(np.searchsorted(distinct, sides), len(distinct) - 1), distinct)


def _within(shares: NDArray[np.float64], rings: _Rings) -> NDArray[np.float64]:
    """[n, D]: the share of energy in each square, of shares [n, H, W]."""
    count, bins = len(rings.sides), len(rings.sides) * np.arange(len(shares))[:, None, None]
    sums = np.bincount((bins + rings.number).ravel(), shares.ravel(), minlength=count * len(shares))
    return sums.reshape(len(shares), count).cumsum(1)


def _gradients(
    net: nn.Module, images: Tensor, units: Sequence[CentralUnit], axes: Mapping[str, Axes | None], draw: torch.Generator
) -> Iterator[tuple[CentralUnit, Tensor]]:
    """For each unit the gradient [n, C, H, W] of the sum of its maps, each with a sign drawn for each image."""
    with torch.inference_mode(False), torch.enable_grad(), evaluating(net):
        pixels = images.clone().to(next(net.parameters()).device).requires_grad_()
        sums = dict[str, Tensor]()

        def take(unit: CentralUnit) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, arguments: Any, output: Tensor) -> None:  # the next layer may write over it
                maps = maps_of(output, axes[unit.layer])
                values = maps if unit.row is None or unit.col is None else maps[:, :, unit.row, unit.col]
                signs = 2 * torch.randint(0, 2, tuple(values.shape), generator=draw) - 1
                sums[unit.layer] = (values * signs.to(values)).sum()

            return hook

        with ExitStack() as hooks:
            for unit in units:
                hooks.callback(on_output(net.get_submodule(unit.layer), take(unit)).remove)
            net(pixels)
        for unit in units:
            value = sums[unit.layer]
            gradient = torch.autograd.grad(value, pixels, retain_graph=True, allow_unused=True)[0]
            yield unit, torch.zeros_like(pixels) if gradient is None else gradient


def measure_epoch(
    net: nn.Module, images: EpochImages, layers: Sequence[str], memory: Mapping[str, Tensor]
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """field/<layer>: the side of the effective field as a share of the theoretical one, over a few images."""
    step = max(1, len(images.image) // EPOCH_IMAGES)
    fields = effective_fields(net, images.image[::step][:EPOCH_IMAGES], layers)
    return {f"field/{layer}": field.share for layer, field in fields.items()}, {}
