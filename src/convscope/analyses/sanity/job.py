"""job=sanity: is a projection about the net, the unit and the image (Adebayo et al. 2018, Nie et al. 2018)?"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.inputs import Inputs
from convscope.analyses.sanity.about import SanityConfig
from convscope.analyses.sanity.compute import LayerSanity, RuleSanity, choose_maps, layer_sanity, untrained_dependence
from convscope.analyses.sanity.figure import dependence_plot, strip_sheet
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import search_top9
from convscope.engine.blocks import default_layers
from convscope.engine.dependence import MEASURES, MapDependence
from convscope.engine.progress import track
from convscope.engine.trace import trace
from convscope.errors import UserError
from convscope.metrics.intervals import Interval, mean_interval
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Result, Table


def results(inputs: Inputs, config: SanityConfig) -> Iterator[Result]:
    """Opens the net and yields what job=sanity finds."""
    return sanity(inputs.subject(), config, inputs.seed, inputs.has_learned_weights)


def sanity(subject: Subject, config: SanityConfig, seed: int, learned: bool = True) -> Iterator[Result]:
    """Yields a plot and a table of what projections depend on, a strip of pictures for each layer, and the numbers.

    learned: whether the net has learned weights. Raises UserError for an unknown layer, for a single image, and where
    no map is excited by two images.
    """
    traced = trace(subject.net, subject.data.image_shape)
    layers = list(dict.fromkeys(config.layers or default_layers(subject.net, subject.data.image_shape)))
    for layer in layers:
        traced.layer(layer)  # raises for an unknown one
    if (count := subject.data.size(config.split)) < 2:
        raise UserError(f"sanity.split={config.split} has {count} image; two or more are needed, which are compared")
    measured = _measured(subject, config, layers, seed)
    if not measured:
        raise UserError(
            f"no map of {', '.join(layers)} is excited by two of the searched images, so no two projections can be "
            "compared; name other layers (sanity.layers=[...]) or search more images (sanity.searched=null)"
        )
    return _results(measured, [layer for layer in layers if layer not in {of.layer for of in measured}], learned)


def _measured(subject: Subject, config: SanityConfig, layers: list[str], seed: int) -> list[LayerSanity]:
    """The measurements of the layers with living maps."""
    count = subject.data.size(config.split)
    index = subject.data.choose(config.split, min(config.searched or count, count), seed)
    tops = search_top9(subject.net, subject.data, config.split, layers, index)
    untrained = untrained_dependence(subject, index, config.split, layers, config.maps, config.images, seed)
    measured = []
    for layer in track(layers, "comparing projections"):
        chosen = choose_maps(subject, config.split, layer, tops[layer], config.maps, config.images)
        if chosen:
            null = untrained.get(layer)
            measured.append(layer_sanity(subject.net, chosen, config.stages, config.drawn, null, seed))
    return measured


def _results(measured: Sequence[LayerSanity], dead: Sequence[str], learned: bool) -> Iterator[Result]:
    notes = [] if learned else ["The net has no learned weights: it is an untrained net itself."]
    notes += [f"No two images excite a map of {', '.join(dead)}."] if dead else []
    yield Conclusion("sanity", " ".join([headline(measured), *notes]))
    yield _plot(measured)
    yield _table(measured)
    for layer in measured:
        caption = f"{layer.layer}: projections as learned, with random weights, of another unit, and of another image"
        sheet = strip_sheet(layer, caption)
        caption += "; below each its similarity to the first (cosine)"
        yield Picture(f"sanity/{layer.layer}", sheet, caption, layer=layer.layer)
    yield _weights_table(measured)
    yield from _numbers(measured)
    yield Arrays("sanity/maps", {name: values for layer in measured for name, values in _tensors(layer)})


def drawn_rule(layer: LayerSanity) -> RuleSanity:
    """The layer by the rule that draws it."""
    return layer.rules[layer.choice.rule]


def headline(measured: Sequence[LayerSanity]) -> str:
    """One sentence with the means over the layers, by the rules that draw these, beside those of the untrained net."""
    drawn = [drawn_rule(layer) for layer in measured]
    means = [_mean([getattr(of.measured, name) for of in drawn]) for name in MEASURES]
    nulls = [_mean([getattr(of.untrained, name) for of in drawn if of.untrained]) for name in MEASURES]
    weights, unit, image, recovered = (
        f"{mean:.2f} (untrained net {null:.2f})" if math.isfinite(null) else f"{mean:.2f}"
        for mean, null in zip(means, nulls, strict=True)
    )
    layers = f"the {len(measured)} layers" if len(measured) > 1 else measured[0].layer
    return (
        f"Projections of {layers} depend on the weights {weights}, on the unit {unit}, on the image {image}, and "
        f"correlate with the edges of the image by {recovered}; unrelated pictures would give 1, 1, 1 and 0."
    )


def _mean(by_layer: Sequence[Tensor]) -> float:
    """Mean over layers of the means over maps [m]; nan where there is none."""
    means = [interval.value for interval in map(over_maps, by_layer) if math.isfinite(interval.value)]
    return float(np.mean(means)) if means else math.nan


def over_maps(values: Tensor | None) -> Interval:
    """Mean of finite values [m] with its interval."""
    finite = [] if values is None else values[values.isfinite()].tolist()
    return mean_interval(finite) if finite else Interval(math.nan, -math.inf, math.inf, 0)


def _plot(measured: Sequence[LayerSanity]) -> Picture:
    layers, rules = [layer.layer for layer in measured], list(measured[0].rules)

    def ends(values: Mapping[str, Sequence[MapDependence | None]], name: str) -> dict[str, NDArray[np.float64]]:
        by_rule = {rule: [over_maps(getattr(of, name, None)) for of in values[rule]] for rule in rules}
        bounded = {rule: [_bounded(interval) for interval in of] for rule, of in by_rule.items()}
        return {rule: np.array(of).T for rule, of in bounded.items()}

    learned = {rule: [layer.rules[rule].measured for layer in measured] for rule in rules}
    untrained = {rule: [layer.rules[rule].untrained for layer in measured] for rule in rules}
    drawn = [drawn_rule(layer) for layer in measured]
    chance = dict.fromkeys(MEASURES[:3], np.array([over_maps(of.chance).value for of in drawn]))
    chance["recovery"] = np.array([over_maps(of.chance_recovery).value for of in drawn])
    figure = dependence_plot(
        layers, {name: ends(learned, name) for name in MEASURES}, {name: ends(untrained, name) for name in MEASURES},
        chance, "What projections depend on, by layer and rule",
    )  # fmt: skip
    caption = (
        "Dependence: 1 minus the cosine of the projections of a map and of: random weights in all layers at and below "
        "it; another unit that answers at its place; the same map in another image. Vertical lines: 95 % intervals "
        f"over {len(drawn[0].measured.maps)} maps. Bands: those of an untrained net. Dots: chance, the "
        "projection with its own pixels in a random order, and for recovery the patch of another image"
    )
    return Picture("sanity/by_layer", figure, caption, plot=True)


def _bounded(interval: Interval) -> tuple[float, float, float]:
    """Value and ends; the value itself where the ends are infinite."""
    ends = (end if math.isfinite(end) else interval.value for end in (interval.low, interval.high))
    return interval.value, *ends  # type: ignore[return-value]


def _table(measured: Sequence[LayerSanity]) -> Table:
    rows = []
    for layer in measured:
        for rule, by_rule in layer.rules.items():
            row: dict[str, Any] = {"layer": layer.layer, "rule": rule, "draws": rule == layer.choice.rule}
            for name in MEASURES:
                row[name] = str(over_maps(getattr(by_rule.measured, name)))
                row[f"{name}, untrained"] = str(over_maps(getattr(by_rule.untrained, name, None)))
            row |= {
                "chance": str(over_maps(by_rule.chance)),
                "recovery, chance": str(over_maps(by_rule.chance_recovery)),
            }
            rows.append(row)
    caption = (
        "What projections depend on, 0 to 1, and their correlation with the edges of the image (recovery): mean [95 % "
        "interval] over maps. draws: the rule that draws the layer. untrained: the same of a net with random weights"
    )
    return Table("sanity/layers", rows, caption)


def _weights_table(measured: Sequence[LayerSanity]) -> Table:
    rows = [
        {
            "layer": layer.layer,
            "rule": rule,
            "random": f"{layer.stages[0]} to {stage}" if number else stage,
            "dependence": str(over_maps(by_rule.cascade[number])),
            "alone": stage,
            "dependence alone": str(over_maps(by_rule.single[number])),
        }
        for layer in measured
        for rule, by_rule in layer.rules.items()
        for number, stage in enumerate(layer.stages)
    ]
    caption = (
        "Cascading randomization: dependence where all layers down to this one are random, and where the last part of "
        "them alone is (mean [95 % interval] over maps)"
    )
    return Table("sanity/weights", rows, caption)


def _numbers(measured: Sequence[LayerSanity]) -> Iterator[Number]:
    """Yields the measures of each layer by the rule that draws it."""
    for layer in measured:
        by_rule = drawn_rule(layer)
        for name in MEASURES:
            interval, null = (
                over_maps(getattr(by_rule.measured, name)),
                over_maps(getattr(by_rule.untrained, name, None)),
            )
            if math.isfinite(interval.value):
                words = "correlation with the edges of the image" if name == "recovery" else f"dependence on the {name}"
                words = f"{layer.layer}, {words}, by {layer.choice.rule}: {interval}; of an untrained net: {null}"
                yield Number(f"sanity/{layer.layer}/{name}", interval.value, words, layer=layer.layer)


def _tensors(layer: LayerSanity) -> Iterator[tuple[str, Tensor]]:
    """Yields the values of all maps, by layer and rule."""
    for rule, by_rule in layer.rules.items():
        place = f"{layer.layer}.{rule}"
        yield from ((f"{place}.{name}", getattr(by_rule.measured, name)) for name in MEASURES)
        yield from ((f"{place}.cascade", by_rule.cascade), (f"{place}.single", by_rule.single))
