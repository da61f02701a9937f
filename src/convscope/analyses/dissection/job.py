"""job=dissect: which part of an image does each map answer to (Bau et al. 2017)?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.analyses.dissection.about import DissectionConfig
from convscope.analyses.dissection.compute.counts import Counts, Examined, PackedMasks, layer_counts
from convscope.analyses.dissection.compute.detectors import (
    DetectorCounts,
    Detectors,
    detector_counts,
    detectors,
    iou_intervals,
    largest_possible,
)
from convscope.analyses.dissection.compute.examples import drawn_detectors, strongest_images
from convscope.analyses.dissection.figure import DetectorRow, detector_grid, detectors_by_part
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.data.mask_folder import LAYOUT, images_of_folder
from convscope.data.masked_images import MaskedImages, images_of_arrays, images_of_csv, images_that_know_parts
from convscope.engine.blocks import default_layers
from convscope.engine.progress import track
from convscope.engine.trace import unknown_layer_message
from convscope.errors import UserError
from convscope.runs.record import Arrays, Number, Picture, Result, Table

LEARNED, UNTRAINED, SHUFFLED = "learned", "untrained", "shuffled masks"


class DissectedLayer(NamedTuple):
    """A layer. found: its detectors. numbers: how many, with intervals. fresh: those of the untrained net, if any."""

    name: str
    counts: Counts
    found: Detectors
    numbers: DetectorCounts
    fresh: Detectors | None


def results(inputs: Inputs, config: DissectionConfig) -> Iterator[Result]:
    """Opens the net and yields what job=dissect finds."""
    subject = inputs.subject()
    compared = config.untrained and inputs.has_learned_weights
    return dissect(subject, config, inputs.seed, inputs.random_subject(subject).net if compared else None)


def dissect(
    subject: Subject,
    plan: DissectionConfig,
    seed: int,
    untrained: nn.Module | None = None,
    masks: Mapping[str, Any] | None = None,
) -> Iterator[Result]:
    """Yields a table of layers, a table of maps, one of parts, plots, and a picture of each layer's best detectors.

    untrained: the same net with fresh random weights. masks: part -> where each image of the split shows it [N, H, W],
    in place of a folder or a csv.
    """
    layers = plan.layers or default_layers(subject.net, subject.data.image_shape)
    paths = [name for name, _ in subject.net.named_modules() if name]
    if unknown := [layer for layer in layers if layer not in paths]:
        raise UserError(unknown_layer_message(unknown[0], paths))
    images = masked_images(subject, plan, seed, masks)
    examined = Examined(len(images.names), lambda numbers: images.read(numbers)[0], images.draw)
    packed = PackedMasks(examined, plan.shuffles, seed)
    hidden = _hidden_parts(packed, images)
    nets = {LEARNED: subject.net} | ({UNTRAINED: untrained} if untrained is not None else {})
    counts = layer_counts(nets, examined, packed, layers, plan.quantile, track)
    dissected = [
        _dissected(layer, counts[LEARNED][layer], counts.get(UNTRAINED, {}).get(layer), plan.threshold, seed)
        for layer in track(layers, "intervals by layer")
    ]
    yield layer_table(dissected, images, plan, hidden)
    yield _bars(dissected, images.parts, plan)
    for layer in dissected:
        yield from _picture(subject.net, images, layer, plan)
    yield part_table(dissected, images.parts, plan)
    yield map_table(dissected, images.parts)
    for layer in dissected:
        yield from _numbers(layer, images, plan)
    yield Arrays("dissection/maps", _tensors(dissected))


def masked_images(subject: Subject, plan: DissectionConfig, seed: int, masks: Mapping[str, Any] | None) -> MaskedImages:
    """The images with the masks of their parts. Raises UserError for photographs whose parts nothing says."""
    if masks is not None:
        return images_of_arrays(subject.data, masks, plan.split, plan.images, seed)
    if plan.masks is not None:
        return images_of_folder(subject.data, plan.masks, plan.split, plan.images, seed)
    if plan.parts is not None:
        return images_of_csv(subject.data, plan.parts, plan.images, seed, plan.radius)
    images = images_that_know_parts(subject.data, plan.split, plan.images, seed)
    if images is None:
        raise UserError(
            f"where the parts of these images are is not known; type dissect.masks=<folder> ({LAYOUT}), or "
            "dissect.parts=<csv with columns path,part,x,y or path,x0,y0,x1,y1,part>, or look at drawn animals: "
            "data=critters"
        )
    return images


def _hidden_parts(packed: PackedMasks, images: MaskedImages) -> list[str]:
    """The parts that no image shows. Raises UserError where no image shows any."""
    pixels = packed.pixels().sum(0)
    if not pixels.any():
        raise UserError(
            f"none of the {len(images.names)} images shows any of {', '.join(images.parts)}: the masks are empty, or "
            "the center crop cuts the parts away"
        )
    return [part for part, count in zip(images.parts, pixels.tolist(), strict=True) if not count]


def _dissected(layer: str, counts: Counts, fresh: Counts | None, threshold: float, seed: int) -> DissectedLayer:
    found = detectors(counts, threshold)
    numbers = detector_counts(counts, found, threshold, seed)
    return DissectedLayer(layer, counts, found, numbers, None if fresh is None else detectors(fresh, threshold))


def layer_table(
    dissected: Sequence[DissectedLayer], images: MaskedImages, plan: DissectionConfig, hidden: Sequence[str]
) -> Table:
    """A row for each layer: how many maps are detectors, and how many parts have one, beside the nulls."""
    rows = []
    for layer in dissected:
        row: dict[str, Any] = {"layer": layer.name, "maps": len(layer.found.best)}
        row |= {"detectors": _counted(layer.numbers.maps), "parts with a detector": _counted(layer.numbers.parts)}
        if layer.fresh is not None:
            row |= {"detectors, untrained": int(layer.fresh.is_detector.sum())}
            row |= {"parts, untrained": int((layer.fresh.by_part > 0).sum())}
        row |= {"above the threshold, shuffled masks": float(layer.found.shuffled_by_part(plan.threshold).sum())}
        rows.append(row)
    caption = (
        f"{in_words(dissected, images.parts, plan)} {len(images.names)} images. A map is a detector of the part of its "
        f"largest IoU where that exceeds {plan.threshold:g} (Bau et al.: .04) and the largest IoU that the map reaches "
        f"with any part in {plan.shuffles} shuffles, in each of which every image gets the masks of another one. "
        "Intervals: 95 %, from resampling the images. Last column: maps whose largest IoU with shuffled masks exceeds "
        "the threshold, mean of the shuffles"
    )
    if hidden:
        caption += f". No image shows its {', '.join(hidden)}"
    if large := _too_large(dissected, images.parts, plan.threshold):
        words = f"Too large for a map to reach {plan.threshold:g} (a smaller dissect.quantile allows more)"
        caption += f". {words}: {', '.join(large)}"
    return Table("dissection/layers", rows, f"{caption}. {images.note}" if images.note else caption)


def _too_large(dissected: Sequence[DissectedLayer], parts: Sequence[str], threshold: float) -> list[str]:
    """Parts that fill so many pixels that a map, strong in few, cannot reach the threshold in any layer."""
    largest = torch.stack([largest_possible(layer.counts) for layer in dissected]).amax(0)
    pixels = dissected[0].counts.part.sum(0)
    values = zip(parts, largest.tolist(), pixels.tolist(), strict=True)
    return [part for part, iou, count in values if count and iou <= threshold]


def in_words(dissected: Sequence[DissectedLayer], parts: Sequence[str], plan: DissectionConfig) -> str:
    """What came out: the layer in which most parts have a detector, beside its nulls."""
    best = max(dissected, key=lambda layer: (layer.numbers.parts.value, layer.numbers.maps.value))
    count, total = int(best.numbers.maps.value), len(best.found.best)
    if not count:
        return f"No map of {', '.join(layer.name for layer in dissected)} detects a part."
    nulls = [f"{best.found.shuffled_by_part(plan.threshold).sum():.3g} exceed the threshold with shuffled masks"]
    if best.fresh is not None:
        nulls.insert(0, f"{int(best.fresh.is_detector.sum())} do with random weights")
    names = [part for part, number in zip(parts, best.found.by_part.tolist(), strict=True) if number]
    return (
        f"{count} of the {total} maps of {best.name} detect a part ({'; '.join(nulls)}): {', '.join(names)}, "
        f"{len(names)} of {len(parts)} parts."
    )


def _counted(interval: Any) -> str:
    return f"{interval.value:g} [{interval.low:.3g}, {interval.high:.3g}]"


def map_table(dissected: Sequence[DissectedLayer], parts: Sequence[str]) -> Table:
    """A row for each map: its best part and their IoU, with its interval and its nulls."""
    rows = []
    for layer in dissected:
        low, high = iou_intervals(layer.counts, layer.found.part)
        fresh = None if layer.fresh is None else layer.fresh.iou.amax(0)
        for map_, part in enumerate(layer.found.part.tolist()):
            iou = float(layer.found.best[map_])
            row = {"layer": layer.name, "map": map_, "part": parts[part] if iou else "", "IoU": iou}
            row |= {"IoU low": float(low[map_]), "IoU high": float(high[map_])}
            row |= {"shuffled masks": float(layer.found.null[map_])}
            row |= {"untrained": float(fresh[part])} if fresh is not None else {}
            rows.append(row | {"detector": "yes" if layer.found.is_detector[map_] else ""})
    caption = (
        "The part of each map's largest IoU [95 % interval over the images]. shuffled masks: the largest IoU of the "
        "map with any part where images get masks of others. untrained: the largest IoU with this part of any map of "
        "the layer with random weights"
    )
    return Table("dissection/maps", rows, caption)


def part_table(dissected: Sequence[DissectedLayer], parts: Sequence[str], plan: DissectionConfig) -> Table:
    """A row for each part and layer: its detectors, the best map, and the nulls."""
    rows = []
    for number, part in enumerate(parts):
        for layer in dissected:
            best = int(layer.found.iou[:, number].argmax())
            row = {"part": part, "layer": layer.name, "detectors": int(layer.found.by_part[number])}
            row |= {"untrained": int(layer.fresh.by_part[number])} if layer.fresh is not None else {}
            row |= {"shuffled masks": float(layer.found.shuffled_by_part(plan.threshold)[number])}
            row |= {"best map": best, "its IoU": float(layer.found.iou[best, number])}
            rows.append(row | {"largest possible": float(largest_possible(layer.counts)[number])})
    caption = (
        "How many maps detect each part, and the map of the largest IoU with it. largest possible: the IoU if the "
        "smaller of both areas lay in the larger one: small for a part that fills more pixels than a map is strong in"
    )
    return Table("dissection/parts", rows, caption)


def _bars(dissected: Sequence[DissectedLayer], parts: Sequence[str], plan: DissectionConfig) -> Picture:
    numbers = {}
    for layer in dissected:
        numbers[layer.name] = {LEARNED: layer.found.by_part.tolist()}
        if layer.fresh is not None:
            numbers[layer.name][UNTRAINED] = layer.fresh.by_part.tolist()
        numbers[layer.name][SHUFFLED] = layer.found.shuffled_by_part(plan.threshold).tolist()
    figure = detectors_by_part(numbers, parts, "How many maps detect each part")
    caption = (
        f"Detectors of each part, by layer (IoU above {plan.threshold:g} and above that with masks of other images); "
        "untrained: the same net with random weights; shuffled masks: maps above the threshold with masks of others"
    )
    return Picture("dissection/detectors", figure, caption, plot=True)


def _picture(net: nn.Module, images: MaskedImages, layer: DissectedLayer, plan: DissectionConfig) -> Iterator[Picture]:
    """The best detectors of a layer; nothing where it has none."""
    maps = drawn_detectors(layer.found, plan.shown)
    if not maps:
        return
    strongest = strongest_images(net, images.read, layer.name, layer.counts, maps)
    low, high = iou_intervals(layer.counts, layer.found.part)
    rows = []
    for map_ in maps:
        label = f"{images.parts[int(layer.found.part[map_])]}  ·  map {map_}"
        words = f"IoU {layer.found.best[map_]:.2f} [{low[map_]:.2f}, {high[map_]:.2f}], "
        words += f"shuffled masks {layer.found.null[map_]:.2f}"
        rows.append(DetectorRow((label, words), strongest[map_], float(layer.counts.threshold[map_])))
    title = f"What maps of {layer.name} detect"
    note = "the images in which each map is strongest; inside the line its activation is above its threshold"
    count = int(layer.found.is_detector.sum())
    caption = f"{layer.name}: {len(maps)} of its {count} detectors, the best of each part first; {note}"
    yield Picture(f"dissection/{layer.name}", detector_grid(rows, title, note), caption, layer=layer.name)


def _numbers(layer: DissectedLayer, images: MaskedImages, plan: DissectionConfig) -> Iterator[Number]:
    """How many maps are detectors, how many parts have one, and the same of the nulls."""
    place, maps, parts = f"dissection/{layer.name}", layer.numbers.maps, layer.numbers.parts
    words = f"{layer.name}: maps of {len(layer.found.best)} that detect a part: {_counted(maps)}"
    yield Number(f"{place}/detectors", maps.value, words, layer=layer.name)
    words = f"{layer.name}: parts of {len(images.parts)} that a map detects: {_counted(parts)}"
    yield Number(f"{place}/parts", parts.value, words, layer=layer.name)
    if layer.fresh is not None:
        words = f"{layer.name}: maps that detect a part with random weights"
        yield Number(f"{place}/detectors_untrained", float(layer.fresh.is_detector.sum()), words, layer=layer.name)
    words = f"{layer.name}: maps above the threshold with masks of other images"
    shuffled = float(layer.found.shuffled_by_part(plan.threshold).sum())
    yield Number(f"{place}/above_threshold_shuffled", shuffled, words, layer=layer.name)


def _tensors(dissected: Sequence[DissectedLayer]) -> dict[str, Tensor]:
    """<layer>.iou [C, P], .shuffled [S, C, P], .threshold [C], and untrained_iou [C, P]."""
    tensors = {}
    for layer in dissected:
        values = {"iou": layer.found.iou, "shuffled": layer.found.shuffled, "threshold": layer.counts.threshold}
        if layer.fresh is not None:
            values["untrained_iou"] = layer.fresh.iou
        tensors |= {f"{layer.name}.{name}": value.to(torch.float32).contiguous() for name, value in values.items()}
    return tensors
