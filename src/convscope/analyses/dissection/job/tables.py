"""Tables and numbers of job=dissect: by layer, by part and by map."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from convscope.analyses.dissection.about import DissectionConfig
from convscope.analyses.dissection.compute.counts import Counts
from convscope.analyses.dissection.compute.detectors import (
    DetectorCounts,
    Detectors,
    iou_intervals,
    largest_possible,
)
from convscope.data.masked_images import MaskedImages
from convscope.metrics.intervals import Interval, interval_text
from convscope.runs.record import Number, Table


class DissectedLayer(NamedTuple):
    """A layer. detected: its detectors. numbers: how many, with intervals. fresh: those of an untrained net."""

    name: str
    counts: Counts
    detected: Detectors
    numbers: DetectorCounts
    fresh: Detectors | None


def layer_table(
    dissected: Sequence[DissectedLayer],
    images: MaskedImages,
    plan: DissectionConfig,
    hidden: Sequence[str],
    remark: str = "",
) -> Table:
    """A row for each layer: how many maps are detectors, and how many parts have one, beside the nulls.

    hidden: parts that no image shows. remark: a sentence on the net.
    """
    rows = []
    for layer in dissected:
        row: dict[str, Any] = {"layer": layer.name, "maps": len(layer.detected.best)}
        row |= {"detectors": _counted(layer.numbers.maps), "parts with a detector": _counted(layer.numbers.parts)}
        if layer.fresh is not None:
            row |= {"detectors, untrained": int(layer.fresh.is_detector.sum())}
            row |= {"parts, untrained": int((layer.fresh.by_part > 0).sum())}
        row |= {"detectors, shuffled masks": float(layer.detected.shuffled_by_part(plan.threshold).sum())}
        row |= {"above the threshold, shuffled masks": layer.detected.above_threshold_shuffled(plan.threshold)}
        rows.append(row)
    caption = (
        f"Detectors of parts by layer, in {len(images.names)} images. A map is a detector of the part of its "
        f"largest IoU where that exceeds {plan.threshold:g} (Bau et al.: .04) and the largest IoU that the map reaches "
        f"with any part in {plan.shuffles} shuffles, in each of which every image gets the masks of another one. "
        "Intervals: 95 %, from resampling the images. detectors, shuffled masks: how many there are by the same two "
        "conditions with the masks of one shuffle, judged by those of the others, mean; above the threshold, shuffled "
        "masks: maps that meet the first condition alone, which is that of Bau et al., mean"
    )
    hidden_words = f"No image shows its {', '.join(hidden)}" if hidden else ""
    sentences = [_too_large_words(dissected, images.parts, plan.threshold), caption, hidden_words, images.note]
    sentences.append(f"{remark[:1].upper()}{remark[1:]}")
    return Table("dissection/layers", rows, ". ".join(filter(None, sentences)))


def _too_large_words(dissected: Sequence[DissectedLayer], parts: Sequence[str], threshold: float) -> str:
    large = _too_large(dissected, parts, threshold)
    words = f"Too large for a map to reach IoU {threshold:g} (a smaller dissect.quantile allows more)"
    return f"{words}: {', '.join(large)}" if large else ""


def _too_large(dissected: Sequence[DissectedLayer], parts: Sequence[str], threshold: float) -> list[str]:
    """Parts that fill so many pixels that a map, strong in few, cannot reach the threshold in any layer."""
    largest = torch.stack([largest_possible(layer.counts) for layer in dissected]).amax(0)
    pixels = dissected[0].counts.part.sum(0)
    values = zip(parts, largest.tolist(), pixels.tolist(), strict=True)
    return [part for part, iou, count in values if count and iou <= threshold]


def in_words(dissected: Sequence[DissectedLayer], parts: Sequence[str], plan: DissectionConfig) -> str:
    """What came out: the layer in which most parts have a detector, beside its nulls."""
    best = max(dissected, key=lambda layer: (layer.numbers.parts.value, layer.numbers.maps.value))
    if not best.numbers.maps.value:
        total, layers = sum(len(layer.detected.best) for layer in dissected), [layer.name for layer in dissected]
        return f"None of the {total} maps of {', '.join(layers)} detects a part ({_null_words(dissected, plan)})."
    names = [part for part, number in zip(parts, best.detected.by_part.tolist(), strict=True) if number]
    return (
        f"{_counted(best.numbers.maps)} of the {len(best.detected.best)} maps of {best.name} detect a part "
        f"({_null_words([best], plan)}): {', '.join(names)}, {len(names)} of {len(parts)} parts."
    )


def _null_words(dissected: Sequence[DissectedLayer], plan: DissectionConfig) -> str:
    """How many maps of these layers are detectors in the untrained net, where there is one, and with shuffled masks."""
    fresh = [int(layer.fresh.is_detector.sum()) for layer in dissected if layer.fresh is not None]
    shuffled = sum(float(layer.detected.shuffled_by_part(plan.threshold).sum()) for layer in dissected)
    return (f"with random weights {sum(fresh)}; " if fresh else "") + f"with shuffled masks {shuffled:.3g}"


def _counted(interval: Interval) -> str:
    return interval_text(*interval[:3], decimals=0)


def map_table(dissected: Sequence[DissectedLayer], parts: Sequence[str]) -> Table:
    """A row for each map: its best part and their IoU, with its interval and its nulls."""
    rows = []
    for layer in dissected:
        low, high = iou_intervals(layer.counts, layer.detected.part)
        fresh = None if layer.fresh is None else layer.fresh.iou.amax(0)
        for map_, part in enumerate(layer.detected.part.tolist()):
            iou = float(layer.detected.best[map_])
            row = {"layer": layer.name, "map": map_, "part": parts[part] if iou else "", "IoU": iou}
            row |= {"IoU low": float(low[map_]), "IoU high": float(high[map_])}
            row |= {"shuffled masks": float(layer.detected.null[map_])}
            row |= {"untrained": float(fresh[part])} if fresh is not None else {}
            rows.append(row | {"detector": "yes" if layer.detected.is_detector[map_] else ""})
    caption = (
        "The part of each map's largest IoU [95 % interval over the images]. shuffled masks: the largest IoU of the "
        "map with any part where images get masks of others. untrained: the largest IoU with this part of any map of "
        "the layer with random weights"
    )
    return Table("dissection/maps", rows, caption)


def part_table(dissected: Sequence[DissectedLayer], parts: Sequence[str], plan: DissectionConfig) -> Table:
    """A row for each part and layer: its detectors, the best map, and the nulls."""
    rows = []
    shuffled = [layer.detected.shuffled_by_part(plan.threshold).tolist() for layer in dissected]
    largest = [largest_possible(layer.counts).tolist() for layer in dissected]
    for number, part in enumerate(parts):
        for layer, null, possible in zip(dissected, shuffled, largest, strict=True):
            best = int(layer.detected.iou[:, number].argmax())
            row = {"part": part, "layer": layer.name, "detectors": int(layer.detected.by_part[number])}
            row |= {"untrained": int(layer.fresh.by_part[number])} if layer.fresh is not None else {}
            row |= {"shuffled masks": null[number]}
            row |= {"best map": best, "its IoU": float(layer.detected.iou[best, number])}
            rows.append(row | {"largest possible": possible[number]})
    caption = (
        "How many maps detect each part, by the same two conditions with random weights (untrained) and with masks of "
        "other images (shuffled masks), and the map of the largest IoU with it. largest possible: the IoU if the "
        "smaller of both areas lay in the larger one: small for a part that fills more pixels than a map is strong in"
    )
    return Table("dissection/parts", rows, caption)


def layer_numbers(layer: DissectedLayer, images: MaskedImages, plan: DissectionConfig) -> Iterator[Number]:
    """How many maps are detectors, how many parts have one, and the same of the nulls."""
    place, maps, parts = f"dissection/{layer.name}", layer.numbers.maps, layer.numbers.parts
    words = f"{layer.name}: maps of {len(layer.detected.best)} that detect a part: {_counted(maps)}"
    yield Number(f"{place}/detectors", maps.value, words, layer=layer.name)
    words = f"{layer.name}: parts of {len(images.parts)} that a map detects: {_counted(parts)}"
    yield Number(f"{place}/parts", parts.value, words, layer=layer.name)
    if layer.fresh is not None:
        words = f"{layer.name}: maps that detect a part with random weights"
        yield Number(f"{place}/detectors_untrained", float(layer.fresh.is_detector.sum()), words, layer=layer.name)
    words = f"{layer.name}: maps that detect a part with masks of other images"
    shuffled = float(layer.detected.shuffled_by_part(plan.threshold).sum())
    yield Number(f"{place}/detectors_shuffled", shuffled, words, layer=layer.name)
    words = f"{layer.name}: maps above the threshold with masks of other images"
    above = layer.detected.above_threshold_shuffled(plan.threshold)
    yield Number(f"{place}/above_threshold_shuffled", above, words, layer=layer.name)
