"""Projections of a layer by each rule, and what they are like with random weights, for other units and other images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import SplitPixels, exciting_units, search_top9
from convscope.data.epoch_images import EpochImages
from convscope.data.images import SplitName
from convscope.engine.deconvnet import RULES, Units
from convscope.engine.dependence import (
    COMPARED,
    MEASURES,
    MapDependence,
    Probe,
    mean_by_map,
    measure,
    probe,
    recovery,
    shuffled,
    similarity,
    similarity_of_images,
)
from convscope.engine.energy_squares import energy_squares
from convscope.engine.projection import Projection, patches, project_fields
from convscope.engine.projection_rule import RuleChoice, choose_rule, measured_maps, plain_chain
from convscope.engine.randomization import WeightedLayer, randomized, weighted_layers
from convscope.engine.regions import cut_regions
from convscope.engine.top9 import Top9
from convscope.engine.top9_search import Search
from convscope.engine.trace import trace
from convscope.errors import UserError

OUTSIDE = 128  # grey level of a patch outside the image
BATCH_NORM_IMAGES = 32  # on which the batch norms of the untrained net are measured
EPOCH_MAPS = 3  # of a layer, measured after an epoch


class Stage(NamedTuple):
    """A step of the randomization. name: of the lowest layer in it. layers: that are random in this step alone."""

    name: str
    layers: list[WeightedLayer]


class StripRow(NamedTuple):
    """Pictures of one map's strongest image. patch [3, S, S] uint8. projections [n, 3, S, S]: as learned, by each stage
    of the cascade, of another unit, of another image. similarities [n]: to the first; nan where one shows nothing."""

    map: int
    patch: Tensor
    projections: Tensor
    similarities: list[float]


class RuleSanity(NamedTuple):
    """A layer by one rule. measured, untrained: of the net's maps, and of those of a net with random weights.

    cascade, single [s, m]: dependence on the weights where all stages down to this one are random, or this one alone.
    chance [m]: dependence on the order of the pixels. chance_recovery [m]: of another image.
    """

    measured: MapDependence
    untrained: MapDependence | None
    cascade: Tensor
    single: Tensor
    chance: Tensor
    chance_recovery: Tensor
    strip: list[StripRow]


class LayerSanity(NamedTuple):
    """All of one layer. choice: the rule that draws it, and why. stages: from the layer down. rules: by name."""

    layer: str
    choice: RuleChoice
    stages: list[str]
    rules: dict[str, RuleSanity]


class ChosenMaps(NamedTuple):
    """Some maps of a layer, their strongest images [N, 3, H, W] as the net sees them and as pixels, and their units."""

    layer: str
    units: Units
    images: Tensor
    pixels: Tensor


def randomization_stages(layer: str, layers: Sequence[WeightedLayer], count: int) -> list[Stage]:
    """At most `count` stages: the block of the layer itself, then those below it in parts of about equal number.

    layers: at and below the layer, itself first. A block is what has the same name to the depth of the layer's name,
    such as features.8 of features.8.squeeze and features.8.expand beside a layer features.10.
    """
    depth, blocks = layer.count(".") + 1, dict[str, list[WeightedLayer]]()
    for weighted in layers:
        blocks.setdefault(".".join(weighted.name.split(".")[:depth]), []).append(weighted)
    first, *lower = blocks or [""]
    parts = [part.tolist() for part in np.array_split(lower, min(count - 1, len(lower)) or 1) if len(part)]
    parts = [[first], *parts] if count > 1 else [[first, *lower]]
    return [Stage(part[-1], [weighted for block in part for weighted in blocks[block]]) for part in parts if blocks]


def choose_maps(subject: Subject, split: SplitName, layer: str, top: Top9, maps: int, images: int) -> ChosenMaps | None:
    """Evenly spread maps that two images or more excite, with these; None where there are no such maps."""
    record = top._replace(score=top.score[:, :images], image=top.image[:, :images])
    if not (numbers := measured_maps(record, maps)):
        return None
    units, inputs, indices = exciting_units(subject.net, SplitPixels(subject.data, split), top, numbers, images)
    return ChosenMaps(layer, units, inputs, subject.data.pixels(split, indices))


def layer_sanity(
    net: nn.Module,
    chosen: ChosenMaps,
    stages: int,
    drawn: int,
    untrained: Mapping[str, MapDependence] | None,
    seed: int,
) -> LayerSanity:
    """Measures a layer by every rule. untrained: the measurements of the untrained net, by rule.

    Raises UserError for a layer that depends on no weights.
    """
    compared = probe(net, chosen.images, chosen.layer, chosen.units, seed)
    if not compared.layers:
        raise UserError(f"no weights are at or below {chosen.layer}, so nothing can depend on any; name another layer")
    steps = randomization_stages(chosen.layer, compared.layers, stages)
    rules = {rule: _rule_sanity(compared, chosen, rule, steps, drawn, (untrained or {}).get(rule)) for rule in RULES}
    choice = choose_rule(net, chosen.images, chosen.layer, chosen.units)
    return LayerSanity(chosen.layer, choice, [step.name for step in steps], rules)


def _rule_sanity(
    compared: Probe, chosen: ChosenMaps, rule: str, steps: Sequence[Stage], drawn: int, untrained: MapDependence | None
) -> RuleSanity:
    layer, units = chosen.layer, chosen.units
    projection = project_fields(compared.net, chosen.images, layer, units, rule)
    values, maps = projection.values.cpu(), units.map
    above = [[layer for upper in steps[: number + 1] for layer in upper.layers] for number in range(len(steps))]
    cascade = [compared.projected_at_random([rule], layers)[rule].cpu() for layers in above]
    single = cascade[:1] + [compared.projected_at_random([rule], step.layers)[rule].cpu() for step in steps[1:]]
    other = compared.projected_others(rule).cpu()
    image_patches = patches(chosen.images, units, projection)
    measured = MapDependence(
        maps.unique().tolist(), _dependence(values, cascade[-1:], maps)[0], _dependence(values, [other], maps)[0],
        1 - similarity_of_images(values, maps), mean_by_map(recovery(values, image_patches), maps),
    )  # fmt: skip
    another = next_image(units)
    return RuleSanity(
        measured, untrained, _dependence(values, cascade, maps), _dependence(values, single, maps),
        _dependence(values, [shuffled(values, compared.seed)], maps)[0],
        mean_by_map(recovery(values, image_patches[another]), maps),
        list(_strip(chosen, projection, [*cascade, other], drawn)),
    )  # fmt: skip


def _dependence(values: Tensor, others: Sequence[Tensor], maps: Tensor) -> Tensor:
    """Dependence [s, m] of the maps' projections on what makes them the others, s times [P, 3, h, w]."""
    return torch.stack([mean_by_map(1 - similarity(values, other), maps) for other in others])


def next_image(units: Units) -> Tensor:
    """For each unit the number of that of the same map in the next image; the last one's next is the first."""
    following = torch.arange(len(units.map))
    for number in units.map.unique():
        places = (units.map == number).nonzero()[:, 0]
        following[places] = places.roll(-1)
    return following


def _strip(chosen: ChosenMaps, projection: Projection, others: Sequence[Tensor], drawn: int) -> Iterator[StripRow]:
    """Rows of the first `drawn` maps, cut to where the learned projection has its energy."""
    values, another = projection.values.cpu(), next_image(chosen.units)
    pixels = patches(chosen.pixels, chosen.units, projection, OUTSIDE)
    for number in chosen.units.map.unique()[:drawn].tolist():
        place = int((chosen.units.map == number).nonzero()[0])
        second = int(another[place])
        squares = energy_squares(values[[place, second]].float())
        stack = torch.stack([values[place], *(other[place] for other in others), values[second]])
        corners = squares.of(torch.tensor([0] * (len(others) + 1) + [1]))
        cut = cut_regions(stack, torch.arange(len(stack)), corners)
        likeness = similarity(stack[:1].expand_as(stack), stack).tolist()
        patch = cut_regions(pixels[[place]], torch.tensor([0]), squares.of(torch.tensor([0])), OUTSIDE)[0]
        yield StripRow(number, patch, cut, likeness)


def untrained_dependence(
    subject: Subject, index: Tensor, split: SplitName, layers: Sequence[str], maps: int, images: int, seed: int
) -> dict[str, dict[str, MapDependence]]:
    """By layer and rule, what the projections of the net with random weights in all these layers depend on.

    index: the images of the split that are searched. A layer without living maps is left out.
    """
    shape, net = subject.data.image_shape, subject.net
    weighted = {of.name: of for layer in layers for of in weighted_layers(net, trace(net, shape), layer)}
    sample = subject.data.images(split, index[:BATCH_NORM_IMAGES]).to(subject.device)
    measured = {}
    with randomized(net, list(weighted.values()), sample, seed + 1):
        tops = search_top9(net, subject.data, split, layers, index)
        for layer, top in tops.items():
            if chosen := choose_maps(subject, split, layer, top, maps, images):
                measured[layer] = measured_rules(net, chosen, RULES, seed)
    return measured


def measured_rules(net: nn.Module, chosen: ChosenMaps, rules: Sequence[str], seed: int = 0) -> dict[str, MapDependence]:
    """`measure` of some maps by these rules."""
    units, images = chosen.units, chosen.images
    projections = {rule: project_fields(net, images, chosen.layer, units, rule) for rule in rules}
    return measure(net, images, chosen.layer, units, projections, seed)


def measure_epoch(
    net: nn.Module, images: EpochImages, layers: Sequence[str], memory: Mapping[str, Tensor]
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Columns depends_on_weights/<layer>, depends_on_unit/<layer>, depends_on_image/<layer>, from a few maps of each.

    By the deconvnet in plain chains with max pooling and guided elsewhere, whatever the weights, so that the numbers of
    all epochs are of one rule. Remembers nothing.
    """
    inputs = images.image.to(next(net.parameters()).device)
    with torch.inference_mode(), Search(net, layers) as search:
        search.watch(torch.arange(len(inputs)))
        net(inputs)
    columns = dict[str, float]()
    for layer, top in search.top.items():
        record = Top9(*(field[:, :COMPARED] for field in top))
        if not (numbers := measured_maps(record, EPOCH_MAPS)):
            continue
        map_of, rank = (record.score[numbers] > 0).nonzero(as_tuple=True)
        image, row, col = (field[numbers][map_of, rank] for field in (record.image, record.row, record.col))
        units = Units(image, torch.tensor(numbers)[map_of], row, col)
        rule = RULES[not plain_chain(net, tuple(inputs.shape[1:]), layer)]
        mean = measured_rules(net, ChosenMaps(layer, units, inputs, images.pixels), [rule])[rule].mean
        columns |= {
            f"depends_on_{name}/{layer}": value
            for name, value in zip(MEASURES[:3], mean, strict=False)
            if value == value
        }
    return columns, {}
