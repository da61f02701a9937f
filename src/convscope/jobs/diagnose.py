"""What is wrong with a net: dead and double filters, frequencies, aliasing, norms, saturation (section 4.1, Fig. 6)."""

from collections.abc import Iterator
from typing import Any

import torch

from convscope.draw.diagnosis import FirstFilters, first_filters
from convscope.draw.grid import filter_grid
from convscope.gallery import View, grid
from convscope.jobs.examination import Diagnose, Examined, examine, find
from convscope.look import filters, frequencies
from convscope.look.diagnosis import Diagnosis, Maps
from convscope.look.top9 import Top9
from convscope.nets.renorm import filter_rms
from convscope.record import Number, Picture, Result, Table
from convscope.subject import Subject

COLUMNS = ("what", "layer", "found", "verdict", "what the paper did")
DRAWN = 16  # maps of the second layer in its picture


def diagnose(subject: Subject, plan: Diagnose, seed: int) -> Iterator[Result]:
    """The pictures of Fig. 6, a table of findings with verdicts, one of all convolutions, and the numbers behind."""
    examined = examine(subject, plan, seed)
    yield from _filter_pictures(examined)
    yield Picture("diagnosis/frequencies", first_filter_plot({examined.found.first.layer: examined}, plan.radius),
                  "Left: what share of the first filters' energy lies at which frequency. Right: how strong they are",
                  plot=True)  # fmt: skip
    if examined.second is not None:
        title = f"{examined.second.layer}: what excites its maps. Does a grid run through the projections?"
        shown = _first_maps(examined.second, DRAWN)
        yield Picture("diagnosis/second_layer", grid(shown, title), title, layer=shown.layer)
    yield Table(
        "diagnosis/layers", _layer_rows(examined.found), "Every convolution: dead maps and norms of its filters"
    )
    rows = [dict(zip(COLUMNS, finding, strict=True)) for finding in find(examined, plan.radius)]
    yield Table("diagnosis/findings", rows, "What is wrong with this net, and what the paper did about it")
    for name, (value, caption) in numbers(examined).items():
        yield Number(f"diagnosis/{name}", float(value), caption)


def first_filter_plot(nets: dict[str, Examined], radius: float | None) -> Any:
    """Energy by frequency and RMS of the first filters of several nets, by label."""
    lines = []
    for label, examined in nets.items():
        weight = examined.found.first.weight
        middle, energy = frequencies.profile(weight)
        lines.append(FirstFilters(label, energy.numpy(), filter_rms(weight).numpy()))
    white = frequencies.profile(torch.ones(1, 1, 1, 1))[1].numpy()  # a single pixel has all frequencies alike
    return first_filters(lines, middle.numpy(), white, (frequencies.LOW, frequencies.HIGH), radius)


def _first_maps(seen: View, count: int) -> View:
    top = Top9(*(field[:count] for field in seen.top))
    return View(seen.layer, seen.maps[:count], top, seen.projections[:count], seen.patches[:count])


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


def numbers(examined: Examined) -> dict[str, tuple[float, str]]:
    """Every measured number under its name, with what it is in words; of layers those of the first two convolutions."""
    found, first = examined.found, examined.found.first
    low, mid, high, flat = first.bands
    count = len(first.weight)
    named = {
        "weak_filters": (float(len(first.weak)), "first filters with an RMS below a tenth of the median"),
        "noise_filters": (float(len(first.noise)), "first filters that look like white noise"),
        "double_filters": (filters.extra(first.doubles.same, count), "first filters that a like one could replace"),
        "low": (low, "share of the first filters' energy below a third of the Nyquist frequency"),
        "mid": (mid, "share of it from a third to two thirds"),
        "high": (high, "share of it above two thirds"),
        "flat": (flat, "share of it that is a plain color"),
    }
    for layer, maps in list(found.maps.items())[:2]:
        share = len(maps.dead) / maps.maps
        named[f"dead/{layer}"] = share, f"{layer}: share of its {maps.maps} maps that no image excites"
        named[f"dominance/{layer}"] = maps.norms.dominance, f"{layer}: RMS of the strongest filter over the median"
        named[f"held/{layer}"] = maps.norms.held, f"{layer}: share of the filters at the radius or above"
    for one, excess in zip(examined.grids, examined.excess, strict=True):
        what = f"share of the second layer's projected energy in a grid of {one.period} pixels"
        named[f"grid_{one.period}"] = float(one.share.mean()), what
        beyond = f"{what}, beyond other periods; from {excess.low:.3g} to {excess.high:.3g} (95 %)"
        named[f"grid_{one.period}_excess"] = excess.value, beyond
    for layer, units in found.units.items():
        named[f"dead/{layer}"] = units.dead / units.units, f"{layer}: share of units that no image turns on"
        named[f"always/{layer}"] = units.always / units.units, f"{layer}: share of units that every image turns on"
    return named | {"sure": (found.sure, "share of images whose most probable class has a probability above 0.999")}
