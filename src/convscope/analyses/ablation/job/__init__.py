"""job=ablate: what each map of a layer is for, and which maps made which mistakes."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from convscope.analyses.ablation.about import AblationConfig
from convscope.analyses.ablation.compute import (
    MEAN,
    ZERO,
    LayerEffects,
    SplitImages,
    chosen_maps,
    layer_effects,
    scored_images,
)
from convscope.analyses.ablation.compute.mistakes import most_certain_mistakes, take_apart
from convscope.analyses.ablation.job.effects import CLEAR, INSTEAD, effects_plots, effects_table, of_maps
from convscope.analyses.ablation.job.map_pictures import BEHIND, MapPictures, mistake_results
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.engine.layers import layer_roles
from convscope.engine.upper_part import UpperPart
from convscope.metrics.intervals import share_interval
from convscope.metrics.paired_counts import false_discovery_rates
from convscope.runs.record import Arrays, Number, Result


def results(inputs: Inputs, config: AblationConfig) -> Iterator[Result]:
    """Opens the net and yields what job=ablate finds."""
    return ablate(inputs.subject(), config, inputs.seed)


def ablate(subject: Subject, plan: AblationConfig, seed: int) -> Iterator[Result]:
    """Yields for each layer the effects of its maps beside those of random directions, then mistakes taken apart.

    Raises UserError, before anything is computed, for an unknown layer or map, for images without labels, and for a
    layer on which the answer does not depend.
    """
    images = scored_images(subject, plan.split, plan.images, seed)
    layers = plan.layers or [layer_roles(subject.net, subject.data.image_shape).maps]
    parts = [UpperPart(subject.net, subject.data.image_shape, layer) for layer in dict.fromkeys(layers)]
    maps = [chosen_maps(part, plan.maps, seed) for part in parts]
    values: list[str] = [ZERO, MEAN] if plan.value == "both" else [plan.value]
    for number, (part, numbers) in enumerate(zip(parts, maps, strict=True)):
        effects = layer_effects(images, part, numbers, values, plan.random, seed)
        last = number == len(parts) - 1
        wrong = most_certain_mistakes(effects.plain, plan.mistakes if last else 0)
        mistakes = [take_apart(images, effects, int(index), values[0], seed) for index in wrong]
        pictures = MapPictures(
            images, effects, values[0], [name for mistake in mistakes for name in mistake.maps[:BEHIND]]
        )
        yield from _layer_numbers(images, effects, values)
        for value in values:
            yield effects_table(images, effects, value)
        yield from effects_plots(images, effects, values)
        yield pictures.needed()
        yield _arrays(effects)
        if last and plan.mistakes:
            yield from mistake_results(images, effects, mistakes, (values[0], pictures))


def _layer_numbers(images: SplitImages, effects: LayerEffects, values: Sequence[str]) -> Iterator[Number]:
    """What came out: the largest falls, how many maps matter more than random directions, the net itself."""
    for value in values:
        yield _class_fall(images, effects, value)
        yield from _accuracy_falls(effects, value)
    layer, plain, chance = effects.part.layer, effects.plain, 1 / len(images.subject.classes)
    right = share_interval(int(plain.right.sum()), len(plain.index))
    words = f"Accuracy of the net with all maps on, {len(plain.index)} images, chance {100 * chance:.3g} %: "
    words += f"{100 * right.value:.1f} [{100 * right.low:.1f}, {100 * right.high:.1f}]"
    if right.low <= chance:
        words += "; the net is near chance, so what its maps are for means little"
    yield Number(f"ablation/{layer}/accuracy", 100 * right.value, words, layer=layer)


def _accuracy_falls(effects: LayerEffects, value: str) -> Iterator[Number]:
    """How many maps cost the true class more than random directions do, and what they cost in accuracy."""
    layer, maps, by_map = effects.part.layer, np.array(effects.maps), effects.by_map[value]
    certainty, accuracy = of_maps(by_map.log_probabilities(), maps), of_maps(by_map.accuracy(), maps)
    null = effects.by_direction[value].log_probabilities().value
    beyond = int((certainty.value < null.min()).sum())
    words = f"{beyond} of {len(maps)} maps of {layer}, off ({INSTEAD[value]}), cost the true class more than any of "
    words += f"{len(null)} random directions taken away; chance would give {len(maps) / (len(null) + 1):.1f}"
    yield Number(f"ablation/{layer}/{value}/beyond_random", beyond, words, layer=layer)
    worst = int(accuracy.value.argmin())
    points = ", ".join(f"{100 * ends[worst]:.2f}" for ends in (accuracy.low, accuracy.high))
    words = f"Points of accuracy change where map {maps[worst]} of {layer}, the one that costs most, is off "
    words += f"({INSTEAD[value]}): {100 * accuracy.value[worst]:.2f} [{points}]"
    yield Number(f"ablation/{layer}/{value}/largest_fall", 100 * accuracy.value[worst], words, layer=layer)
    clear = int(((false_discovery_rates(accuracy.p) < CLEAR) & (accuracy.value < 0)).sum())
    words = f"Maps of {layer} whose loss ({INSTEAD[value]}) costs accuracy, false discovery rate {CLEAR:.0%}: {clear}"
    yield Number(f"ablation/{layer}/{value}/clear_falls", clear, words, layer=layer)


def _class_fall(images: SplitImages, effects: LayerEffects, value: str) -> Number:
    """The largest fall of a class by a map, beside the largest by a random direction."""
    layer, by_map = effects.part.layer, effects.by_map[value]
    changes = of_maps(by_map.class_probability(), effects.maps)
    null = effects.by_direction[value].class_probability().value.min()
    row, column = np.unravel_index(changes.value.argmin(), changes.value.shape)
    fall, low, high = (100 * float(field[row, column]) for field in changes[:3])
    name = images.subject.data.classes[column]
    words = f"Points by which the probability of {name} changes where map "
    words += f"{effects.maps[row]} of {layer} is off ({INSTEAD[value]}), the largest fall of a class by one map: "
    words += (
        f"{fall:.1f} [{low:.1f}, {high:.1f}]; the largest by " if np.isfinite(low) else f"{fall:.1f}; the largest by "
    )
    words += f"{len(effects.by_direction[value].changed)} random directions: {100 * null:.1f}"
    return Number(f"ablation/{layer}/{value}/class_fall", fall, words, layer=layer)


def _arrays(effects: LayerEffects) -> Arrays:
    """The sums by map and class, for later analysis."""
    names = "lost", "gained", "log_probability", "probability"
    tensors = {f"{value}_{name}": getattr(of, name) for value, of in effects.by_map.items() for name in names}
    images = next(iter(effects.by_map.values())).images
    return Arrays(f"ablation/{effects.part.layer}", {**tensors, "images": images, "maps": torch.tensor(effects.maps)})
