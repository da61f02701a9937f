"""job=diagnose: dead and double filters, frequencies, aliasing, norms, saturation (section 4.1, Fig. 6)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.diagnosis.compute import ConvolutionMaps, FirstLayer
from convscope.analyses.diagnosis.compute.examination import diagnosis_numbers, examine
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
    for name, (value, caption) in diagnosis_numbers(examined).items():
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
