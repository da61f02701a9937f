"""One net of a subject examined: its layers on images, and the projections of its second layer."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.analyses.diagnosis.compute import (
    Diagnosis,
    FirstLayer,
    GridEnergy,
    above_first,
    convolutions,
    diagnose_layers,
    filters,
    grid_energy,
    grid_periods,
    without_border_units,
)
from convscope.analyses.diagnosis.compute.activity import unit_statistics, watched_layers
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import FeatureView, SplitPixels, feature_view, search_top9
from convscope.data.module import SplitName
from convscope.engine.progress import track
from convscope.engine.receptive_fields import fields
from convscope.metrics.intervals import Interval, mean_interval

BATCH = 64


class Examined(NamedTuple):
    """A net's diagnosis.

    second: maps of the second layer, the first convolution that takes the output of the net's first one; None without
    one. grids: in the projections of these maps. images: how many the net was judged by.
    """

    diagnosis: Diagnosis
    second: FeatureView | None
    grids: list[GridEnergy]
    images: int

    @property
    def excess(self) -> list[Interval]:
        """For each grid the share of energy beyond that at other periods: mean over the maps and its interval."""
        return [mean_interval((grid.share - grid.beside).numpy()) for grid in self.grids]


def examine(subject: Subject, split: SplitName, count: int, maps: int, radius: float | None, seed: int) -> Examined:
    """Examines the net by `count` images of the split.

    maps: of the second layer, projected and searched for a grid. radius: of the renormalization, None without. Takes a
    pass over the images for the units, another one for the second layer's strongest images, and their projections.
    """
    net, size = subject.net, subject.data.image_shape
    layers = watched_layers(net, size)
    names = convolutions(layers)
    index = subject.data.choose(split, count, seed)
    parts = track(index.split(BATCH), "images")
    statistics = unit_statistics(net, (subject.data.images(split, part) for part in parts), layers)
    diagnosis = diagnose_layers(net, layers, statistics, radius)
    layer = above_first(net, size, names)
    if layer is None:
        return Examined(diagnosis, None, [], len(index))
    second = _second_view(subject, split, layer, maps, index, seed)
    whole = without_border_units(second.projections, second.top.row, second.top.col, fields(net, size)[layer], size)
    grids = [grid_energy(whole, period) for period in grid_periods(net, size, names[0], layer)]
    return Examined(diagnosis, second, [grid for grid in grids if grid], len(index))


def _second_view(subject: Subject, split: SplitName, layer: str, maps: int, index: Tensor, seed: int) -> FeatureView:
    """The strongest of these images for up to `maps` maps of the layer, a choice that depends on seed."""
    top = search_top9(subject.net, subject.data, split, [layer], index)[layer]
    order = torch.randperm(len(top.score), generator=torch.Generator().manual_seed(seed))
    images = SplitPixels(subject.data, split)
    return feature_view(subject.net, images, layer, top, sorted(order[:maps].tolist()))


def diagnosis_numbers(examined: Examined) -> dict[str, tuple[float, str]]:
    """Every measured number and its caption by name; of layers those of the first two convolutions."""
    diagnosis = examined.diagnosis
    captioned = _first_layer_numbers(diagnosis.first)
    for layer, maps in list(diagnosis.maps.items())[:2]:
        share = len(maps.dead) / maps.maps
        captioned[f"dead/{layer}"] = share, f"{layer}: share of its {maps.maps} maps that no image excites"
        captioned[f"dominance/{layer}"] = maps.norms.dominance, f"{layer}: RMS of the strongest filter over the median"
        captioned[f"held/{layer}"] = maps.norms.at_radius, f"{layer}: share of the filters at the radius or above"
    for grid, excess in zip(examined.grids, examined.excess, strict=True):
        what = f"share of the second layer's projected energy in a grid of {grid.period} pixels"
        captioned[f"grid_{grid.period}"] = float(grid.share.mean()), what
        beyond = f"{what}, beyond other periods; from {excess.low:.3g} to {excess.high:.3g} (95 %)"
        captioned[f"grid_{grid.period}_excess"] = excess.value, beyond
    for layer, units in diagnosis.units.items():
        captioned[f"dead/{layer}"] = units.dead / units.units, f"{layer}: share of units that no image turns on"
        captioned[f"always/{layer}"] = units.always / units.units, f"{layer}: share of units that every image turns on"
    sure = "share of images whose most probable class has a probability above 0.999"
    return captioned | {"sure": (diagnosis.sure, sure)}


def _first_layer_numbers(first: FirstLayer) -> dict[str, tuple[float, str]]:
    low, mid, high, flat = first.bands
    redundant = filters.redundant_count(first.doubles.same, len(first.weight))
    return {
        "weak_filters": (float(len(first.weak)), "first filters with an RMS below a tenth of the median"),
        "noise_filters": (float(len(first.noise)), "first filters that look like white noise"),
        "double_filters": (redundant, "first filters that a like one could replace"),
        "low": (low, "share of the first filters' energy below a third of the Nyquist frequency"),
        "mid": (mid, "share of it from a third to two thirds"),
        "high": (high, "share of it above two thirds"),
        "flat": (flat, "share of it that is a plain color"),
    }
