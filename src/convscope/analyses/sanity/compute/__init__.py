"""Projections of a layer by each rule, and what they are like with random weights, for other units and other images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.analyses.sanity.compute.stages import Randomized, dependence_on, randomization_stages, randomize
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
    first_units,
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
from convscope.engine.projection_rule import RuleChoice, measured_maps, plain_chain, rule_by
from convscope.engine.randomization import randomized, weighted_layers
from convscope.engine.regions import cut_regions
from convscope.engine.top9 import Top9
from convscope.engine.top9_search import Search
from convscope.engine.trace import trace
from convscope.errors import UserError

OUTSIDE = 128  # grey level of a patch outside the image
BATCH_NORM_IMAGES = 32  # on which the batch norms of the untrained net are measured
EPOCH_MAPS = 3  # of a layer, measured after an epoch


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
    learned = {rule: project_fields(net, chosen.images, chosen.layer, chosen.units, rule) for rule in RULES}
    steps = randomization_stages(chosen.layer, compared.layers, stages)
    random = randomize(compared, steps, learned, first_units(chosen.units, 1)[:drawn])
    rules = {
        rule: _rule_sanity(compared, chosen, rule, projection, random[rule], (untrained or {}).get(rule))
        for rule, projection in learned.items()
    }
    chain = plain_chain(net, tuple(chosen.images.shape[1:]), chosen.layer)
    choice = rule_by({rule: by_rule.measured for rule, by_rule in rules.items()}, chain)
    return LayerSanity(chosen.layer, choice, [step.name for step in steps], rules)


def _rule_sanity(
    compared: Probe,
    chosen: ChosenMaps,
    rule: str,
    projection: Projection,
    random: Randomized,
    untrained: MapDependence | None,
) -> RuleSanity:
    values, maps = projection.values.cpu(), compared.units.map
    other = compared.projected_others(rule).cpu()
    image_patches = patches(chosen.images, chosen.units, projection)
    measured = MapDependence(
        maps.unique().tolist(), random.cascade[-1], dependence_on(values, other, compared),
        1 - similarity_of_images(values, maps), mean_by_map(recovery(values, image_patches), maps),
    )  # fmt: skip
    another = next_image(chosen.units)
    return RuleSanity(
        measured, untrained, random.cascade, random.single,
        dependence_on(values, shuffled(values, compared.seed), compared),
        mean_by_map(recovery(values, image_patches[another]), maps),
        list(_strip(chosen, projection, random.drawn, other)),
    )  # fmt: skip


def next_image(units: Units) -> Tensor:
    """For each unit the number of that of the same map in the next image; the last one's next is the first."""
    following = torch.arange(len(units.map))
    for number in units.map.unique():
        places = (units.map == number).nonzero()[:, 0]
        following[places] = places.roll(-1)
    return following


def _strip(chosen: ChosenMaps, projection: Projection, drawn: Tensor, others: Tensor) -> Iterator[StripRow]:
    """Rows of the first maps, whose random projections are `drawn`, cut to where the learned one has its energy."""
    values, another = projection.values.cpu(), next_image(chosen.units)
    pixels = patches(chosen.pixels, chosen.units, projection, OUTSIDE)
    for row, place in enumerate(first_units(chosen.units, 1)[: drawn.shape[1]].tolist()):
        second = int(another[place])
        squares = energy_squares(values[[place, second]].float())
        stack = torch.cat([values[[place]], drawn[:, row], others[[place]], values[[second]]])
        corners = squares.of(torch.tensor([0] * (len(stack) - 1) + [1]))
        cut = cut_regions(stack, torch.arange(len(stack)), corners)
        likeness = similarity(stack[:1].expand_as(stack), stack).tolist()
        patch = cut_regions(pixels[[place]], torch.tensor([0]), squares.of(torch.tensor([0])), OUTSIDE)[0]
        yield StripRow(int(chosen.units.map[place]), patch, cut, likeness)


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
