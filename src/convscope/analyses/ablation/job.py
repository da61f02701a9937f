"""job=ablate: what each map of a layer is for, and which maps made which mistakes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from convscope.analyses.ablation.about import AblationConfig
from convscope.analyses.ablation.compute import (
    MEAN,
    ZERO,
    Effects,
    LayerEffects,
    SplitImages,
    chosen_maps,
    layer_effects,
    scored_images,
)
from convscope.analyses.ablation.compute.mistakes import DRAWS, Mistake, most_certain_mistakes, take_apart
from convscope.analyses.ablation.figure import (
    ClassChanges,
    EffectBar,
    MapBlock,
    MistakeHead,
    class_plot,
    effects_plot,
    maps_sheet,
)
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.compute import SplitPixels, feature_view, search_top9
from convscope.analyses.visualize.figure import map_tiles
from convscope.engine.layers import layer_roles
from convscope.engine.upper_part import UpperPart
from convscope.metrics.intervals import share_interval
from convscope.metrics.paired_counts import Changes, false_discovery_rates
from convscope.runs.record import Arrays, Number, Picture, Result, Table

CLEAR = 0.05  # false discovery rate below which a change counts as clear of chance
DRAWN_MAPS, DRAWN_BARS, BEHIND = 6, 5, 4  # maps with tiles; bars of each; maps with tiles behind a mistake
NAMED = 3  # classes in a cell of the table
INSTEAD = {ZERO: "zero", MEAN: "its mean over the images"}


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
    values = [ZERO, MEAN] if plan.value == "both" else [plan.value]
    for number, (part, numbers) in enumerate(zip(parts, maps, strict=True)):
        effects = layer_effects(images, part, numbers, values, plan.random, seed)
        last = number == len(parts) - 1
        wrong = most_certain_mistakes(effects.plain, plan.mistakes if last else 0)
        mistakes = [take_apart(images, effects, int(index), values[0], seed) for index in wrong]
        pictures = _MapPictures(
            images, effects, values[0], [name for mistake in mistakes for name in mistake.maps[:BEHIND]]
        )
        yield from _layer_numbers(images, effects, values)
        for value in values:
            yield _table(images, effects, value)
        yield from _plots(images, effects, values)
        yield pictures.needed()
        yield _arrays(effects)
        if last and plan.mistakes:
            yield from _mistakes(images, effects, mistakes, (values[0], pictures))


def _layer_numbers(images: SplitImages, effects: LayerEffects, values: Sequence[str]) -> Iterator[Number]:
    """What came out: how many maps matter more than random directions, the one that matters most, the net itself."""
    layer, maps, plain = effects.part.layer, np.array(effects.maps), effects.plain
    for value in values:
        by_map, null = effects.by_map[value], effects.by_direction[value].log_probabilities().value
        certainty, accuracy = _of(by_map.log_probabilities(), maps), _of(by_map.accuracy(), maps)
        beyond = int((certainty.value < null.min()).sum())
        expected = len(maps) / (len(null) + 1)
        words = (
            f"{beyond} of {len(maps)} maps of {layer}, off ({INSTEAD[value]}), cost the true class more than any of "
        )
        words += f"{len(null)} random directions taken away; chance would give {expected:.1f}"
        yield Number(f"ablation/{layer}/{value}/beyond_random", beyond, words, layer=layer)
        clear = int(((false_discovery_rates(accuracy.p) < CLEAR) & (accuracy.value < 0)).sum())
        worst = int(accuracy.value.argmin())
        points = ", ".join(f"{100 * ends[worst]:.2f}" for ends in (accuracy.low, accuracy.high))
        words = f"Points of accuracy change where map {maps[worst]} of {layer}, the one that costs most, is off "
        words += f"({value}): {100 * accuracy.value[worst]:.2f} [{points}]"
        yield Number(f"ablation/{layer}/{value}/largest_fall", 100 * accuracy.value[worst], words, layer=layer)
        words = f"Maps of {layer} whose loss ({value}) costs accuracy, false discovery rate {CLEAR:.0%}: {clear}"
        yield Number(f"ablation/{layer}/{value}/clear_falls", clear, words, layer=layer)
    right = share_interval(int(plain.right.sum()), len(plain.index))
    chance = 1 / len(images.subject.classes)
    words = f"Accuracy of the net with all maps on, {len(plain.index)} images, chance {100 * chance:.3g} %: "
    words += f"{100 * right.value:.1f} [{100 * right.low:.1f}, {100 * right.high:.1f}]"
    if right.low <= chance:
        words += "; the net is near chance, so what its maps are for means little"
    yield Number(f"ablation/{layer}/accuracy", 100 * right.value, words, layer=layer)


def _of(changes: Changes, maps: Any) -> Changes:
    return Changes(*(field[maps] for field in changes))


def _table(images: SplitImages, effects: LayerEffects, value: str) -> Table:
    """A row for each map that was switched off, the ones that cost the true class most first."""
    layer, by_map, null = effects.part.layer, effects.by_map[value], effects.by_direction[value]
    accuracy, certainty, maps = by_map.accuracy(), by_map.log_probabilities(), np.array(effects.maps)
    rates = dict(zip(effects.maps, false_discovery_rates(accuracy.p[maps]), strict=True))
    falls, names = _class_names(images, by_map)
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
    accuracy, spread = null.accuracy(), null.log_probabilities().value
    caption = (
        f"Each map of {layer} off, {INSTEAD[value]} in its place, {len(effects.plain.index)} images: change of accuracy "
        f"in points with its 95 % interval, q: false discovery rate among these maps (Benjamini-Hochberg), change of the "
        f"true class's log-probability; classes whose accuracy changes, in points, where their log-probability does so "
        f"clearly (false discovery rate {CLEAR:.0%} over all maps and classes). {len(spread)} random directions: accuracy "
        f"{100 * accuracy.value.min():.2f} to {100 * accuracy.value.max():.2f}, log-probability {spread.min():.3g} to "
        f"{spread.max():.3g}. {_how(effects)}"
    )
    return Table(f"ablation/{layer}/{value}", rows, caption, layer=layer)


def _how(effects: LayerEffects) -> str:
    if effects.part.obstacle:
        return f"Whole passes by hooks: {effects.part.obstacle} cannot be run from the layer up"
    return "Run from the layer up alone"


def _class_names(images: SplitImages, by_map: Effects) -> tuple[Any, list[str]]:
    """Changes of accuracy in points [C, L], nan where they are not clear of chance; the names of the classes."""
    points = 100 * by_map.class_accuracy().value
    return np.where(by_map.class_rates() < CLEAR, points, np.nan), list(images.subject.data.classes)


def _listed(points: Any, names: Sequence[str], sign: int) -> str:
    """The classes whose accuracy changes most in this direction, with the change in points."""
    order = np.argsort(-sign * np.nan_to_num(points), kind="stable")[:NAMED]
    return ", ".join(f"{names[at]} {points[at]:+.0f}" for at in order if np.nan_to_num(sign * points[at]) > 0)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plots(images: SplitImages, effects: LayerEffects, values: Sequence[str]) -> Iterator[Picture]:
    layer, maps = effects.part.layer, np.array(effects.maps)
    for value in values:
        by_map, null = effects.by_map[value], effects.by_direction[value]
        title = f"{layer}: each map off ({INSTEAD[value]}), {len(effects.plain.index)} images"
        pairs = [(_of(of(by_map), maps), of(null)) for of in (Effects.accuracy, Effects.log_probabilities)]
        words = "What each map of a layer costs when it is off, beside random directions taken away"
        yield Picture(f"ablation/{layer}/{value}_effects", effects_plot(*pairs, title), words, layer=layer, plot=True)
        images_of = by_map.images.numpy() > 0
        classes = [name for name, counts in zip(images.subject.data.classes, images_of, strict=True) if counts]
        changes = ClassChanges(
            effects.maps, classes, 100 * by_map.class_probability()[maps][:, images_of],
            by_map.class_rates()[maps][:, images_of] < CLEAR,
        )  # fmt: skip
        title = f"{layer}: change of the true class's probability in points, each map off ({INSTEAD[value]})"
        words = "Which classes need which map: red falls, blue gains; a dot: clear of chance over all maps and classes"
        yield Picture(f"ablation/{layer}/{value}_classes", class_plot(changes, title), words, layer=layer, plot=True)


class _MapPictures:
    """Tiles of the maps of a layer that matter most, and of those behind mistakes, found in one search."""

    def __init__(self, images: SplitImages, effects: LayerEffects, value: str, behind: Sequence[int]):
        self.images, self.effects, self.value = images, effects, value
        certainty = effects.by_map[value].log_probabilities().value[effects.maps]
        order = np.argsort(certainty, kind="stable")[:DRAWN_MAPS]
        self.maps = [effects.maps[at] for at in order]
        numbers = list(dict.fromkeys([*self.maps, *behind]))
        subject, layer, pixels = images.subject, effects.part.layer, SplitPixels(images.subject.data, images.split)
        top = search_top9(subject.net, subject.data, images.split, [layer], images.index)[layer]
        view = feature_view(subject.net, pixels, layer, top, numbers)
        self.rule = view.rule.words
        self.tiles = {number: map_tiles(view, position, side=112) for position, number in enumerate(numbers)}

    def needed(self) -> Picture:
        """The maps that cost the true class most, each with the classes that fall."""
        by_map, names = self.effects.by_map[self.value], self.images.subject.data.classes
        points, layer = 100 * by_map.class_probability(), self.effects.part.layer
        scale = max(float(np.abs(points[self.maps]).max()), 1e-9)
        blocks = []
        for number in self.maps:
            order = np.argsort(points[number], kind="stable")[:DRAWN_BARS]
            bars = [EffectBar(names[at], points[number, at] / scale, f"{points[number, at]:+.1f}") for at in order]
            blocks.append(self.block(number, f"map {number}", bars))
        title = f"{layer}: the maps that the classes need most"
        note = f"bars: change of the class's mean probability in points, map off ({INSTEAD[self.value]}) · left: "
        return Picture(
            f"ablation/{layer}/needed_maps", maps_sheet(blocks, title, f"{note}projections by {self.rule}"),
            "The maps whose loss costs the true class most, the classes that fall, and what excites the map", layer=layer,
        )  # fmt: skip

    def block(self, number: int, caption: str, bars: Sequence[EffectBar]) -> MapBlock:
        tiles = self.tiles[number]
        return MapBlock(caption, bars, tiles.projections, tiles.patches)


def _arrays(effects: LayerEffects) -> Arrays:
    """The sums by map and class, for later analysis."""
    names = "lost", "gained", "log_probability", "probability"
    tensors = {f"{value}_{name}": getattr(of, name) for value, of in effects.by_map.items() for name in names}
    images = next(iter(effects.by_map.values())).images
    return Arrays(f"ablation/{effects.part.layer}", {**tensors, "images": images, "maps": torch.tensor(effects.maps)})


def _mistakes(
    images: SplitImages, effects: LayerEffects, mistakes: Sequence[Mistake], drawn: tuple[str, _MapPictures]
) -> Iterator[Result]:
    """A picture of each mistake, a table of all, and how many maps are enough to mend them."""
    layer, wrong = effects.part.layer, int((~effects.plain.right).sum())
    if not mistakes:
        yield Number("ablation/mistakes", 0, f"Wrong answers among {len(effects.plain.index)} images: 0", layer=layer)
        return
    value, pictures = drawn
    names = images.subject.data.names(images.split, [mistake.index for mistake in mistakes])
    rows = [_mistake_row(name, images, mistake) for name, mistake in zip(names, mistakes, strict=True)]
    mended = [mistake.enough for mistake in mistakes if mistake.enough is not None]
    words = (
        f"Maps of {layer} to switch off until the answer is right, median of {len(mended)} of {len(mistakes)} mistakes "
    )
    words += f"that this mends (of {wrong} in all): {np.median(mended) if mended else float('nan'):g}"
    if mended:
        yield Number("ablation/mistakes/enough", float(np.median(mended)), words, layer=layer)
    else:
        words = f"Of the {len(mistakes)} most certain mistakes of {wrong}, switching maps of {layer} off mends: 0"
        yield Number("ablation/mistakes/mended", 0, words, layer=layer)
    caption = (
        f"The most certain wrong answers, and the maps of {layer} without which ({INSTEAD[value]}) the true class gains "
        f"most on the wrong one; margin: its lead in logits. enough: how many of these maps, off together, make the "
        f"answer right. by chance: how often as many random maps that are on do ({DRAWS} draws)"
    )
    yield Table("ablation/mistakes", rows, caption, layer=layer)
    for name, mistake in zip(names, mistakes, strict=True):
        yield _mistake_picture(name, images, mistake, (layer, pictures))


def _classes_of(images: SplitImages, mistake: Mistake) -> tuple[str, str]:
    """Names of the true class and of the answer."""
    subject = images.subject
    label = int(subject.data.labels(images.split, [mistake.index])[0])
    return str(subject.data.classes[label]), str(subject.classes[mistake.answer])


def _mistake_row(name: str, images: SplitImages, mistake: Mistake) -> dict[str, Any]:
    true, predicted = _classes_of(images, mistake)
    return {
        "image": name,
        "index": mistake.index,
        "class": true,
        "answer": predicted,
        "p of answer": mistake.p_answer,
        "p of class": mistake.p_target,
        "margin": mistake.margin,
        "maps": ", ".join(f"{number} ({mistake.changes[number]:+.2f})" for number in mistake.maps[:BEHIND]),
        "enough": mistake.enough,
        "by chance": mistake.by_chance,
    }


def _mistake_picture(name: str, images: SplitImages, mistake: Mistake, of: tuple[str, _MapPictures]) -> Picture:
    (layer, pictures), (true, predicted) = of, _classes_of(images, mistake)
    top = mistake.maps[:BEHIND]
    listed = " and ".join([", ".join(map(str, top[:-1]))] * (len(top) > 1) + [str(number) for number in top[-1:]])
    title = f"predicted {predicted}, not {true}, because of maps {listed} of {layer}"
    if not top:
        title = f"predicted {predicted}, not {true}, and no single map of {layer} speaks for it"
    image = images.subject.data.pixels(images.split, [mistake.index])[0].permute(1, 2, 0).numpy()
    scale = max(float(mistake.changes.max()), 1e-9)
    bars = [
        EffectBar(f"map {number} off", float(mistake.changes[number]) / scale, f"{mistake.changes[number]:+.2f}")
        for number in mistake.maps[: 2 * DRAWN_BARS]
    ]
    blocks = [
        pictures.block(number, f"map {number}: {mistake.changes[number]:+.2f} for the class", []) for number in top
    ]
    note = f"{name}: {predicted} {_percent(mistake.p_answer)}, {true} {_percent(mistake.p_target)}, margin "
    note += f"{mistake.margin:.2f}; {_enough(mistake)} · left: projections by {pictures.rule}"
    sheet = maps_sheet(blocks, title, note, MistakeHead(image, bars))
    caption = f"{name}: {title}. Bars: how much of the margin of {mistake.margin:.2f} each map takes with it when off"
    return Picture(f"ablation/mistakes/{mistake.index}", sheet, caption, layer=layer)


def _enough(mistake: Mistake) -> str:
    if mistake.enough is None:
        return "no number of these maps off makes it right"
    maps = "the first map off makes" if mistake.enough == 1 else f"the first {mistake.enough} maps off make"
    return f"{maps} it right, random ones in {round(DRAWS * (mistake.by_chance or 0))} of {DRAWS} draws"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if 0.01 <= share <= 0.995 else f"{100 * share:.2g} %"
