"""Probabilities of several crops of an image and of its mirror image, with the steps that crops share done once.

The whole image's maps are computed once for all crops, and of each crop's maps only what differs from them. From the
step on at which that no longer pays, each crop is computed by itself, and all together once nothing has positions, so
that linear layers read their many weights once. The probabilities equal those of separate passes up to rounding.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from convscope.engine.crop_maps import CropMap
from convscope.engine.sharing import Crop, SharedStep, Sharing, share_steps
from convscope.engine.steps import Step
from convscope.engine.trace import PIXELS

Tensors = dict[int, Tensor]  # by number in the trace


def corner_and_center_crops(side: int, size: int) -> list[Crop]:
    """The corner crops and the center crop of size x size in an image of side x side (AlexNet 2012, section 4.1)."""
    margin = side - size
    middle = margin // 2
    return [(0, 0), (0, margin), (margin, 0), (margin, margin), (middle, middle)]


def grid_crops(side: int, size: int) -> list[Crop]:
    """A grid of 5 x 5 crops of size x size from edge to edge (VGG, section 3.2), rounded down to pixels."""
    starts = [number * (side - size) // 4 for number in range(5)]
    return [(top, left) for top in starts for left in starts]


def multi_crop_probabilities(
    net: nn.Module, image_size: int, side: int, crops: Sequence[Crop]
) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to probabilities [N, K].

    The probabilities are the mean of the softmax over the crops of the images and of their mirror images. side:
    image_size or more. crops: equal crops are computed once and count several times. Crops that share too little run
    one at a time.
    """
    counts = Counter(crops)
    sharing = share_steps(net, image_size, side, list(counts))

    def probabilities(images: Tensor) -> Tensor:
        both = torch.cat([images, images.flip(3)])
        pieces = (both[:, :, top : top + image_size, left : left + image_size] for top, left in counts)
        scores = shared_scores(sharing, both) if sharing else (net(piece) for piece in pieces)
        total = sum(count * score.softmax(1) for count, score in zip(counts.values(), scores, strict=True))
        assert isinstance(total, Tensor)
        return total.view(2, len(images), -1).sum(0) / (2 * len(crops))

    return probabilities


@torch.inference_mode()
def shared_scores(sharing: Sharing, images: Tensor) -> list[Tensor]:
    """Class scores [N, K] of each crop of the images [N, 3, side, side], which may be written over."""
    maps = _shared_maps(sharing, images)
    parts = []
    while maps:
        crop_maps = maps.pop(0)
        own = {number: crop_map.own() for number, crop_map in crop_maps.items()}
        parts.append(_run(sharing.alone, own, sharing.last_use))
    joined = {number: torch.cat([part[number] for part in parts]) for number in parts[0]}
    scores = _run(sharing.together, joined, sharing.last_use)[sharing.output]
    return list(scores.chunk(len(sharing.crops)))


def _shared_maps(sharing: Sharing, images: Tensor) -> list[dict[int, CropMap]]:
    """For each crop the maps that the steps above the shared ones take."""
    wholes = {PIXELS: images}
    maps = [{PIXELS: CropMap(sharing.pixels, images, crop)} for crop in sharing.crops]
    for step in sharing.shared:
        number = step.of_crop.output.number
        outputs = [_without_whole(step, crop_maps, index) for index, crop_maps in enumerate(maps)]
        if any(step.areas):  # after the crops, because a step in place writes over the maps below
            whole = step.of_whole.whole([wholes[below.number] for below in step.of_whole.inputs])
            wholes[number] = whole
            outputs = [
                output if area is None else output._replace(source=whole)
                for output, area in zip(outputs, step.areas, strict=True)
            ]
        for output, crop_maps in zip(outputs, maps, strict=True):
            crop_maps[number] = output
        _free(wholes, step.of_crop, sharing.last_use)
        for crop_maps in maps:
            _free(crop_maps, step.of_crop, sharing.last_use)
    return maps


def _without_whole(step: SharedStep, crop_maps: dict[int, CropMap], index: int) -> CropMap:
    """The map of crop number `index`: its patches, for a source that follows; all of it where it shares nothing."""
    area, inputs = step.areas[index], [below.number for below in step.of_crop.inputs]
    if area is None:
        for number in inputs:
            crop_maps[number] = CropMap(crop_maps[number].tensor, crop_maps[number].own())
        return CropMap(step.of_crop.output, step.of_crop.whole([crop_maps[number].source for number in inputs]))
    patches = [part.run(step.of_crop, [crop_maps[number] for number in inputs]) for part in step.parts[index]]
    return CropMap(step.of_crop.output, torch.empty(0), (area[0].start, area[1].start), patches)


def _run(steps: Sequence[Step], values: Tensors, last_use: dict[int, int]) -> Tensors:
    """The values that later steps take, from those below the steps."""
    for step in steps:
        values[step.output.number] = step.whole([values[below.number] for below in step.inputs])
        _free(values, step, last_use)
    return values


def _free(values: dict[int, Tensor] | dict[int, CropMap], step: Step, last_use: dict[int, int]) -> None:
    """Removes the inputs of a step that no later step takes."""
    for below in step.inputs:
        if last_use[below.number] == step.output.number:
            values.pop(below.number, None)
