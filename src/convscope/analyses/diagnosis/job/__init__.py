"""job=diagnose: dead and double filters, frequencies, aliasing, norms, saturation (section 4.1, Fig. 6)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.diagnosis.compute import ConvolutionMaps, FirstLayer, filters
from convscope.analyses.diagnosis.compute.examination import Examined, examine
from convscope.analyses.diagnosis.compute.verdicts import findings
from convscope.analyses.diagnosis.figure import first_layer_plot
from convscope.analyses.diagnosis.job.first_layers import compare
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.figure import feature_grid
from convscope.plots.grid import filter_grid
from convscope.runs.record import Number, Picture, Result, Table

COLUMNS = ("what", "layer", "found", "verdict", "what the paper did")
DRAWN = 16  # maps of the second layer in its picture


def results(inputs: Inputs, config: DiagnosisConfig) -> Iterator[Result]:
    """Yields what job=diagnose finds of one net, or with diagnose.runs of all nets of a sweep, each on its images."""
    if config.runs is None:
        return diagnose(inputs.subject(), config, inputs.seed)
    folder = Path(config.runs).expanduser()
    inputs.facts["runs"] = str(folder)
    return compare(folder, inputs.open, config, inputs.seed)


def diagnose(subject: Subject, plan: DiagnosisConfig, seed: int) -> Iterator[Result]:
    """Yields the pictures of Fig. 6, tables of findings with verdicts and of all convolutions, and the numbers."""
    examined = examine(subject, plan.split, plan.images, plan.maps, plan.radius, seed)
    first = examined.diagnosis.first
    yield from _filter_pictures(first)
    caption = "Left: what share of the first filters' energy lies at which frequency. Right: how strong they are"
    yield Picture("diagnosis/frequencies", first_layer_plot({first.layer: first}, plan.radius), caption, plot=True)
    if examined.second is not None:
        title = f"{examined.second.layer}: what excites its maps. Does a grid run through the projections?"
        grid = feature_grid(examined.second.first_maps(DRAWN), title)
        yield Picture("diagnosis/second_layer", grid.image, title, layer=examined.second.layer)
    rows = [_layer_row(layer, maps) for layer, maps in examined.diagnosis.maps.items()]
    yield Table("diagnosis/layers", rows, "Every convolution: dead maps and norms of its filters")
    rows = [dict(zip(COLUMNS, finding, strict=True)) for finding in findings(examined, plan.radius)]
    yield Table("diagnosis/findings", rows, "What is wrong with this net, and what the paper did about it")
    for name, (value, caption) in numbers(examined).items():
        yield Number(f"diagnosis/{name}", float(value), caption)


def _filter_pictures(first: FirstLayer) -> Iterator[Picture]:
    title = f"{first.layer}: its {len(first.weight)} filters of {first}"
    scales = {
        "common": "on one scale for all, so that one that dominates or is nearly nothing shows",
        "own": "each on its own scale, so that noise shows",
    }
    for scale, words in scales.items():
        picture = filter_grid(first.weight.numpy(), scale == "common", title)
        name = f"diagnosis/filters_{scale}_scale"
        yield Picture(name, picture, f"{title}, {words}", layer=first.layer, plot=True)


def _layer_row(layer: str, maps: ConvolutionMaps) -> dict[str, Any]:
    return {
        "layer": layer,
        "maps": maps.maps,
        "dead": len(maps.dead),
        "dead share": len(maps.dead) / maps.maps,
        "median RMS": maps.norms.median,
        "largest / median": maps.norms.dominance,
        "at the radius": maps.norms.at_radius,
        "which are dead": " ".join(map(str, maps.dead.tolist())),
    }


def numbers(examined: Examined) -> dict[str, tuple[float, str]]:
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
