"""Probabilities of several crops of an image and of its mirror image, with the convolutions that crops share done once.

Where the corner of a crop is a multiple of a layer's stride, the crop's map is a part of the whole image's map except
for a border, where the crop's padding and its last windows differ. The whole image's maps are computed once for all
crops, and the border of each crop anew. From the layer on at which that no longer pays, or corners are no multiples,
each crop is computed by itself. The probabilities equal those of separate passes up to rounding.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.calls import Pair, Window
from convscope.engine.stages import MapBox, PatchedMap, PlainNet, Stage, read_plain_net, run

_STRIPS = 1.5  # cost of a position in the border, relative to the middle: small pieces that are copied

Crop = Pair  # top, left: pixels of the whole image


def corner_and_center_crops(side: int, size: int) -> list[Crop]:
    """The corner crops and the center crop of size x size in an image of side x side (AlexNet 2012, section 4.1)."""
    margin = side - size
    middle = margin // 2
    return [(0, 0), (0, margin), (margin, 0), (margin, margin), (middle, middle)]


def grid_crops(side: int, size: int) -> list[Crop]:
    """A grid of 5 x 5 crops of size x size from edge to edge (VGG, section 3.2), rounded down to pixels."""
    starts = [number * (side - size) // 4 for number in range(5)]
    return [(top, left) for top in starts for left in starts]


class SharedSpan(NamedTuple):
    """Along one axis: position i of a crop's map, low <= i < high, equals position start + i of the whole's map."""

    start: int
    low: int
    high: int


class Sides(NamedTuple):
    """Positions along one axis of a crop's map and of the whole image's map, below a window and above it."""

    crop: int
    whole: int
    crop_above: int
    whole_above: int


SharedArea = tuple[SharedSpan, SharedSpan]  # rows, columns


class Sharing(NamedTuple):
    """Shared parts: areas[s][c] of crop c in the map above stage s; None once the crop is computed by itself."""

    net: PlainNet
    areas: list[list[SharedArea | None]]


def multi_crop_probabilities(
    net: nn.Module, image_size: int, side: int, crops: Sequence[Crop]
) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to probabilities [N, K].

    The probabilities are the mean of the softmax over the crops of the images and of their mirror images. side:
    image_size or more. crops: equal crops are computed once and count several times. Nets with branches, and crops that
    share nothing, run one crop at a time.
    """
    counts = Counter(crops)
    sharing = share_stages(net, image_size, side, list(counts))

    def probabilities(images: Tensor) -> Tensor:
        both = torch.cat([images, images.flip(3)])
        pieces = [both[:, :, top : top + image_size, left : left + image_size] for top, left in counts]
        scores = _together(sharing, both, pieces) if sharing else (net(piece) for piece in pieces)
        total = sum(count * score.softmax(1) for count, score in zip(counts.values(), scores, strict=True))
        assert isinstance(total, Tensor)
        return total.view(2, len(images), -1).sum(0) / (2 * len(crops))

    return probabilities


def share_stages(net: nn.Module, image_size: int, side: int, crops: Sequence[Crop]) -> Sharing | None:
    """The stages that crops share, as many as give the least work; None where sharing does not pay."""
    plain_net = read_plain_net(net, image_size)
    if plain_net is None or side == image_size:
        return None
    weight = next(net.parameters())
    shared, saved, best = list[list[SharedArea | None]](), 0.0, (0.0, 0)
    areas: list[SharedArea | None] = [
        (SharedSpan(top, 0, image_size), SharedSpan(left, 0, image_size)) for top, left in crops
    ]
    whole = weight.new_zeros(1, 3, side, side)
    for stage in plain_net.stages:
        below = (whole.shape[2], whole.shape[3])
        whole = _size_above(stage, whole)
        areas = [_area_above(area, stage, below, (whole.shape[2], whole.shape[3])) for area in areas]
        if not any(areas):
            break
        shared.append(areas)
        saved += _saved_work(stage, areas, whole.shape[2] * whole.shape[3])
        best = max(best, (saved, len(shared)))
    return Sharing(plain_net, shared[: best[1]]) if best[1] else None


@torch.inference_mode()
def _size_above(stage: Stage, whole: Tensor) -> Tensor:
    return stage.calls[0].again(whole)


def _area_above(area: SharedArea | None, stage: Stage, below: Pair, whole: Pair) -> SharedArea | None:
    """The shared area of the map above a stage; None where there is none. below, whole: sides of the whole's maps."""
    if area is None:
        return None
    sides = [Sides(*four) for four in zip(stage.below, below, stage.above, whole, strict=True)]
    rows, cols = (span_above(span, stage.window, axis, sides[axis]) for axis, span in enumerate(area))
    return (rows, cols) if rows and cols else None


def _saved_work(stage: Stage, areas: list[SharedArea | None], whole: int) -> float:
    """Work that crops save when they share a stage. whole: positions of the whole image's map above the stage."""
    positions = stage.above[0] * stage.above[1]
    shared = [(rows.high - rows.low) * (cols.high - cols.low) for rows, cols in filter(None, areas)]
    return stage.work * (len(shared) * positions - whole - _STRIPS * sum(positions - area for area in shared))


def _together(sharing: Sharing, whole: Tensor, crops: list[Tensor]) -> list[Tensor]:
    """Class scores of each crop of the images `whole`. Holds maps of the whole and of one crop at a time."""
    wholes = list(accumulate(sharing.net.stages[: len(sharing.areas)], lambda x, stage: stage.run(x), initial=whole))
    last = torch.cat([_last_map(sharing, wholes[1:], crop, index) for index, crop in enumerate(crops)])
    # All crops together, so that the linear layers read their many weights once.
    return list(run(sharing.net.rest, last).chunk(len(crops)))


def _last_map(sharing: Sharing, wholes: Sequence[Tensor], crop: Tensor, index: int) -> Tensor:
    """Output of the last stage for crop number `index`. wholes: the whole image's maps above the shared stages."""
    stages, x = sharing.net.stages, PatchedMap(crop, [])
    for stage, whole, areas in zip(stages, wholes, sharing.areas, strict=False):
        x = _crop_map(stage, whole, x, areas[index])
    return run([call for stage in stages[len(wholes) :] for call in stage.calls], x.whole())


def _crop_map(stage: Stage, whole: Tensor, below: PatchedMap, area: SharedArea | None) -> PatchedMap:
    """The crop's map: the shared area out of the whole's map, and the border computed from the crop's map below."""
    if area is None:
        return PatchedMap(stage.run(below.whole()), [])
    (rows, cols), (height, width) = area, stage.above
    border = [
        MapBox(0, rows.low, 0, width), MapBox(rows.high, height, 0, width),
        MapBox(rows.low, rows.high, 0, cols.low), MapBox(rows.low, rows.high, cols.high, width),
    ]  # fmt: skip
    border = [box for box in border if box.bottom > box.top and box.right > box.left]
    view = whole[:, :, rows.start : rows.start + height, cols.start : cols.start + width]
    return PatchedMap(view, [(box, stage.part(below, box)) for box in border])


def span_above(span: SharedSpan, window: Window, axis: int, sides: Sides) -> SharedSpan | None:
    """The shared span of the map above a convolution or pool; None where crop and whole have different windows.

    A window is shared if all its positions are shared. At an edge of both crop and whole, the padding is shared too.
    """
    stride, padding, extent = window.stride[axis], window.padding[axis], window.extent()[axis]
    if span.start % stride:
        return None
    start = span.start // stride
    low = 0 if span.start == 0 == span.low else max(0, -(-(span.low + padding) // stride))
    at_the_end = span.high == sides.crop and span.start + sides.crop == sides.whole
    high = sides.crop_above if at_the_end else min(sides.crop_above, (span.high + padding - extent) // stride + 1)
    if low >= high or start + sides.crop_above > sides.whole_above:
        return None
    return SharedSpan(start, low, high)
