"""job=visualize: what excites the maps of a trained or pretrained net, without training."""

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from torch import nn

from convscope.analyses.visualize.compute import (
    FeatureChoice,
    FeatureView,
    SplitPixels,
    feature_view,
    rule_of,
    strongest,
)
from convscope.analyses.visualize.figure import exciting_images, feature_grid, rules_sheet, thumbnail_sheets
from convscope.data.module import ImageData
from convscope.engine.deconvnet import RULES
from convscope.engine.layer_table import LayerSummary, layer_summaries, layer_table
from convscope.engine.progress import track
from convscope.engine.projection_rule import AUTO, RuleChoice, check_rule_or_auto
from convscope.engine.top9 import Top9, to_arrays
from convscope.errors import UserError
from convscope.plots.receptive_fields import MOST, Sight, receptive_figure
from convscope.runs.record import Arrays, Picture, Table
from convscope.training.callbacks import filters_picture


def chosen_rules(rule: str | Sequence[str]) -> list[str]:
    """One rule, several, or with "all" every one there is. Raises UserError for an unknown one and for none."""
    rules = list(RULES) if rule == "all" else list(dict.fromkeys([rule] if isinstance(rule, str) else rule))
    if not rules:
        raise UserError(f"rule=[] is no rule; possible: {', '.join((AUTO, *RULES))}, a list of them, or all")
    for name in rules:
        check_rule_or_auto(name)
    return rules


def visualize(
    net: nn.Module, data: ImageData, choice: FeatureChoice, rule: str | Sequence[str], seed: int
) -> Iterator[Picture | Table | Arrays]:
    """Yields a top-9 grid per layer (Fig. 2), the images it speaks of, the first layer's filters, and the layers'
    receptive fields.

    Where there are several rules the grids are by the first; a picture per layer shows the same units by each of them.
    Raises UserError for an unknown rule or layer at once, before any work.
    """
    rules, layers_ = chosen_rules(rule), choice.chosen_layers(net, data.settings.image_size)
    return _results(net, data, choice, (layers_, rules), seed)


def _results(
    net: nn.Module, data: ImageData, choice: FeatureChoice, chosen: tuple[list[str], list[str]], seed: int
) -> Iterator[Picture | Table | Arrays]:
    """chosen: the layers and the rules."""
    images = SplitPixels(data, choice.images)
    tops = strongest(net, data, choice.images, chosen[0])
    yield Arrays("top9/top9", to_arrays(tops))
    excited: set[int] = set()
    for number, (layer, top) in enumerate(tops.items(), 1):
        maps = choice.chosen_maps(layer, len(top.score), seed)
        words = f"{layer} back to pixels, layer {number} of {len(tops)}"
        views = _views(net, images, (layer, top, maps), chosen[1], words)
        view = next(iter(views.values()))
        caption = f"{layer}: the nine {choice.images} images that excite each map most"
        grid = feature_grid(view, caption, choice.tile)
        caption += f"; projections by {view.rule.words}"
        yield Picture(f"top9/{layer}", grid.image, caption, layer=layer, sheet=grid.sheet)
        excited |= set(exciting_images(view))
        if len(views) > 1:
            caption = f"{layer}: the same units projected to pixels by {len(views)} rules"
            yield Picture(f"rules/{layer}", rules_sheet(views, caption), caption, layer=layer)
    for number, (image, sheet) in enumerate(thumbnail_sheets(images, sorted(excited))):
        yield Picture(f"images/{number}", image, "Images that excite the shown maps", sheet=sheet)
    name, first = next((name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
    yield filters_picture(name, first.weight)
    table = layer_table(net, data.settings.image_size)
    yield Table("layers", table, "The layers, their maps and how much of the image one unit sees")
    yield receptive(net, data, seed)


def _views(
    net: nn.Module, images: SplitPixels, what: tuple[str, Top9, list[int]], rules: list[str], words: str
) -> dict[str, FeatureView]:
    """The maps of a layer by each rule; of two rules that come to the same, as auto may, the first.

    what: layer, its record, its maps. words: what the bars say is brought back to pixels.
    """
    layer, top, maps = what
    trying, projecting = (functools.partial(track, words=f"{verb} {words}") for verb in ("trying", "projecting"))
    choices = dict[str, RuleChoice]()
    for name in rules:
        rule = rule_of(net, images, layer, top, name, trying)
        choices.setdefault(rule.rule, rule)
    return {name: feature_view(net, images, layer, top, maps, rule, projecting) for name, rule in choices.items()}


def receptive(net: nn.Module, data: ImageData, seed: int) -> Picture:
    """The fields of some layers' central units and the places of all units, over a validation image."""
    image = data.pixels("val", data.choose("val", 1, seed))[0].permute(1, 2, 0).numpy()
    sights = [
        _sight(layer, len(image)) for layer in shown_layers(layer_summaries(net, data.settings.image_size), len(image))
    ]
    caption = "How much of an image the central unit of each layer sees, and how far apart its units are"
    return Picture("receptive", receptive_figure(image, sights), caption, plot=True)


def shown_layers(every: Sequence[LayerSummary], image_size: int) -> list[LayerSummary]:
    """At most MOST layers, each with another field: evenly spread from the first to the first that sees all."""
    distinct = list({layer.field and layer.field.rows.size: layer for layer in reversed(every)}.values())[::-1]
    covers = [layer.field is None or layer.field.rows.size >= image_size for layer in distinct]
    seen = distinct[: covers.index(True) + 1] if True in covers else distinct
    places = np.linspace(0, len(seen) - 1, min(MOST, len(seen))).round().astype(int)
    return [seen[place] for place in places]


def _sight(layer: LayerSummary, image_size: int) -> Sight:
    if layer.field is None:
        return Sight(layer.name, None)
    rows, cols = (
        [span.start + (span.size - 1) / 2 + span.stride * place for place in range(count)]
        for span, count in zip(layer.field, (layer.rows, layer.cols), strict=True)
    )
    row, col = (int(np.abs(np.array(centers) - (image_size - 1) / 2).argmin()) for centers in (rows, cols))
    return Sight(layer.name, layer.field.box(row, col), rows, cols)
