"""job=ablate: what each map of a layer is for, and which maps made which mistakes."""

from collections.abc import Iterator

import torch

from convscope.analyses.ablation.about import AblationConfig
from convscope.analyses.ablation.compute import (
    MEAN,
    ZERO,
    LayerEffects,
    ScoredImages,
    chosen_maps,
    layer_effects,
    scored_images,
)
from convscope.analyses.ablation.compute.mistakes import most_certain_mistakes, take_apart
from convscope.analyses.ablation.job.effects import (
    CLEAR,
    INSTEAD,
    LayerOutcome,
    effects_plots,
    effects_table,
    in_words,
    outcome,
    outcome_table,
)
from convscope.analyses.ablation.job.map_pictures import BEHIND, MapPictures, mistake_results
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.weak_nets import chance_level
from convscope.engine.layers import layer_roles
from convscope.engine.upper_part import UpperPart
from convscope.metrics.intervals import interval_text, share_interval
from convscope.runs.record import Arrays, Conclusion, Number, Result


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
        outcomes = {value: outcome(images, effects, value) for value in values}
        yield Conclusion(f"ablation/{part.layer}", in_words(part.layer, outcomes), layer=part.layer)
        yield outcome_table(effects, outcomes)
        yield from _layer_numbers(images, effects, outcomes)
        for value in values:
            yield effects_table(images, effects, value)
        yield from effects_plots(images, effects, values)
        yield pictures.needed()
        yield _arrays(effects)
        if last and plan.mistakes:
            yield from mistake_results(images, effects, mistakes, (values[0], pictures))


def _layer_numbers(images: ScoredImages, effects: LayerEffects, outcomes: dict[str, LayerOutcome]) -> Iterator[Number]:
    """What came out: the largest falls, how many maps matter more than random directions, the net itself."""
    layer, plain = effects.part.layer, effects.plain
    for value, of in outcomes.items():
        yield from _falls(layer, value, of)
    chance = chance_level(plain.label, len(images.subject.data.classes))
    right = share_interval(int(plain.right.sum()), len(plain.index))
    words = f"Accuracy of the net with all maps on, {len(plain.index)} images, chance {100 * chance:.3g} %: "
    words += interval_text(100 * right.value, 100 * right.low, 100 * right.high)
    if right.low <= chance:
        words += "; the net hardly knows these images, so what its maps are for means little"
    yield Number(f"ablation/{layer}/accuracy", 100 * right.value, words, layer=layer)


def _falls(layer: str, value: str, of: LayerOutcome) -> Iterator[Number]:
    """The numbers where `value` is in the place of a map."""
    name, fall, off = f"ablation/{layer}/{value}", of.of_class, f"off ({INSTEAD[value]})"
    words = f"Points by which the probability of {fall.what} changes where map {fall.map} of {layer} is {off}, the "
    words += f"largest fall of a class by one map: {fall.interval}; by one of {of.directions} random directions "
    yield Number(f"{name}/class_fall", fall.value, f"{words}at most {of.by_direction:.1f}", layer=layer)
    words = f"Maps of {layer}, of {of.maps}, that cost the true class more than every one of {of.directions} random "
    words += f"directions, {off}: {of.beyond}; if they were such directions, about {of.expected:.2g} would"
    yield Number(f"{name}/beyond_random", of.beyond, words, layer=layer)
    fall = of.of_accuracy
    words = f"Points of accuracy change where map {fall.map} of {layer}, the one that costs most, is {off}: "
    yield Number(f"{name}/largest_fall", fall.value, words + fall.interval, layer=layer)
    words = f"Maps of {layer} whose loss ({INSTEAD[value]}) costs accuracy, false discovery rate {CLEAR:.0%}: "
    yield Number(f"{name}/clear_falls", of.clear_falls, f"{words}{of.clear_falls}", layer=layer)


def _arrays(effects: LayerEffects) -> Arrays:
    """The sums by map and class, for later analysis."""
    names = "lost", "gained", "log_probability", "probability"
    tensors = {f"{value}_{name}": getattr(of, name) for value, of in effects.by_map.items() for name in names}
    images = next(iter(effects.by_map.values())).images
    return Arrays(f"ablation/{effects.part.layer}", {**tensors, "images": images, "maps": torch.tensor(effects.maps)})
