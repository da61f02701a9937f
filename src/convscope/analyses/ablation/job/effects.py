"""The effects of the maps of a layer in numbers, as tables and as plots."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from convscope.analyses.ablation.compute import MEAN, ZERO, Effects, LayerEffects, ScoredImages
from convscope.analyses.ablation.figure import ClassChanges, class_plot, effects_plot
from convscope.metrics.intervals import interval_text
from convscope.metrics.paired_counts import Changes, false_discovery_rates
from convscope.runs.record import Picture, Table

CLEAR = 0.05  # false discovery rate below which a change counts as clear of chance
NAMED = 3  # classes in a cell of the table
INSTEAD = {ZERO: "zero", MEAN: "its mean over the images"}


def of_maps(changes: Changes, maps: Any) -> Changes:
    return Changes(*(field[maps] for field in changes))


class LargestFall(NamedTuple):
    """The largest change by one map, in points. what: whose. interval: value and ends, as text."""

    what: str
    map: int
    value: float
    interval: str


class LayerOutcome(NamedTuple):
    """What switching off the maps of a layer, with this value in their place, came to.

    beyond: how many of `maps` cost the true class more than every one of `directions` random ones; expected: how many
    would if maps were such directions. of_class, of_accuracy: the largest falls by a map; by_direction: the largest
    change of a class by a random direction, in points, nan without any. clear_falls: how many maps cost accuracy.
    """

    maps: int
    directions: int
    beyond: int
    expected: float
    of_class: LargestFall
    by_direction: float
    of_accuracy: LargestFall
    clear_falls: int


def outcome(images: ScoredImages, effects: LayerEffects, value: str) -> LayerOutcome:
    """The numbers of a layer."""
    maps, by_map, null = np.array(effects.maps), effects.by_map[value], effects.by_direction[value]
    certainty, accuracy = of_maps(by_map.log_probabilities(), maps), of_maps(by_map.accuracy(), maps)
    directions = null.log_probabilities().value
    classes = of_maps(by_map.class_probability(), maps)
    row, column = np.unravel_index(classes.value.argmin(), classes.value.shape)
    name, worst = images.subject.data.classes[column], int(accuracy.value.argmin())
    return LayerOutcome(
        maps=len(maps),
        directions=len(directions),
        beyond=int((certainty.value < directions.min(initial=0)).sum()),
        expected=len(maps) / (len(directions) + 1),
        of_class=_largest(name, maps[row], of_maps(classes, (row, column))),
        by_direction=100 * float(null.class_probability().value.min(initial=0)),
        of_accuracy=_largest("accuracy", maps[worst], of_maps(accuracy, worst)),
        clear_falls=int(((false_discovery_rates(accuracy.p) < CLEAR) & (accuracy.value < 0)).sum()),
    )


def _largest(what: str, number: Any, change: Changes) -> LargestFall:
    value, low, high = (100 * float(field) for field in change[:3])
    return LargestFall(what, int(number), value, interval_text(value, low, high))


def outcome_table(effects: LayerEffects, outcomes: dict[str, LayerOutcome]) -> Table:
    """A row for each value in the place of a map."""
    layer = effects.part.layer
    rows = [
        {
            "in its place": INSTEAD[value],
            "maps": of.maps,
            "beyond random": of.beyond,
            "expected": round(of.expected, 1),
            "largest fall of a class": f"{of.of_class.what}, map {of.of_class.map}: {of.of_class.interval}",
            "by a direction": round(of.by_direction, 1),
            "largest fall of accuracy": f"map {of.of_accuracy.map}: {of.of_accuracy.interval}",
            "clear falls": of.clear_falls,
        }
        for value, of in outcomes.items()
    ]
    directions = next(iter(outcomes.values())).directions
    caption = (
        f"beyond random: maps of {layer} that cost the true class more log-probability than every one of {directions} "
        f"random directions; expected: how many would if they were such directions. Falls in points with 95 % "
        "intervals, of a class's mean probability beside the largest by a random direction, and of accuracy. clear "
        f"falls: maps that cost accuracy at a false discovery rate of {CLEAR:.0%}"
    )
    return Table(f"ablation/{layer}", rows, caption, layer=layer)


def in_words(layer: str, outcomes: dict[str, LayerOutcome]) -> str:
    """What came out where the first value is in the place of a map."""
    value, of = next(iter(outcomes.items()))
    fall = of.of_class
    return (
        f"{of.beyond} of {of.maps} maps of {layer} cost the true class more than every one of {of.directions} random "
        f"directions ({of.expected:.2g} would if they were such directions). Most of all {fall.what} needs map "
        f"{fall.map}: with {INSTEAD[value]} in its place its probability changes by {fall.interval} points (without a "
        f"random direction by {of.by_direction:.1f} at most)."
    )


def effects_table(images: ScoredImages, effects: LayerEffects, value: str) -> Table:
    """A row for each map that was switched off, the ones that cost the true class most first."""
    layer, by_map = effects.part.layer, effects.by_map[value]
    accuracy, certainty, maps = by_map.accuracy(), by_map.log_probabilities(), np.array(effects.maps)
    rates = dict(zip(effects.maps, false_discovery_rates(accuracy.p[maps]), strict=True))
    falls, names = _clear_changes(effects, value), list(images.subject.data.classes)
    rows = [
        {
            "layer": layer,
            "map": number,
            "accuracy change": 100 * accuracy.value[number],
            "low": 100 * accuracy.low[number],
            "high": 100 * accuracy.high[number],
            "q": rates[number],
            "log p change": certainty.value[number],
            "log p low": _finite(certainty.low[number]),
            "log p high": _finite(certainty.high[number]),
            "images changed": int(by_map.changed[number]),
            "most hurt": _listed(falls[number], names, -1),
            "helped": _listed(falls[number], names, 1),
        }
        for number in maps[np.argsort(certainty.value[maps], kind="stable")].tolist()
    ]
    return Table(f"ablation/{layer}/{value}", rows, _caption(effects, value), layer=layer)


def _caption(effects: LayerEffects, value: str) -> str:
    null = effects.by_direction[value]
    points, spread = 100 * null.accuracy().value, null.log_probabilities().value
    how = "Run from the layer up alone"
    if effects.part.obstacle:
        how = f"Whole passes by hooks: {effects.part.obstacle} cannot be run from the layer up"
    return (
        f"Each map of {effects.part.layer} off, {INSTEAD[value]} in its place, {len(effects.plain.index)} images: "
        "change of accuracy in points with its 95 % interval, q: false discovery rate among these maps "
        "(Benjamini-Hochberg), change of the true class's log-probability; most hurt, helped: classes whose mean "
        f"probability changes clearly, in points (false discovery rate {CLEAR:.0%} over all maps and classes), as in "
        f"the picture of classes. {len(spread)} random directions: accuracy {points.min():.2f} to {points.max():.2f}, "
        f"log-probability {spread.min():.3g} to {spread.max():.3g}. {how}"
    )


def _clear_changes(effects: LayerEffects, value: str) -> dict[int, Any]:
    """By map, changes of each class's mean probability in points [L], nan where they are not clear of chance."""
    by_map = effects.by_map[value]
    points = 100 * by_map.class_probability().value[effects.maps]
    clear = by_map.class_rates(effects.maps) < CLEAR
    return dict(zip(effects.maps, np.where(clear, points, np.nan), strict=True))


def _listed(points: Any, names: Sequence[str], sign: int) -> str:
    """The classes whose probability changes most in this direction, with the change in points."""
    order = np.argsort(-sign * np.nan_to_num(points), kind="stable")[:NAMED]
    return ", ".join(f"{names[at]} {points[at]:+z.1f}" for at in order if np.nan_to_num(sign * points[at]) > 0)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def effects_plots(images: ScoredImages, effects: LayerEffects, values: Sequence[str]) -> Iterator[Picture]:
    layer, maps = effects.part.layer, np.array(effects.maps)
    for value in values:
        by_map, null = effects.by_map[value], effects.by_direction[value]
        title = f"{layer}: each map off ({INSTEAD[value]}), {len(effects.plain.index)} images"
        accuracy, certainty = (
            (of_maps(measured(by_map), maps), measured(null))
            for measured in (Effects.accuracy, Effects.log_probabilities)
        )
        drawn = effects_plot(accuracy, certainty, title)
        words = "What each map of a layer costs when it is off, beside random directions taken away"
        yield Picture(f"ablation/{layer}/{value}_effects", drawn, words, layer=layer, plot=True)
        images_of = by_map.images.numpy() > 0
        classes = [name for name, counts in zip(images.subject.data.classes, images_of, strict=True) if counts]
        changes = ClassChanges(
            effects.maps, classes, 100 * by_map.class_probability().value[maps][:, images_of],
            by_map.class_rates(effects.maps)[:, images_of] < CLEAR,
        )  # fmt: skip
        title = f"{layer}: change of the true class's probability in points, each map off ({INSTEAD[value]})"
        words = "Which classes need which map: red falls, blue gains; a dot: the change is clear"
        yield Picture(f"ablation/{layer}/{value}_classes", class_plot(changes, title), words, layer=layer, plot=True)
