"""What crops of one image have in common: which positions of a crop's map are positions of the whole image's map."""

from typing import NamedTuple

from convscope.engine.windows import Pair, Window

Crop = Pair  # top, left: pixels of the whole image


class Span(NamedTuple):
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


def five(side: int, size: int) -> list[Crop]:
    """The four corners and the center of a side x side image, crops of size x size (AlexNet 2012, section 4.1)."""
    margin = side - size
    middle = margin // 2
    return [(0, 0), (0, margin), (margin, 0), (margin, margin), (middle, middle)]


def twenty_five(side: int, size: int) -> list[Crop]:
    """A regular grid of 5 x 5 crops of size x size from edge to edge (VGG, section 3.2), rounded down to pixels."""
    starts = [number * (side - size) // 4 for number in range(5)]
    return [(top, left) for top in starts for left in starts]


def above(span: Span, window: Window, axis: int, sides: Sides) -> Span | None:
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
    return Span(at, low, high)
