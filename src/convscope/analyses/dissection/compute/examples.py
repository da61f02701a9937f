"""The detectors of a layer that are drawn, with the images in which each is strongest."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.analyses.dissection.compute.counts import BATCH, Counts, net_fields, upsampled
from convscope.analyses.dissection.compute.detectors import Detectors
from convscope.engine.features import features

IMAGES = 6  # of each map


class StrongImage(NamedTuple):
    """An image. pixels: [H, W, 3] uint8. activation: [H, W], the map enlarged to it."""

    pixels: NDArray[np.uint8]
    activation: NDArray[np.float32]


def drawn_detectors(detected: Detectors, count: int) -> list[int]:
    """At most `count` detectors: the best one of each part, then the second of each, the larger IoU first."""
    by_part: dict[int, list[int]] = {}
    for map_ in detected.best.argsort(descending=True, stable=True).tolist():
        if detected.is_detector[map_]:
            by_part.setdefault(int(detected.part[map_]), []).append(map_)
    ranked = [(rank, map_) for maps in by_part.values() for rank, map_ in enumerate(maps)]
    return [map_ for _, map_ in sorted(ranked, key=lambda pair: (pair[0], -float(detected.best[pair[1]])))][:count]


def strongest_images(
    net: nn.Module, read: Callable[[list[int]], tuple[Tensor, Tensor]], layer: str, counts: Counts, maps: list[int]
) -> dict[int, list[StrongImage]]:
    """Map -> the images in which its activation is largest, largest first. read: see MaskedImages."""
    order = {map_: counts.peak[:, map_].argsort(descending=True, stable=True)[:IMAGES].tolist() for map_ in maps}
    numbers = sorted({number for of_map in order.values() for number in of_map})
    examples: dict[tuple[int, int], StrongImage] = {}
    fields = None
    for start in range(0, len(numbers), BATCH):
        batch = numbers[start : start + BATCH]
        image, pixels = read(batch)
        fields = net_fields(net, image) if fields is None else fields
        activations = features(net, image, [layer]).layers[layer]
        for at, number in enumerate(batch):
            chosen = [map_ for map_ in maps if number in order[map_]]
            enlarged = upsampled(fields.get(layer), activations, image)(activations[at, chosen].float()).cpu().numpy()
            for map_, activation in zip(chosen, enlarged, strict=True):
                examples[map_, number] = StrongImage(pixels[at].permute(1, 2, 0).numpy(), activation)
    return {map_: [examples[map_, number] for number in of_map] for map_, of_map in order.items()}
