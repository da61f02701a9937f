"""One net examined for what job=diagnose tells of it, and the findings in words."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.analyses.diagnosis.compute import (
    Diagnosis,
    Grid,
    above_first,
    convolutions,
    diagnosis,
    filters,
    frequencies,
    grid_of_maps,
    periods,
    uncut,
    verdicts,
)
from convscope.analyses.diagnosis.compute.activity import activity, watched
from convscope.analyses.diagnosis.compute.verdicts import Count, Finding
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import FeatureView, SplitPixels, feature_view, strongest
from convscope.engine.progress import track
from convscope.engine.receptive_fields import fields
from convscope.metrics.intervals import Interval, mean_interval

BATCH = 64


class Examined(NamedTuple):
    """A net's diagnosis. second: maps of the first convolution that takes what its first one puts out, None without
    one. images: so many it was judged by."""

    found: Diagnosis
    second: FeatureView | None
    grids: list[Grid]
    images: int

    @property
    def excess(self) -> list[Interval]:
        """Of each grid the share of energy beyond that at other periods: mean over the maps and its interval."""
        return [mean_interval((one.share - one.beside).numpy()) for one in self.grids]


def examine(subject: Subject, plan: DiagnosisConfig, seed: int) -> Examined:
    """A pass over the images for what they excite, and for the second layer another one and its projections."""
    net, size = subject.net, subject.data.settings.image_size
    layers = watched(net, size)
    names = convolutions(layers)
    index = subject.data.choose(plan.split, plan.images, seed)
    parts = track(index.split(BATCH), "images")
    seen = activity(net, (subject.data.images(plan.split, part) for part in parts), layers)
    found = diagnosis(net, layers, seen, plan.radius)
    second = above_first(net, size, names)
    if second is None:
        return Examined(found, None, [], len(index))
    shown = _projections(subject, plan, second, index, seed)
    whole = uncut(shown.projections, shown.top.row, shown.top.col, fields(net, size)[second], size)
    grids = [grid_of_maps(whole, period) for period in periods(net, size, names[0], second)]
    return Examined(found, shown, [one for one in grids if one], len(index))


def find(examined: Examined, radius: float | None) -> list[Finding]:
    """The findings, from the pixels up."""
    found, first = examined.found, examined.found.first
    count = len(first.weight)
    pairs = first.doubles
    extra = filters.extra(pairs.same, count)
    rows = [
        verdicts.useless_filters(first.layer, Count(len(first.weak), count), Count(len(first.noise), count)),
        verdicts.double_filters(first.layer, Count(extra, count), (len(pairs[0]), len(pairs[1]), len(pairs[2]))),
        verdicts.frequencies(first.layer, first.bands[:3], frequencies.white()),
        *_norm_findings(found, radius),
        *_dead_findings(examined),
    ]
    if examined.second is not None:
        rows += _grid_findings(examined)
    for layer, one in found.units.items():
        rows.append(verdicts.units(layer, Count(one.dead, one.units), Count(one.always, one.units), one.mean))
    return [*rows, verdicts.logits("classes", found.sure)]


def _projections(subject: Subject, plan: DiagnosisConfig, layer: str, index: Tensor, seed: int) -> FeatureView:
    """What the strongest of these images show of up to plan.maps maps of the layer, a choice that depends on seed."""
    top = strongest(subject.net, subject.data, plan.split, [layer], index)[layer]
    order = torch.randperm(len(top.score), generator=torch.Generator().manual_seed(seed))
    return feature_view(
        subject.net, SplitPixels(subject.data, plan.split), layer, top, sorted(order[: plan.maps].tolist())
    )


def _dead_findings(examined: Examined) -> list[Finding]:
    """The first two convolutions each in a row, those above together."""
    found, first = examined.found.maps, examined.found.first.layer
    names = list(found)
    rows = [
        verdicts.dead_maps(name, Count(len(found[name].dead), found[name].maps), name == first, examined.images)
        for name in names[:2]
    ]
    if above := names[2:]:
        dead, count = sum(len(found[name].dead) for name in above), sum(found[name].maps for name in above)
        label = above[0] if len(above) == 1 else f"{above[0]} to {above[-1]}"
        rows.append(verdicts.dead_maps(label, Count(dead, count), False, examined.images))
    return rows


def _norm_findings(found: Diagnosis, radius: float | None) -> list[Finding]:
    """The first convolution, and of the others the one where the strongest filter stands out most."""
    first = found.first.layer
    worst = max((name for name in found.maps if name != first), key=lambda name: found.maps[name].norms.dominance,
                default=first)  # fmt: skip
    chosen = list(dict.fromkeys([first, worst]))
    norms = {name: found.maps[name].norms for name in chosen}
    return [verdicts.dominance(name, one.dominance, one.held, radius) for name, one in norms.items()]


def _grid_findings(examined: Examined) -> list[Finding]:
    assert examined.second is not None
    layer = examined.second.layer
    if not examined.grids:
        why = "its projections show no grid of two pixels or more that could be told from an edge"
        return [verdicts.no_grid(layer, why)]
    return [
        verdicts.grid(layer, one.period, float(one.share.mean()), float(one.beside.mean()), (excess.low, excess.high))
        for one, excess in zip(examined.grids, examined.excess, strict=True)
    ]
