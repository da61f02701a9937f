"""What is drawn and said of one examined net, or of several beside each other (section 4.1, Fig. 6)."""

from typing import Any

import torch

from convscope.analyses.diagnosis.compute import filters, frequencies
from convscope.analyses.diagnosis.figure import FirstFilters, first_filters
from convscope.analyses.diagnosis.job.examination import Examined
from convscope.models.renorm import filter_rms


def first_filter_plot(nets: dict[str, Examined], radius: float | None) -> Any:
    """Energy by frequency and RMS of the first filters of several nets, by label."""
    lines = []
    for label, examined in nets.items():
        weight = examined.found.first.weight
        middle, energy = frequencies.radial_profile(weight)
        lines.append(FirstFilters(label, energy.numpy(), filter_rms(weight).numpy()))
    white = frequencies.radial_profile(torch.ones(1, 1, 1, 1))[1].numpy()  # a single pixel has all frequencies alike
    return first_filters(lines, middle.numpy(), white, (frequencies.LOW, frequencies.HIGH), radius)


def numbers(examined: Examined) -> dict[str, tuple[float, str]]:
    """Every measured number under its name, with what it is in words; of layers those of the first two convolutions."""
    found, first = examined.found, examined.found.first
    low, mid, high, flat = first.bands
    count = len(first.weight)
    named = {
        "weak_filters": (float(len(first.weak)), "first filters with an RMS below a tenth of the median"),
        "noise_filters": (float(len(first.noise)), "first filters that look like white noise"),
        "double_filters": (
            filters.redundant_count(first.doubles.same, count),
            "first filters that a like one could replace",
        ),
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
