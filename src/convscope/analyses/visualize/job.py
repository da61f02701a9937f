"""job=visualize: what excites the maps of a trained or pretrained net, without training."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

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
from convscope.engine.top9 import Top9, to_arrays
from convscope.metrics.intervals import in_percent, mean_interval
from convscope.plots.grid import filter_grid
from convscope.runs.index import OUTCOME
from convscope.runs.number_format import counted, listed
from convscope.runs.record import Arrays, Conclusion, Picture, Result, Table

NULL_MAPS = 2000  # of nine images drawn blindly


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
) -> Iterator[Result]:
    """All results, of several processes in the first; each draws some of the layers. names: of layers and of rules."""
    images, (layer_names, rules) = SplitPixels(data, choice.images), names
    tops = search_top9(net, data, choice.images, layer_names)
    yield Conclusion(OUTCOME, in_words(tops, data, choice.images, seed))
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


def in_words(tops: Mapping[str, Top9], data: Images, split: SplitName, seed: int) -> str:
    """What came out: how many maps no image excites, and whether the images of a map show one class."""
    names, images = list(tops), counted(data.size(split), f"{split} image")
    span, total = " to ".join(dict.fromkeys([names[0], names[-1]])), sum(len(top.score) for top in tops.values())
    dead = {layer: int((top.score[:, 0] <= 0).sum()) for layer, top in tops.items()}
    words = f"Each of the {total:,} maps of {span} is excited by some of {images}"
    if any(dead.values()):
        where = listed([f"{count} of {len(tops[layer].score)} in {layer}" for layer, count in dead.items() if count])
        count = sum(dead.values())
        words = f"{count:,} of the {total:,} maps of {span} {'is' if count == 1 else 'are'} dead, excited by none of "
        words += f"{images}: {where}"
    if data.several or len(data.classes) < 2:
        return f"{words}."
    labels = data.labels(split, range(data.size(split)))
    draw = torch.randint(len(labels), (NULL_MAPS, 9), generator=torch.Generator().manual_seed(seed))
    shares = {layer: class_shares(torch.where(top.score > 0, labels[top.image], -1)) for layer, top in tops.items()}
    of_layers = [
        f"{in_percent(mean_interval(shares[layer].tolist()))} in {layer}" for layer in names if len(shares[layer])
    ]
    if not of_layers:
        return f"{words}."
    null = 100 * float(class_shares(labels[draw]).mean())
    ends = listed(list(dict.fromkeys([of_layers[0], of_layers[-1]])))
    words += f". Of the images that excite a map most, one class has {ends}"
    return f"{words} (mean over maps; of nine images drawn blindly {null:.0f} %)."


def class_shares(label: Tensor) -> Tensor:
    """The share of each map's images that are of their most frequent class, of maps with two images or more.

    label: [m, 9] the classes of the images, -1 for none.
    """
    count = (label >= 0).sum(1)
    same = (label[:, :, None] == label[:, None]) & (label >= 0)[:, None]
    return (same.sum(2).masked_fill(label < 0, 0).amax(1) / count)[count > 1]


def _layer_pictures(choice: FeatureConfig, views: Mapping[str, FeatureView]) -> list[Picture]:
    """The top-9 grid of a layer by the first rule, and with several rules a picture of all."""
    view = next(iter(views.values()))
    layer, caption = view.layer, f"{view.layer}: the nine {choice.images} images that excite each map most"
    grid = feature_grid(view, caption, choice.tile_side(len(view.maps)))
    caption += f"; projections by {view.how}"
    pictures = [Picture(f"top9/{layer}", grid.image, caption, layer=layer, sheet=grid.sheet)]
    if len(views) > 1:
        title = f"{layer}: the same units projected to pixels by {len(views)} rules"
        caption = f"{layer}: the image patches, then a group of columns for each rule"
        pictures.append(Picture(f"rules/{layer}", rules_sheet(views, title), caption, layer=layer))
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
