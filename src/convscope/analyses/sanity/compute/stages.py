"""Weights of a layer and of those below it made random in stages, and how far projections change."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convscope.engine.dependence import Probe, mean_by_map, similarity
from convscope.engine.projection import Projection
from convscope.engine.randomization import WeightedLayer


class Stage(NamedTuple):
    """A step of the randomization. name: of the lowest layer in it. layers: that are random in this step alone."""

    name: str
    layers: list[WeightedLayer]


class Randomized(NamedTuple):
    """A layer by one rule with random weights. cascade, single [s, m]: see `RuleSanity`.

    drawn [s, d, 3, h, w]: projections of d units at each stage of the cascade.
    """

    cascade: Tensor
    single: Tensor
    drawn: Tensor


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


def randomize(
    compared: Probe, steps: Sequence[Stage], learned: Mapping[str, Projection], drawn: Tensor
) -> dict[str, Randomized]:
    """Measures the stages by every rule with the same random weights. learned: by rule. drawn: numbers of d units."""
    stages = dict[str, list[tuple[Tensor, ...]]]()
    for number, step in enumerate(steps):
        above = [layer for upper in steps[: number + 1] for layer in upper.layers]
        cascade = compared.projected_at_random(list(learned), above)
        single = compared.projected_at_random(list(learned), step.layers) if number else cascade
        for rule, projection in learned.items():
            values = [dependence_on(projection.values, by_rule[rule], compared) for by_rule in (cascade, single)]
            stages.setdefault(rule, []).append((*values, cascade[rule].cpu()[drawn]))
    return {rule: Randomized(*map(torch.stack, zip(*of, strict=True))) for rule, of in stages.items()}


def dependence_on(values: Tensor, others: Tensor, compared: Probe) -> Tensor:
    """Dependence [m] of the maps' projections [P, 3, h, w] on what makes them the others."""
    return mean_by_map(1 - similarity(values, others), compared.units.map)
