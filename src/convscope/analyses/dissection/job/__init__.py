"""job=dissect: which part of an image does each map answer to (Bau et al. 2017)?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from convscope.analyses.dissection.about import DissectionConfig
from convscope.analyses.dissection.compute.counts import Counts, NumberedImages, PackedMasks, layer_counts
from convscope.analyses.dissection.compute.detectors import detector_counts, detectors, iou_intervals
from convscope.analyses.dissection.compute.examples import drawn_detectors, strongest_images
from convscope.analyses.dissection.figure import DetectorRow, detector_grid, detectors_by_part
from convscope.analyses.dissection.job.tables import (
    DissectedLayer,
    in_words,
    layer_numbers,
    layer_table,
    map_table,
    part_table,
)
from convscope.analyses.inputs import Inputs
from convscope.analyses.subject import Subject
from convscope.analyses.weak_nets import weak_net_line
from convscope.data.mask_folder import LAYOUT, images_of_folder
from convscope.data.masked_images import MaskedImages, images_of_arrays, images_of_csv, images_that_know_parts
from convscope.engine.blocks import default_layers
from convscope.engine.progress import track
from convscope.engine.trace import unknown_layer_message
from convscope.errors import UserError
from convscope.runs.record import Arrays, Conclusion, Picture, Result

LEARNED, UNTRAINED, SHUFFLED = "learned", "untrained", "shuffled masks"


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
    examined = NumberedImages(len(images.names), lambda numbers: images.read(numbers)[0], images.draw)
    packed = PackedMasks(examined, plan.shuffles, seed, track)
    hidden = _hidden_parts(packed, images)
    nets = {LEARNED: subject.net} | ({UNTRAINED: untrained} if untrained is not None else {})
    counts = layer_counts(nets, examined, packed, layers, plan.quantile, track)
    dissected = [
        _dissected(layer, counts[LEARNED][layer], counts.get(UNTRAINED, {}).get(layer), plan.threshold, seed)
        for layer in track(layers, "intervals by layer")
    ]
    yield Conclusion("dissection", in_words(dissected, images.parts, plan))
    yield layer_table(dissected, images, plan, hidden, weak_net_line(subject, seed) or "")
    yield _bars(dissected, images.parts, plan)
    for layer in dissected:
        yield from _picture(subject.net, images, layer, plan)
    yield part_table(dissected, images.parts, plan)
    yield map_table(dissected, images.parts)
    for layer in dissected:
        yield from layer_numbers(layer, images, plan)
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
    detected = detectors(counts, threshold)
    numbers = detector_counts(counts, detected, threshold, seed)
    return DissectedLayer(layer, counts, detected, numbers, None if fresh is None else detectors(fresh, threshold))


def _bars(dissected: Sequence[DissectedLayer], parts: Sequence[str], plan: DissectionConfig) -> Picture:
    numbers = {}
    for layer in dissected:
        numbers[layer.name] = {LEARNED: layer.detected.by_part.tolist()}
        if layer.fresh is not None:
            numbers[layer.name][UNTRAINED] = layer.fresh.by_part.tolist()
        numbers[layer.name][SHUFFLED] = layer.detected.shuffled_by_part(plan.threshold).tolist()
    figure = detectors_by_part(numbers, parts, "How many maps detect each part")
    caption = (
        f"Detectors of each part, by layer (IoU above {plan.threshold:g} and above that with masks of other images); "
        "untrained: the same net with random weights; shuffled masks: the same net with masks of other images, mean"
    )
    return Picture("dissection/detectors", figure, caption, plot=True)


def _picture(net: nn.Module, images: MaskedImages, layer: DissectedLayer, plan: DissectionConfig) -> Iterator[Picture]:
    """The best detectors of a layer; nothing where it has none."""
    maps = drawn_detectors(layer.detected, plan.shown)
    if not maps:
        return
    strongest = strongest_images(net, images.read, layer.name, layer.counts, maps)
    low, high = iou_intervals(layer.counts, layer.detected.part)
    rows = []
    for map_ in maps:
        label = f"{images.parts[int(layer.detected.part[map_])]}  ·  map {map_}"
        words = f"IoU {layer.detected.best[map_]:.2f} [{low[map_]:.2f}, {high[map_]:.2f}], "
        words += f"shuffled masks {layer.detected.null[map_]:.2f}"
        rows.append(DetectorRow((label, words), strongest[map_], float(layer.counts.threshold[map_])))
    title = f"What maps of {layer.name} detect"
    note = "the images in which each map is strongest; inside the line its activation is above its threshold"
    count = int(layer.detected.is_detector.sum())
    caption = f"{layer.name}: {len(maps)} of its {count} detectors, the best of each part first; {note}"
    yield Picture(f"dissection/{layer.name}", detector_grid(rows, title, note), caption, layer=layer.name)


def _tensors(dissected: Sequence[DissectedLayer]) -> dict[str, Tensor]:
    """<layer>.iou [C, P], .shuffled [S, C, P], .threshold [C], and untrained_iou [C, P]."""
    tensors = dict[str, Tensor]()
    for layer in dissected:
        values = {"iou": layer.detected.iou, "shuffled": layer.detected.shuffled, "threshold": layer.counts.threshold}
        if layer.fresh is not None:
            values["untrained_iou"] = layer.fresh.iou
        tensors |= {f"{layer.name}.{name}": value.to(torch.float32).contiguous() for name, value in values.items()}
    return tensors
