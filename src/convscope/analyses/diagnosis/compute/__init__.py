"""What a diagnosis measures of a net's layers (section 4.1, "Architecture Selection")."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.analyses.diagnosis.compute import activity, filters
from convscope.analyses.diagnosis.compute.activity import UnitStatistics, WatchedLayer
from convscope.analyses.diagnosis.compute.frequencies import aliasing, frequency_bands
from convscope.engine.receptive_fields import Field, fields
from convscope.engine.trace import ImageSize, image_shape, trace
from convscope.errors import UserError
from convscope.models.renorm import filter_rms


class FirstLayer(NamedTuple):
    """The first convolution. weight [C, colors, k, k] float32 and its filters' rms [C] on the CPU; stride: pixels.

    weak, noise: numbers of filters. bands (low, mid, high, flat): mean shares over the filters that are neither, or
    over the noise filters where there are no others.
    """

    layer: str
    weight: Tensor
    rms: Tensor
    stride: int
    weak: Tensor
    noise: Tensor
    doubles: filters.DoubleFilters
    bands: tuple[float, float, float, float]

    def __str__(self) -> str:
        rows, cols = self.weight.shape[2:]
        return f"{rows}x{cols} stride {self.stride}"


class ConvolutionMaps(NamedTuple):
    """A convolution: count of its maps, the numbers of the dead ones, the norms of its filters."""

    maps: int
    dead: Tensor
    norms: filters.FilterNorms


class LinearUnits(NamedTuple):
    """A hidden linear layer: counts of its units, of those never on, of those always on.

    mean: share of images that a unit is on for, over the units.
    """

    units: int
    dead: int
    always: int
    mean: float


class GridEnergy(NamedTuple):
    """The energy of projections in a grid of `period` pixels, as shares [m], means over each map's projections.

    share: in the grid. beside: in grids of longer periods, see `aliasing`.
    """

    period: int
    share: Tensor
    beside: Tensor


class Diagnosis(NamedTuple):
    """A net's layers. maps, units: by layer, from the pixels up.

    sure: share of images whose most probable class has a probability above 0.999.
    """

    first: FirstLayer
    maps: dict[str, ConvolutionMaps]
    units: dict[str, LinearUnits]
    sure: float


def convolutions(watched: list[WatchedLayer]) -> list[str]:
    """The convolutions among the watched layers. Raises UserError for a net without."""
    names = [watch.layer for watch in watched if watch.kind == "maps"]
    if not names:
        raise UserError("this net has no convolution, so it has no filters to judge; choose another net")
    return names


def above_first(net: nn.Module, image_size: ImageSize, names: list[str]) -> str | None:
    """The next of these convolutions, in order, that depends on the first one; a parallel branch does not count."""
    pass_ = trace(net, image_size)
    reached = {pass_.layer(names[0]).output}
    for call in pass_.calls:
        if reached.intersection(call.inputs):
            reached.update(call.outputs)
    return next((name for name in names[1:] if pass_.layer(name).output in reached), None)


def diagnose_layers(
    net: nn.Module, watched: list[WatchedLayer], statistics: UnitStatistics, radius: float | None
) -> Diagnosis:
    """The diagnosis of all layers, without projections. statistics: of the watched layers. radius: of the
    renormalization, None without."""
    maps, units = {}, {}
    for watch in watched:
        outputs = statistics.layers[watch.layer]
        dead = activity.dead_units(outputs, watch.rectified)
        if watch.kind == "maps":
            norms = filters.filter_norms(_weight(net, watch.layer), radius)
            maps[watch.layer] = ConvolutionMaps(len(outputs.on), dead, norms)
        elif watch.rectified:
            always = len(activity.always_on_units(outputs))
            units[watch.layer] = LinearUnits(len(outputs.on), len(dead), always, float(outputs.on.mean()))
    return Diagnosis(_first_layer(net, convolutions(watched)[0]), maps, units, statistics.sure)


def grid_periods(net: nn.Module, image_size: ImageSize, first: str, second: str) -> list[int]:
    """Pixels between neighbors of the first layer's map, and of the map that the second layer takes (after a pool).

    A period of 1 is left out, and that of a layer that sees the whole image at once.
    """
    receptive = fields(net, image_size)
    steps = []
    for layer, stride in ((first, 1), (second, _stride(net, second))):
        field = receptive[layer]
        if field is not None:
            steps.append(field.rows.stride // stride)
    return sorted({step for step in steps if step > 1})


def without_border_units(
    projections: Tensor, rows: Tensor, cols: Tensor, field: Field | None, image: ImageSize
) -> Tensor:
    """Projections [m, P, colors, S, S] of units at rows and cols [m, P], zero where the unit's field leaves the image.

    The image's border cuts a grid off, and the edge has a spectrum of its own.
    """
    if field is None:
        return projections
    inside = torch.ones_like(rows, dtype=torch.bool)
    sides = image_shape(image)[1:]
    for place, span, side in zip((rows, cols), field, sides, strict=True):
        first = span.start + place * span.stride
        inside &= (first >= 0) & (first + span.size <= side)
    return projections * inside[:, :, None, None, None]


def grid_energy(projections: Tensor, period: int) -> GridEnergy | None:
    """The grid of `period` pixels in projections [m, P, colors, S, S] of m maps, without the maps that have none.

    None where `aliasing` cannot tell, or no map has a projection.
    """
    energy = aliasing(projections.flatten(0, 1), period)
    if energy is None:
        return None
    share, beside = (values.view(projections.shape[:2]).nanmean(1) for values in energy)
    projected = share.isfinite()
    return GridEnergy(period, share[projected], beside[projected]) if projected.any() else None


def _first_layer(net: nn.Module, layer: str) -> FirstLayer:
    weight = _weight(net, layer)
    weak, noise = filters.weak_filters(weight), filters.noise_filters(weight)
    strong = {*range(len(weight))} - {*weak.tolist()}
    learned = strong - {*noise.tolist()}
    low, mid, high, flat = (float(share.mean()) for share in frequency_bands(weight[sorted(learned or strong or {0})]))
    doubles, stride = filters.double_filters(weight), _stride(net, layer)
    return FirstLayer(layer, weight, filter_rms(weight), stride, weak, noise, doubles, (low, mid, high, flat))


def _weight(net: nn.Module, layer: str) -> Tensor:
    weight = net.get_submodule(layer).weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach().float().cpu()


def _stride(net: nn.Module, layer: str) -> int:
    module = net.get_submodule(layer)
    assert isinstance(module, nn.Conv2d)
    return int(module.stride[0])
