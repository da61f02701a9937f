"""All that a diagnosis of a net measures (section 4.1, "Architecture Selection"), put together."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.analyses.diagnosis.compute import activity, filters
from convscope.analyses.diagnosis.compute.activity import UnitStatistics, WatchedLayer
from convscope.analyses.diagnosis.compute.aliasing import aliasing
from convscope.analyses.diagnosis.compute.frequencies import frequency_bands
from convscope.engine.receptive_fields import Field, fields
from convscope.engine.trace import trace
from convscope.errors import UserError


class FirstLayer(NamedTuple):
    """The first convolution. weight [C, colors, k, k] float32 on the CPU; stride: pixels.

    weak, noise: numbers of filters. bands (low, mid, high, flat): mean shares over the filters that are neither, or
    over the noise where there is nothing else.
    """

    layer: str
    weight: Tensor
    stride: int
    weak: Tensor
    noise: Tensor
    doubles: filters.DoubleFilters
    bands: tuple[float, float, float, float]

    def __str__(self) -> str:
        rows, cols = self.weight.shape[2:]
        return f"{rows}x{cols} stride {self.stride}"


class ConvolutionMaps(NamedTuple):
    """A convolution: maps in all, the numbers of the dead ones, its filters' norms."""

    maps: int
    dead: Tensor
    norms: filters.FilterNorms


class FullLayerUnits(NamedTuple):
    """A hidden full layer: units in all, never on, always on; the mean share of images that a unit is on for."""

    units: int
    dead: int
    always: int
    mean: float


class GridEnergy(NamedTuple):
    """Per map [m] of a layer, the mean over its projections of `aliasing`'s two shares for a period in pixels."""

    period: int
    share: Tensor
    beside: Tensor


class Diagnosis(NamedTuple):
    """maps, units: by layer, from the pixels up. sure: share of images with a probability above 0.999."""

    first: FirstLayer
    maps: dict[str, ConvolutionMaps]
    units: dict[str, FullLayerUnits]
    sure: float


def convolutions(watched: list[WatchedLayer]) -> list[str]:
    """The convolutions among what is watched; UserError for a net without."""
    found = [watch.layer for watch in watched if watch.kind == "maps"]
    if not found:
        raise UserError("this net has no convolution, so it has no filters to judge; choose another net")
    return found


def above_first(net: nn.Module, image_size: int, names: list[str]) -> str | None:
    """Of these convolutions, in order, the next one after the first that depends on it, not a branch beside it."""
    pass_ = trace(net, (3, image_size, image_size))
    reached = {pass_.layer(names[0]).output}
    for call in pass_.calls:
        if reached.intersection(call.inputs):
            reached.update(call.outputs)
    return next((name for name in names[1:] if pass_.layer(name).output in reached), None)


def diagnose_layers(
    net: nn.Module, watched: list[WatchedLayer], seen: UnitStatistics, radius: float | None
) -> Diagnosis:
    """Everything but the grid in projections. seen: what `activity` found for `watched`."""
    maps, units = {}, {}
    for watch in watched:
        found = seen.layers[watch.layer]
        dead = activity.dead_units(found, watch.rectified)
        if watch.kind == "maps":
            maps[watch.layer] = ConvolutionMaps(
                len(found.on), dead, filters.filter_norms(_weight(net, watch.layer), radius)
            )
        elif watch.rectified:
            always = len(activity.always_on_units(found))
            units[watch.layer] = FullLayerUnits(len(found.on), len(dead), always, float(found.on.mean()))
    return Diagnosis(_first(net, convolutions(watched)[0]), maps, units, seen.sure)


def grid_periods(net: nn.Module, image_size: int, first: str, second: str) -> list[int]:
    """Pixels between neighbors of the first layer's map, and of the map that the second layer looks at (after a pool).

    None of 1, and none where the layers see the whole image at once.
    """
    seen = fields(net, image_size)
    steps = []
    for layer, own in ((first, 1), (second, _stride(net, second))):
        field = seen[layer]
        if field is not None:
            steps.append(field.rows.stride // own)
    return sorted({step for step in steps if step > 1})


def without_border_units(
    projections: Tensor, rows: Tensor, cols: Tensor, field: Field | None, image_size: int
) -> Tensor:
    """Projections [m, P, colors, S, S] of units at rows and cols [m, P], those emptied whose field leaves the image.

    The border cuts a grid off, and its edge has a spectrum of its own.
    """
    if field is None:
        return projections
    inside = torch.ones_like(rows, dtype=torch.bool)
    for place, span in ((rows, field.rows), (cols, field.cols)):
        first = span.start + place * span.stride
        inside &= (first >= 0) & (first + span.size <= image_size)
    return projections * inside[:, :, None, None, None]


def grid_energy(projections: Tensor, period: int) -> GridEnergy | None:
    """The grid of `period` pixels in projections [m, P, colors, S, S] of m maps, without empty ones; None if untold."""
    found = aliasing(projections.flatten(0, 1), period)
    if found is None:
        return None
    share, beside = (values.view(projections.shape[:2]).nanmean(1) for values in found)
    known = share.isfinite()
    return GridEnergy(period, share[known], beside[known]) if known.any() else None


def _first(net: nn.Module, layer: str) -> FirstLayer:
    weight = _weight(net, layer)
    weak, noise = filters.weak_filters(weight), filters.noise_filters(weight)
    learned, there = ({*range(len(weight))} - {*left_out.tolist()} for left_out in (torch.cat([weak, noise]), weak))
    shares = [float(share.mean()) for share in frequency_bands(weight[sorted(learned or there or {0})])]
    low, mid, high, flat = shares
    stride = _stride(net, layer)
    return FirstLayer(layer, weight, stride, weak, noise, filters.double_filters(weight), (low, mid, high, flat))


def _weight(net: nn.Module, layer: str) -> Tensor:
    weight = net.get_submodule(layer).weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach().float().cpu()


def _stride(net: nn.Module, layer: str) -> int:
    module = net.get_submodule(layer)
    assert isinstance(module, nn.Conv2d)
    return int(module.stride[0])
