"""What is wrong with a net: dead and double filters, frequencies, aliasing, norms, saturation (section 4.1, Fig. 6)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.diagnosis.compute import Diagnosis, Maps
from convscope.analyses.diagnosis.job.examination import Examined, examine, find
from convscope.analyses.diagnosis.job.fig6 import first_filter_plot, numbers
from convscope.analyses.diagnosis.job.first_layers import compare
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import FeatureView
from convscope.analyses.visualize.figure import feature_grid
from convscope.engine.top9 import Top9
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
    """The pictures of Fig. 6, a table of findings with verdicts, one of all convolutions, and the numbers behind."""
    examined = examine(subject, plan, seed)
    yield from _filter_pictures(examined)
    yield Picture("diagnosis/frequencies", first_filter_plot({examined.found.first.layer: examined}, plan.radius),
                  "Left: what share of the first filters' energy lies at which frequency. Right: how strong they are",
                  plot=True)  # fmt: skip
    if examined.second is not None:
        title = f"{examined.second.layer}: what excites its maps. Does a grid run through the projections?"
        shown = _first_maps(examined.second, DRAWN)
        yield Picture("diagnosis/second_layer", feature_grid(shown, title).image, title, layer=shown.layer)
    yield Table(
        "diagnosis/layers", _layer_rows(examined.found), "Every convolution: dead maps and norms of its filters"
    )
    rows = [dict(zip(COLUMNS, finding, strict=True)) for finding in find(examined, plan.radius)]
    yield Table("diagnosis/findings", rows, "What is wrong with this net, and what the paper did about it")
    for name, (value, caption) in numbers(examined).items():
        yield Number(f"diagnosis/{name}", float(value), caption)


def _first_maps(seen: FeatureView, count: int) -> FeatureView:
    top = Top9(*(field[:count] for field in seen.top))
    return FeatureView(seen.layer, seen.maps[:count], top, seen.projections[:count], seen.patches[:count], seen.rule)


def _filter_pictures(examined: Examined) -> Iterator[Picture]:
    first = examined.found.first
    of = f"{first.layer}: its {len(first.weight)} filters of {first}"
    for common, name, how in ((True, "common", "on one scale for all, so that one that dominates or is nearly nothing "
                               "shows"), (False, "own", "each on its own scale, so that noise shows")):  # fmt: skip
        picture = filter_grid(first.weight.numpy(), common, of)
        yield Picture(f"diagnosis/filters_{name}_scale", picture, f"{of}, {how}", layer=first.layer, plot=True)


def _layer_rows(found: Diagnosis) -> list[dict[str, Any]]:
    return [_layer_row(layer, one) for layer, one in found.maps.items()]


def _layer_row(layer: str, one: Maps) -> dict[str, Any]:
    return {
        "layer": layer, "maps": one.maps, "dead": len(one.dead), "dead share": len(one.dead) / one.maps,
        "median RMS": one.norms.median, "largest / median": one.norms.dominance, "at the radius": one.norms.held,
        "which are dead": " ".join(map(str, one.dead.tolist())),
    }  # fmt: skip
