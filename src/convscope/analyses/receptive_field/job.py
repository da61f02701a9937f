"""job=receptive: from which pixels of its receptive field a unit of each layer gets its value (Luo et al. 2016)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convscope.analyses.inputs import Inputs
from convscope.analyses.receptive_field.about import ALL, ReceptiveConfig
from convscope.analyses.receptive_field.compute import EffectiveField, effective_fields
from convscope.analyses.receptive_field.figure import fields_figure, sides_plot
from convscope.analyses.subject import Subject
from convscope.analyses.visualize.figure import receptive_fields_plot
from convscope.engine.blocks import default_layers
from convscope.engine.layers import layer_summaries
from convscope.engine.progress import track
from convscope.engine.trace import ImageSize, trace
from convscope.metrics.intervals import Interval
from convscope.runs.record import Arrays, Conclusion, Number, Picture, Result, Table


def results(inputs: Inputs, config: ReceptiveConfig) -> Iterator[Result]:
    """Opens the net and yields what job=receptive finds."""
    subject = inputs.subject()
    untrained = inputs.random_subject(subject).net if inputs.has_learned_weights else None
    return receptive(subject, config, inputs.seed, untrained)


def receptive(
    subject: Subject, config: ReceptiveConfig, seed: int, untrained: nn.Module | None = None
) -> Iterator[Result]:
    """Yields pictures of the effective fields and of their sides, a table of the layers, numbers and arrays.

    untrained: the same net with random weights, to compare with. Raises UserError for an unknown layer.
    """
    net, shape = subject.net, subject.data.image_shape
    layers = measured_layers(config.layers, net, shape)
    index = subject.data.choose(config.split, config.images, seed)
    images = subject.data.images(config.split, index)
    fields = effective_fields(net, images, layers, seed, partial(track, words="effective receptive fields"))
    fresh = dict[str, EffectiveField]()
    if untrained is not None:
        fresh = effective_fields(untrained, images, layers, seed, partial(track, words="the same with random weights"))
    sides, fresh_sides = ({layer: field.interval() for layer, field in of.items()} for of in (fields, fresh))
    rows = [_row(fields[layer], sides[layer], fresh_sides.get(layer)) for layer in fields]
    yield Conclusion("receptive", _in_words(fields, sides, fresh_sides, len(index)))
    yield from _numbers(fields, sides, fresh_sides)
    yield Picture("receptive/effective", fields_figure(fields, fresh), _EFFECTIVE, plot=True)
    caption = "Sides of the effective fields by layer, with 95 % intervals over the images"
    yield Picture(
        "receptive/sides",
        sides_plot(fields, *({layer: side[:3] for layer, side in of.items()} for of in (sides, fresh_sides))),
        caption,
        plot=True,
    )
    yield Table("receptive/layers", rows, _TABLE)
    image = subject.data.pixels(config.split, index[:1])[0].permute(1, 2, 0).numpy()
    caption = "How much of an image the central unit of each layer can see, and how far apart its units are"
    yield Picture("receptive", receptive_fields_plot(image, layer_summaries(net, shape)), caption, plot=True)
    heats = {layer: torch.from_numpy(field.heat).float() for layer, field in fields.items()}
    yield Arrays("receptive/energy", {**heats, **_profiles(fields)})


_EFFECTIVE = (
    "The gradient of each layer's central unit by the pixels, over the images: squares that hold 95 % of its energy, "
    "and all pixels on which the unit can depend, for any weights. What is outside the image is cut off"
)
_TABLE = (
    "Fields by layer, in pixels. field: the theoretical one; visible: the smallest square around the unit's center "
    "that holds all of it that is in the image (larger than the image where the center is off its middle); side: of "
    "the square with 95 % of the energy; share: side / visible; spread: standard deviation of the energy along one "
    "axis; silent: images without a gradient, because no map is on there"
)


def measured_layers(chosen: Sequence[str] | str | None, net: nn.Module, image: ImageSize) -> list[str]:
    """The layers of receptive.layers. ALL: every layer that the table of layers lists and that runs once."""
    if chosen == ALL:
        layers = trace(net, image).layers
        return [layer.name for layer in layer_summaries(net, image) if layers[layer.name].runs == 1]
    return list(chosen) if chosen is not None else default_layers(net, image)


def _row(field: EffectiveField, side: Interval, fresh: Interval | None) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": field.unit.layer, "field": field.unit.side or "image", "visible": field.visible}
    row |= {"side": side.value, "side_low": side.low, "side_high": side.high}
    row |= {"share": field.share, "spread": field.spread}
    if fresh is not None:
        row |= {"untrained side": fresh.value, "untrained_low": fresh.low, "untrained_high": fresh.high}
        row["untrained share"] = fresh.value / field.visible
    return {**row, "silent": field.silent}


def _numbers(
    fields: Mapping[str, EffectiveField], sides: Mapping[str, Interval], fresh: Mapping[str, Interval]
) -> Iterator[Number]:
    """The share of each layer, deepest first, with the ends of its interval, and that of random weights."""
    for layer in reversed(list(fields)):
        side, visible = sides[layer], fields[layer].visible
        words = f"share of the side of {layer}'s receptive field that holds 95 % of its gradient's energy"
        yield Number(f"receptive/{layer}", side.value / visible, words, layer=layer)
        for end in ("low", "high"):
            words = f"{'lower' if end == 'low' else 'upper'} end of its 95 % interval"
            yield Number(f"receptive/{layer}_{end}", getattr(side, end) / visible, words, layer=layer)
        if layer in fresh:
            words = f"the same share of {layer} with random weights"
            yield Number(f"receptive/{layer}/untrained", fresh[layer].value / visible, words, layer=layer)


def _in_words(
    fields: Mapping[str, EffectiveField], sides: Mapping[str, Interval], fresh: Mapping[str, Interval], images: int
) -> str:
    """What came out for the deepest layer, in a sentence with its numbers."""
    layer = list(fields)[-1]
    field, side = fields[layer], sides[layer]
    if not field.within.size:
        return f"The central unit of {layer} has no gradient in any of {images} images: no map is on there."
    words = f"95 % of the gradient of {layer}'s central unit comes from a square of {side} pixels"
    if layer in fresh and fresh[layer].n:
        words += f", with random weights from {fresh[layer]}"
    rows, cols = field.heat.shape
    if field.sees_all:
        return f"{words}, where it can depend on the whole image of {rows} x {cols} ({_mean_of(images)})."
    share = f"{field.share:.0%}".replace("%", " %")
    return f"{words}: {share} of the side of the {field.visible:g} that it can depend on ({_mean_of(images)})."


def _mean_of(images: int) -> str:
    return f"mean of {images} images" if images > 1 else "one image"


def _profiles(fields: Mapping[str, EffectiveField]) -> dict[str, Tensor]:
    """Sides [D] of the squares of each layer, and the share of the energy in each of them [n, D]."""
    sides = {f"{layer}.sides": torch.from_numpy(field.sides).float() for layer, field in fields.items()}
    return sides | {f"{layer}.within": torch.from_numpy(field.within).float() for layer, field in fields.items()}
