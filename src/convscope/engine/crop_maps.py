"""Maps of a crop of an image: parts of the whole image's maps, and patches that are computed for the crop alone."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.engine.axes import MAPS
from convscope.engine.calls import Pair
from convscope.engine.regions import MapTensor, Regions, Span
from convscope.engine.steps import Place, Step


class MapBox(NamedTuple):
    """Rows top .. bottom - 1 and columns left .. right - 1 of a map; may extend over the map."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> Pair:
        return self.bottom - self.top, self.right - self.left

    def overlap(self, other: "MapBox") -> "MapBox":
        """What two boxes have in common; of size 0 or less where that is nothing."""
        (top, left), (bottom, right) = map(max, self[::2], other[::2]), map(min, self[1::2], other[1::2])
        return MapBox(top, bottom, left, right)


class CropMap(NamedTuple):
    """A crop's map of a tensor: the part of `source` from `start` on, with other values in the boxes of the patches.

    source: the whole image's map; the crop's own where start is None.
    """

    tensor: MapTensor
    source: Tensor
    start: Pair | None = None
    patches: Sequence[tuple[MapBox, Tensor]] = ()

    @property
    def box(self) -> MapBox:
        """The whole of the crop's map."""
        height, width = self.tensor.sides
        return MapBox(0, height, 0, width)

    def cut(self, box: MapBox, fill: float = 0) -> Tensor:
        """Values in the box, with `fill` outside the map; may be a view."""
        for patch_box, patch in self.patches:
            if patch_box == box:
                return patch
        inside = self.box.overlap(box)
        if min(inside.size) <= 0:  # in the padding alone
            return self.source.new_full(self.tensor.region_shape(len(self.source), box.size), fill)
        values = self._joined(inside)
        padding = [inside.left - box.left, box.right - inside.right, inside.top - box.top, box.bottom - inside.bottom]
        if not any(padding):
            return values
        axes = self.tensor.axes or MAPS
        return F.pad(values.movedim(axes, (-2, -1)), padding, value=fill).movedim((-2, -1), axes)

    def _joined(self, box: MapBox) -> Tensor:
        """Values in a box inside the map."""
        top, left = self.start or (0, 0)
        values = self._inside(self.source, box, MapBox(-top, 0, -left, 0))
        overlaps = [(box.overlap(patch_box), patch_box, patch) for patch_box, patch in self.patches]
        overlaps = [entry for entry in overlaps if min(entry[0].size) > 0]
        values = values.clone(memory_format=torch.preserve_format) if overlaps else values
        for area, patch_box, patch in overlaps:
            self._inside(values, area, box).copy_(self._inside(patch, area, patch_box))
        return values

    def _inside(self, values: Tensor, box: MapBox, frame: MapBox) -> Tensor:
        """View of `box` in values whose first row and column are those of `frame`."""
        rows, cols = self.tensor.axes or MAPS
        height, width = box.size
        return values.narrow(rows, box.top - frame.top, height).narrow(cols, box.left - frame.left, width)

    def own(self) -> Tensor:
        """Values of the whole map of the crop, in memory that no other crop uses."""
        if self.start is None:
            return self.source
        values = self._joined(self.box)
        return values if self.patches else values.clone(memory_format=torch.preserve_format)


class BorderPart(NamedTuple):
    """A part of a crop's map that differs from the whole image's map, and the boxes below on which it depends."""

    box: MapBox
    place: Place
    below: tuple[MapBox, ...]

    def run(self, step: Step, inputs: Sequence[CropMap]) -> tuple[MapBox, Tensor]:
        """The box with its values."""
        areas = [below.cut(box, step.fill) for below, box in zip(inputs, self.below, strict=True)]
        return self.box, step.run(areas, self.place)


def border_parts(step: Step, shared: MapBox) -> list[BorderPart]:
    """The parts around the shared box of a crop's map."""
    height, width = step.output.sides
    boxes = [
        MapBox(0, shared.top, 0, width), MapBox(shared.bottom, height, 0, width),
        MapBox(shared.top, shared.bottom, 0, shared.left), MapBox(shared.top, shared.bottom, shared.right, width),
    ]  # fmt: skip
    places = [(box, step.place(_regions(box))) for box in boxes if min(box.size) > 0]
    return [BorderPart(box, place, tuple(_box(area) for area in place.areas)) for box, place in places]


def _regions(box: MapBox) -> Regions:
    """The box as a region that all images of a batch share."""
    rows, cols = (Span(torch.tensor([first]), size) for first, size in zip(box[::2], box.size, strict=True))
    return Regions(rows, cols)


def _box(area: Regions) -> MapBox:
    (top, height), (left, width) = ((int(span.start[0]), span.size) for span in area)
    return MapBox(top, top + height, left, left + width)
