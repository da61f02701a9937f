"""The effects of the maps of a layer as a table and as plots."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convscope.analyses.ablation.compute import MEAN, ZERO, Effects, LayerEffects, ScoredImages
from convscope.analyses.ablation.figure import ClassChanges, class_plot, effects_plot
from convscope.metrics.paired_counts import Changes, false_discovery_rates
from convscope.runs.record import Picture, Table

CLEAR = 0.05  # false discovery rate below which a change counts as clear of chance
NAMED = 3  # classes in a cell of the table
INSTEAD = {ZERO: "zero", MEAN: "its mean over the images"}


def of_maps(changes: Changes, maps: Any) -> Changes:
    return Changes(*(field[maps] for field in changes))


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
        "(Benjamini-Hochberg), change of the true class's log-probability; classes whose accuracy changes, in "
        "points, where their "
        f"log-probability does so clearly (false discovery rate {CLEAR:.0%} over all maps and classes). {len(spread)} "
        f"random directions: accuracy {points.min():.2f} to {points.max():.2f}, log-probability {spread.min():.3g} to "
        f"{spread.max():.3g}. {how}"
    )


def _clear_changes(effects: LayerEffects, value: str) -> dict[int, Any]:
    """By map, changes of each class's accuracy in points [L], nan where they are not clear of chance."""
    by_map = effects.by_map[value]
    points = 100 * by_map.class_accuracy().value[effects.maps]
    clear = by_map.class_rates(effects.maps) < CLEAR
    return dict(zip(effects.maps, np.where(clear, points, np.nan), strict=True))


def _listed(points: Any, names: Sequence[str], sign: int) -> str:
    """The classes whose accuracy changes most in this direction, with the change in points."""
    order = np.argsort(-sign * np.nan_to_num(points), kind="stable")[:NAMED]
    return ", ".join(f"{names[at]} {points[at]:+.0f}" for at in order if np.nan_to_num(sign * points[at]) > 0)


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
        words = "Which classes need which map: red falls, blue gains; a dot: clear of chance over all maps and classes"
        yield Picture(f"ablation/{layer}/{value}_classes", class_plot(changes, title), words, layer=layer, plot=True)
