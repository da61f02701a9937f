"""Maps with what excites them: those that the classes need most, and those behind a mistake."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convscope.analyses.ablation.compute import LayerEffects, ScoredImages
from convscope.analyses.ablation.compute.mistakes import DRAWS, Mistake
from convscope.analyses.ablation.figure import EffectBar, MapBlock, MistakeHead, maps_sheet
from convscope.analyses.ablation.job.effects import INSTEAD
from convscope.analyses.visualize.compute import SplitPixels, feature_view, search_top9
from convscope.analyses.visualize.figure import map_tiles
from convscope.plots.lettering import percent
from convscope.runs.record import Number, Picture, Result, Table

DRAWN_MAPS, DRAWN_BARS, BEHIND = 6, 5, 4  # maps with tiles; bars of each; maps with tiles behind a mistake


class MapPictures:
    """Tiles of the maps of a layer that matter most, and of those behind mistakes, found in one search."""

    def __init__(self, images: ScoredImages, effects: LayerEffects, value: str, behind: Sequence[int]):
        self.images, self.effects, self.value = images, effects, value
        certainty = effects.by_map[value].log_probabilities().value[effects.maps]
        order = np.argsort(certainty, kind="stable")[:DRAWN_MAPS]
        self.maps = [effects.maps[at] for at in order]
        numbers = list(dict.fromkeys([*self.maps, *behind]))
        subject, layer, pixels = images.subject, effects.part.layer, SplitPixels(images.subject.data, images.split)
        top = search_top9(subject.net, subject.data, images.split, [layer], images.index)[layer]
        view = feature_view(subject.net, pixels, layer, top, numbers)
        self.rule = view.rule.rule
        self.tiles = {number: map_tiles(view, position, side=112) for position, number in enumerate(numbers)}

    def needed(self) -> Picture:
        """The maps that cost the true class most, each with the classes that fall."""
        by_map, names = self.effects.by_map[self.value], self.images.subject.data.classes
        points, layer = 100 * by_map.class_probability().value, self.effects.part.layer
        scale = max(float(np.abs(points[self.maps]).max()), 1e-9)
        blocks = []
        for number in self.maps:
            order = np.argsort(points[number], kind="stable")[:DRAWN_BARS]
            bars = [EffectBar(names[at], points[number, at] / scale, f"{points[number, at]:+z.1f}") for at in order]
            blocks.append(self.block(number, f"map {number}", bars))
        title = f"{layer}: the maps that the classes need most"
        note = f"bars: change of the class's mean probability in points, map off ({INSTEAD[self.value]}) · left: "
        return Picture(
            f"ablation/{layer}/needed_maps", maps_sheet(blocks, title, f"{note}projections by {self.rule}"),
            "The maps whose loss costs the true class most, the classes that fall, what excites the maps", layer=layer,
        )  # fmt: skip

    def block(self, number: int, caption: str, bars: Sequence[EffectBar]) -> MapBlock:
        tiles = self.tiles[number]
        return MapBlock(caption, bars, tiles.projections, tiles.patches)


def mistake_results(
    images: ScoredImages, effects: LayerEffects, mistakes: Sequence[Mistake], drawn: tuple[str, MapPictures]
) -> Iterator[Result]:
    """A picture of each mistake, a table of all, and how many maps are enough to mend them."""
    layer, wrong = effects.part.layer, int((~effects.plain.right).sum())
    if not mistakes:
        yield Number("ablation/mistakes", 0, f"Wrong answers among {len(effects.plain.index)} images: 0", layer=layer)
        return
    value, pictures = drawn
    names = images.subject.data.names(images.split, [mistake.index for mistake in mistakes])
    rows = [_mistake_row(name, images, mistake) for name, mistake in zip(names, mistakes, strict=True)]
    yield _mended(mistakes, layer, wrong)
    caption = (
        f"The most certain wrong answers, and the maps of {layer} without which ({INSTEAD[value]}) the true class "
        f"gains most on the wrong one; margin: its lead in logits. enough: how many of these maps, off together, make "
        f"the answer right. by chance: how often as many random maps that are on do ({DRAWS} draws)"
    )
    yield Table("ablation/mistakes", rows, caption, layer=layer)
    for name, mistake in zip(names, mistakes, strict=True):
        yield _mistake_picture(name, images, mistake, (layer, pictures))


def _mended(mistakes: Sequence[Mistake], layer: str, wrong: int) -> Number:
    """How many maps have to be off for the right answer. wrong: mistakes in all."""
    mended = [mistake.enough for mistake in mistakes if mistake.enough is not None]
    if not mended:
        words = f"Of {len(mistakes)} mistakes taken apart, of {wrong}, those that maps of {layer} off mend: 0"
        return Number("ablation/mistakes/mended", 0, words, layer=layer)
    median = float(np.median(mended))
    words = f"Maps of {layer} to switch off until the answer is right, median of the {len(mended)} mistakes that this "
    words += f"mends, of {len(mistakes)} taken apart, of {wrong}: {median:g}"
    return Number("ablation/mistakes/enough", median, words, layer=layer)


def _classes_of(images: ScoredImages, mistake: Mistake) -> tuple[str, str]:
    """Names of the true class and of the answer."""
    subject = images.subject
    label = int(subject.data.labels(images.split, [mistake.index])[0])
    return str(subject.data.classes[label]), str(subject.classes[mistake.answer])


def _mistake_row(name: str, images: ScoredImages, mistake: Mistake) -> dict[str, Any]:
    true, predicted = _classes_of(images, mistake)
    return {
        "image": name,
        "class": true,
        "answer": predicted,
        "maps": ", ".join(f"{number} ({mistake.changes[number]:+.2f})" for number in mistake.maps[:BEHIND]),
        "enough": mistake.enough,
        "by chance": mistake.by_chance,
        "p of answer": mistake.p_answer,
        "p of class": mistake.p_target,
        "margin": mistake.margin,
        "index": mistake.index,
    }


def _mistake_picture(name: str, images: ScoredImages, mistake: Mistake, of: tuple[str, MapPictures]) -> Picture:
    (layer, pictures), (true, predicted) = of, _classes_of(images, mistake)
    top = mistake.maps[:BEHIND]
    why = f"because of {_listed(mistake)} of {layer}" if top else f"and no single map of {layer} speaks for it"
    title = f"predicted {predicted}, not {true}, {why}"
    image = images.subject.data.pixels(images.split, [mistake.index])[0].permute(1, 2, 0).numpy()
    scale = max(float(mistake.changes.max()), 1e-9)
    bars = [
        EffectBar(f"map {number} off", float(mistake.changes[number]) / scale, f"{mistake.changes[number]:+.2f}")
        for number in mistake.maps[: 2 * DRAWN_BARS]
    ]
    blocks = [
        pictures.block(number, f"map {number} off: {mistake.changes[number]:+.2f} for the true class", [])
        for number in top
    ]
    note = f"{name}: {predicted} {percent(mistake.p_answer)}, {true} {percent(mistake.p_target)}, margin "
    note += f"{mistake.margin:.2f}; {_enough(mistake)} · left: projections by {pictures.rule}"
    sheet = maps_sheet(blocks, title, note, MistakeHead(image, bars))
    caption = f"{name}: {title}. Bars: how much of the margin of {mistake.margin:.2f} each map takes with it when off"
    return Picture(f"ablation/mistakes/{mistake.index}", sheet, caption, layer=layer)


def _listed(mistake: Mistake) -> str:
    """The maps that are enough to mend the mistake, or the strongest of them."""
    count = len(mistake.maps) if mistake.enough is None else mistake.enough
    names = [str(number) for number in mistake.maps[: min(count, BEHIND)]]
    if count > BEHIND:
        return f"maps {', '.join(names)} and {count - BEHIND} more"
    return f"map {names[0]}" if count == 1 else f"maps {', '.join(names[:-1])} and {names[-1]}"


def _enough(mistake: Mistake) -> str:
    if mistake.enough is None:
        return "no number of these maps off makes it right"
    maps = "the first map off makes" if mistake.enough == 1 else f"the first {mistake.enough} maps off make"
    return f"{maps} it right, random ones in {round(DRAWS * (mistake.by_chance or 0))} of {DRAWS} draws"
