"""job=visualize: what excites the maps of a trained or pretrained net, without training."""

from collections.abc import Iterator, Mapping

from torch import nn

from convscope.analyses.inputs import Inputs
from convscope.analyses.visualize.about import FeatureConfig, VisualizeConfig
from convscope.analyses.visualize.compute import (
    FeatureView,
    SplitPixels,
    drawn_layers,
    drawn_maps,
    search_top9,
    views_by_rule,
    with_dependence,
)
from convscope.analyses.visualize.figure import (
    exciting_images,
    feature_grid,
    receptive_fields_plot,
    rules_sheet,
    thumbnail_sheets,
)
from convscope.data.images import Images, SplitName
from convscope.data.shared_passes import own_parts, process, results_in_first
from convscope.engine.deconvnet import RULES
from convscope.engine.layers import layer_summaries, layer_table
from convscope.engine.top9 import to_arrays
from convscope.plots.grid import filter_grid
from convscope.runs.record import Arrays, Picture, Result, Table


def results(inputs: Inputs, config: VisualizeConfig) -> Iterator[Result]:
    """Opens the net and yields what job=visualize finds."""
    subject = inputs.subject()
    return visualize(subject.net, subject.data, config, inputs.seed)


def visualize(net: nn.Module, data: Images, config: VisualizeConfig, seed: int) -> Iterator[Result]:
    """Yields a top-9 grid per layer (Fig. 2), the images in it, the first layer's filters, and receptive fields.

    With several rules the grids are by the first; a picture per layer shows the same units by each of them. Raises
    UserError for an unknown layer at once, before any work.
    """
    rules = list(RULES) if config.rules == "all" else [config.rules] if isinstance(config.rules, str) else config.rules
    layer_names = drawn_layers(config, net, data.image_shape)
    return _results(net, data, config, (layer_names, list(dict.fromkeys(rules))), seed)


def _results(
    net: nn.Module, data: Images, choice: FeatureConfig, names: tuple[list[str], list[str]], seed: int
) -> Iterator[Picture | Table | Arrays]:
    """All results, of several processes in the first; each draws some of the layers. names: of layers and of rules."""
    images, (layer_names, rules) = SplitPixels(data, choice.images), names
    tops = search_top9(net, data, choice.images, layer_names)
    yield Arrays("top9/top9", to_arrays(tops))
    excited = set[int]()

    def drawn(number: int, layer: str) -> tuple[list[Picture], list[int]]:
        record = layer, tops[layer], drawn_maps(choice, layer, len(tops[layer].score), seed)
        words = f"{layer} back to pixels, layer {number} of {len(tops)}"
        views = views_by_rule(net, images, record, rules, words)
        first = next(iter(views))
        views[first] = with_dependence(net, images, views[first])
        return _layer_pictures(choice, views), exciting_images(next(iter(views.values())))

    layers = own_parts(list(enumerate(tops, 1)))
    for pictures, image_numbers in results_in_first(drawn(number, layer) for number, layer in layers):
        yield from pictures
        excited |= set(image_numbers)
    if process().rank:
        return
    for number, (image, sheet) in enumerate(thumbnail_sheets(images, sorted(excited))):
        yield Picture(f"images/{number}", image, "Images that excite the shown maps", sheet=sheet)
    yield from _architecture(net, data, choice, seed)


def _layer_pictures(choice: FeatureConfig, views: Mapping[str, FeatureView]) -> list[Picture]:
    """The top-9 grid of a layer by the first rule, and with several rules a picture of all."""
    view = next(iter(views.values()))
    layer, caption = view.layer, f"{view.layer}: the nine {choice.images} images that excite each map most"
    grid = feature_grid(view, caption, choice.tile_side(len(view.maps)))
    caption += f"; projections by {view.how}"
    pictures = [Picture(f"top9/{layer}", grid.image, caption, layer=layer, sheet=grid.sheet)]
    if len(views) > 1:
        caption = f"{layer}: the same units projected to pixels by {len(views)} rules"
        pictures.append(Picture(f"rules/{layer}", rules_sheet(views, caption), caption, layer=layer))
    return pictures


def _architecture(net: nn.Module, data: Images, choice: FeatureConfig, seed: int) -> Iterator[Picture | Table]:
    """The first layer's filters, a table of the layers, and their receptive fields over an image."""
    size = data.image_shape
    name, first = next((name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
    caption = f"{name}: its {len(first.weight)} filters on one common scale"
    filters = filter_grid(first.weight.detach().float().cpu().numpy(), common=True, title=caption)
    yield Picture(f"filters/{name}", filters, caption, layer=name, plot=True)
    yield Table("layers", layer_table(net, size), "The layers, their maps and how much of the image one unit sees")
    split: SplitName = "val" if "val" in data.pooled else choice.images
    image = data.pixels(split, data.choose(split, 1, seed))[0].permute(1, 2, 0).numpy()
    caption = "How much of an image the central unit of each layer sees, and how far apart its units are"
    yield Picture("receptive", receptive_fields_plot(image, layer_summaries(net, size)), caption, plot=True)
