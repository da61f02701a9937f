"""job=visualize: what excites the maps of a trained or pretrained net, without training."""

from collections.abc import Iterator, Sequence

from torch import nn

from convscope.analyses.visualize.compute import FeatureChoice, SplitPixels, search_top9, views_by_rule
from convscope.analyses.visualize.figure import (
    exciting_images,
    feature_grid,
    receptive_fields_plot,
    rules_sheet,
    thumbnail_sheets,
)
from convscope.data.module import ImageData
from convscope.engine.anatomy import anatomy, layers
from convscope.engine.deconvnet import RULES
from convscope.engine.projection_rule import AUTO, check_rule_or_auto
from convscope.engine.top9 import to_arrays
from convscope.errors import UserError
from convscope.plots.grid import filter_grid
from convscope.runs.record import Arrays, Picture, Table


def chosen_rules(rule: str | Sequence[str]) -> list[str]:
    """The rules of one name or several, or with "all" every rule. Raises UserError for an unknown one and for none."""
    rules = list(RULES) if rule == "all" else list(dict.fromkeys([rule] if isinstance(rule, str) else rule))
    if not rules:
        raise UserError(f"rule=[] is no rule; possible: {', '.join((AUTO, *RULES))}, a list of them, or all")
    for name in rules:
        check_rule_or_auto(name)
    return rules


def visualize(
    net: nn.Module, data: ImageData, choice: FeatureChoice, rule: str | Sequence[str], seed: int
) -> Iterator[Picture | Table | Arrays]:
    """Yields a top-9 grid per layer (Fig. 2), the whole images of the grids, the first layer's filters, and the
    layers' receptive fields.

    Where there are several rules the grids are by the first; a picture per layer shows the same units by each of them.
    Raises UserError for an unknown rule or layer at once, before any work.
    """
    rules, layer_names = chosen_rules(rule), choice.chosen_layers(net, data.settings.image_size)
    return _results(net, data, choice, (layer_names, rules), seed)


def _results(
    net: nn.Module, data: ImageData, choice: FeatureChoice, names: tuple[list[str], list[str]], seed: int
) -> Iterator[Picture | Table | Arrays]:
    """All results. names: of the layers and of the rules."""
    images, (layer_names, rules) = SplitPixels(data, choice.images), names
    tops = search_top9(net, data, choice.images, layer_names)
    yield Arrays("top9/top9", to_arrays(tops))
    excited: set[int] = set()
    for number, (layer, top) in enumerate(tops.items(), 1):
        maps = choice.chosen_maps(layer, len(top.score), seed)
        words = f"{layer} back to pixels, layer {number} of {len(tops)}"
        views = views_by_rule(net, images, (layer, top, maps), rules, words)
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
    yield from _architecture(net, data, seed)


def _architecture(net: nn.Module, data: ImageData, seed: int) -> Iterator[Picture | Table]:
    """The first layer's filters, a table of the layers, and their receptive fields over a validation image."""
    size = data.settings.image_size
    name, first = next((name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
    caption = f"{name}: its {len(first.weight)} filters on one common scale"
    filters = filter_grid(first.weight.detach().float().cpu().numpy(), common=True, title=caption)
    yield Picture(f"filters/{name}", filters, caption, layer=name, plot=True)
    yield Table("layers", anatomy(net, size), "The layers, their maps and how much of the image one unit sees")
    image = data.pixels("val", data.choose("val", 1, seed))[0].permute(1, 2, 0).numpy()
    caption = "How much of an image the central unit of each layer sees, and how far apart its units are"
    yield Picture("receptive", receptive_fields_plot(image, layers(net, size)), caption, plot=True)
