"""Several crops of an image, and of its mirror image, with the convolutions that they share done once.

Where a crop's place is a multiple of a layer's stride, its map is a part of the whole image's map, but for a border:
there the crop's own padding, or its last windows, see something else. The whole image's maps are computed once for all
crops of a direction, and each crop's border anew. From the layer on at which that no longer pays, or no longer fits,
each crop goes on by itself. The probabilities are those of separate passes, to rounding.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.stages import MapBox, PatchedMap, PlainNet, Stage, read_plain_net, run
from convscope.engine.windows import Pair, Window

_STRIPS = 1.5  # a border costs so much more than as many positions in the middle: small pieces, copied

Crop = Pair  # top, left: pixels of the whole image


class SharedSpan(NamedTuple):
    """Along one axis position i of a crop's map, low <= i < high, is position at + i of the whole image's map."""

    at: int
    low: int
    high: int


class Sides(NamedTuple):
    """Along one axis: positions of a crop's map and of the whole image's, below a window and above it."""

    crop: int
    whole: int
    crop_above: int
    whole_above: int


SharedArea = tuple[SharedSpan, SharedSpan]  # rows, columns


class Sharing(NamedTuple):
    """How far the crops go together: places[s][c] of crop c on the map above stage s, None once it goes by itself."""

    net: PlainNet
    places: list[list[SharedArea | None]]


def multi_crop_probabilities(
    net: nn.Module, image_size: int, side: int, crops: Sequence[Crop]
) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to probabilities [N, K]: the mean of the softmax of these crops
    of the images and of their mirror images.

    side: image_size or more. Nets that branch, and crops that share nothing, are passed one crop at a time; crops of
    one place are one, and count as often as it stands there.
    """
    places = Counter(crops)
    sharing = share_stages(net, image_size, side, list(places))

    def probabilities(images: Tensor) -> Tensor:
        both = torch.cat([images, images.flip(3)])
        pieces = [both[:, :, top : top + image_size, left : left + image_size] for top, left in places]
        scores = _together(sharing, both, pieces) if sharing else (net(piece) for piece in pieces)
        total = sum(count * score.softmax(1) for count, score in zip(places.values(), scores, strict=True))
        assert isinstance(total, Tensor)
        return total.view(2, len(images), -1).sum(0) / (2 * len(crops))

    return probabilities


def share_stages(net: nn.Module, image_size: int, side: int, crops: Sequence[Crop]) -> Sharing | None:
    """The stages that the crops are to share, as few or many as are the least work; None where it is none."""
    found = read_plain_net(net, image_size)
    if found is None or side == image_size:
        return None
    weight = next(net.parameters())
    places, saved, best = list[list[SharedArea | None]](), 0.0, (0.0, 0)
    now: list[SharedArea | None] = [
        (SharedSpan(top, 0, image_size), SharedSpan(left, 0, image_size)) for top, left in crops
    ]
    whole = weight.new_zeros(1, 3, side, side)
    for stage in found.stages:
        below = (whole.shape[2], whole.shape[3])
        whole = _size_above(stage, whole)
        now = [_above(place, stage, below, (whole.shape[2], whole.shape[3])) for place in now]
        if not any(now):
            break
        places.append(now)
        saved += _saved(stage, now, whole.shape[2] * whole.shape[3])
        best = max(best, (saved, len(places)))
    return Sharing(found, places[: best[1]]) if best[1] else None


@torch.inference_mode()
def _size_above(stage: Stage, whole: Tensor) -> Tensor:
    return stage.calls[0].again(whole)


def _above(place: SharedArea | None, stage: Stage, below: Pair, whole: Pair) -> SharedArea | None:
    if place is None:
        return None
    sides = [Sides(*four) for four in zip(stage.below, below, stage.above, whole, strict=True)]
    rows, cols = (span_above(span, stage.window, axis, sides[axis]) for axis, span in enumerate(place))
    return (rows, cols) if rows and cols else None


def _saved(stage: Stage, places: list[SharedArea | None], whole: int) -> float:
    """What a stage costs less when these crops share it."""
    every = stage.above[0] * stage.above[1]
    kept = [(rows.high - rows.low) * (cols.high - cols.low) for rows, cols in filter(None, places)]
    return stage.work * (len(kept) * every - whole - _STRIPS * sum(every - common for common in kept))


def _together(sharing: Sharing, whole: Tensor, crops: list[Tensor]) -> list[Tensor]:
    """Class scores of each of these crops of the images `whole`. Held at a time: maps of the whole, and of one crop."""
    wholes = list(accumulate(sharing.net.stages[: len(sharing.places)], lambda x, stage: stage.run(x), initial=whole))
    last = torch.cat([_last_map(sharing, wholes[1:], crop, at) for at, crop in enumerate(crops)])
    return list(run(sharing.net.rest, last).chunk(len(crops)))  # the full layers read their many weights once


def _last_map(sharing: Sharing, wholes: Sequence[Tensor], crop: Tensor, at: int) -> Tensor:
    """What the last stage puts out for crop number `at`. wholes: the whole image's maps above the shared stages."""
    stages, x = sharing.net.stages, PatchedMap(crop, [])
    for stage, whole, places in zip(stages, wholes, sharing.places, strict=False):
        x = _crop_map(stage, whole, x, places[at])
    return run([call for stage in stages[len(wholes) :] for call in stage.calls], x.whole())


def _crop_map(stage: Stage, whole: Tensor, below: PatchedMap, place: SharedArea | None) -> PatchedMap:
    """The crop's own map: what it has in common with the whole's, and the rest computed from its map below."""
    if place is None:
        return PatchedMap(stage.run(below.whole()), [])
    (rows, cols), (height, width) = place, stage.above
    border = [
        MapBox(0, rows.low, 0, width), MapBox(rows.high, height, 0, width),
        MapBox(rows.low, rows.high, 0, cols.low), MapBox(rows.low, rows.high, cols.high, width),
    ]  # fmt: skip
    border = [box for box in border if box.bottom > box.top and box.right > box.left]
    view = whole[:, :, rows.at : rows.at + height, cols.at : cols.at + width]
    return PatchedMap(view, [(box, stage.part(below, box)) for box in border])


def corner_and_center_crops(side: int, size: int) -> list[Crop]:
    """The four corners and the center of a side x side image, crops of size x size (AlexNet 2012, section 4.1)."""
    margin = side - size
    middle = margin // 2
    return [(0, 0), (0, margin), (margin, 0), (margin, margin), (middle, middle)]


def grid_crops(side: int, size: int) -> list[Crop]:
    """A regular grid of 5 x 5 crops of size x size from edge to edge (VGG, section 3.2), rounded down to pixels."""
    starts = [number * (side - size) // 4 for number in range(5)]
    return [(top, left) for top in starts for left in starts]


def span_above(span: SharedSpan, window: Window, axis: int, sides: Sides) -> SharedSpan | None:
    """The span on the map above a convolution or pool; None where the crop's windows lie elsewhere than the whole's.

    A window counts if all it sees is common to both. At an edge that crop and whole share they see the same padding.
    """
    stride, padding, extent = window.stride[axis], window.padding[axis], window.extent()[axis]
    if span.at % stride:
        return None
    at = span.at // stride
    low = 0 if span.at == 0 == span.low else max(0, -(-(span.low + padding) // stride))
    at_the_end = span.high == sides.crop and span.at + sides.crop == sides.whole
    high = sides.crop_above if at_the_end else min(sides.crop_above, (span.high + padding - extent) // stride + 1)
    if low >= high or at + sides.crop_above > sides.whole_above:
        return None
    return SharedSpan(at, low, high)
