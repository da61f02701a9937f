"""job=visualize: what excites the maps of a trained or pretrained net, without training."""

from collections.abc import Iterator

import torch
from rich.progress import track
from torch import nn

from convscope import gallery
from convscope.data.module import ImageData
from convscope.learn.callbacks import filters_picture
from convscope.look.top9 import Search, Top9, to_arrays
from convscope.nets.anatomy import anatomy
from convscope.record import Arrays, Picture, Table


def search(net: nn.Module, data: ImageData, choice: gallery.Choice, layers: list[str]) -> dict[str, Top9]:
    """The nine strongest images of every map of the layers, over all images of choice.images."""
    device = next(net.parameters()).device
    batches = data.shown_dataloader(choice.images)
    found = Search(net.eval(), layers)
    with found, torch.inference_mode():
        for batch in track(batches, f"looking for what excites {', '.join(layers)}", transient=True):
            found.watch(batch.index)
            net(batch.image.to(device))
    return found.top


def visualize(
    net: nn.Module, data: ImageData, choice: gallery.Choice, rule: str, seed: int
) -> Iterator[Picture | Table | Arrays]:
    """Yields a top-9 grid per layer (Fig. 2), the first layer's filters, and the layers' receptive fields."""
    image_size = data.settings.image_size
    layers = choice.chosen_layers(net, image_size)
    images = gallery.Images(data, choice.images)
    tops = search(net, data, choice, layers)
    yield Arrays("top9/top9", to_arrays(tops))
    for layer, top in tops.items():
        maps = choice.chosen_maps(layer, len(top.score), seed)
        caption = f"{layer}: the nine {choice.images} images that excite each map most ({rule})"
        view = gallery.view(net, images, layer, top, maps, rule)
        yield Picture(f"top9/{layer}", gallery.grid(view, caption), caption, layer=layer)
    name, first = next((name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
    yield filters_picture(name, first.weight)
    yield Table("layers", anatomy(net, image_size), "The layers, their maps and how much of the image one unit sees")
