"""Outputs of a net for occluded images, computing only what the occluder can change; exact for any weights.

In every tensor the occluder changes one window; where branches meet, the window around theirs. So each step takes the
areas on which the window above depends, from the tensor of the image without occluder with the changed window put in,
and computes the window above. Many positions of the occluder are one batch. At the end of the local part the changed
windows are put into whole maps, and the net runs on.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import isqrt, prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.axes import MAPS, maps_of
from convscope.engine.recomputation.canvas import MapCanvas
from convscope.engine.recomputation.changed_windows import GroupLimits, group_positions, windows_of
from convscope.engine.recomputation.counted_work import OccluderGrid, whole_work
from convscope.engine.recomputation.local_part import LocalPart
from convscope.engine.recomputation.skipped_calls import run_above
from convscope.engine.regions import MapTensor, Regions, whole_map
from convscope.engine.trace import PIXELS


class ChosenMap(NamedTuple):
    """One map of a layer. number: of the layer's output tensor in the trace."""

    layer: str
    number: int
    map: int


class OccludedOutputs(NamedTuple):
    """Outputs for n occluded images: places, int64 [n], numbers in the grid of rows x cols; logits [n, K].

    maps: [n, h, w], the chosen map.
    """

    places: Tensor
    logits: Tensor
    maps: Tensor


class _PartOutputs(NamedTuple):
    """Outputs of the local part for n occluder positions. places: int64 [n]. ends: by tensor number, [n, ...].

    maps: the chosen map, [n, h, w]; None where it is above the part.
    """

    places: Tensor
    ends: dict[int, Tensor]
    maps: Tensor | None


@torch.inference_mode()
def recompute(
    net: nn.Module, part: LocalPart, image: Tensor, grid: OccluderGrid, chosen: ChosenMap, batch: int
) -> Iterator[OccludedOutputs]:
    """Yields the outputs for all occluder positions in batches, in no particular order; the net runs in eval mode.

    part: of the net's trace for images of this size. image: [3, H, W], on the net's device. batch: about how many
    occluder positions go through the part at a time; above it as many as need the memory of `batch` images.
    """
    occluded = _OccludedImage(part, image, grid, chosen, batch)
    at_end = sum(prod(part.tensors[number].shape) for number in part.ends)
    batch_above = batch * max(1, image.numel() // at_end)
    parts: list[_PartOutputs] = []
    for places, windows in occluded.groups():
        parts.append(occluded.run_part(places, windows))
        if sum(len(outputs.places) for outputs in parts) >= batch_above:
            yield _run_above(net, part, parts, chosen)
            parts = []
    if parts:
        yield _run_above(net, part, parts, chosen)


def _run_above(net: nn.Module, part: LocalPart, parts: Sequence[_PartOutputs], chosen: ChosenMap) -> OccludedOutputs:
    """Outputs of the net above its local part for several batches of the part."""
    places = torch.cat([outputs.places for outputs in parts])
    ends = {number: torch.cat([outputs.ends[number] for outputs in parts]) for number in parts[0].ends}
    maps = [outputs.maps for outputs in parts if outputs.maps is not None]
    logits, above = run_above(net, part, ends, None if maps else chosen.layer)
    if above is None:
        return OccludedOutputs(places, logits, torch.cat(maps))
    chosen_tensor = part.tensors[chosen.number]
    return OccludedOutputs(places, logits, maps_of(above, chosen_tensor.axes)[:, chosen.map])


def _limits(image: Tensor, batch: int) -> GroupLimits:
    """Limits of a group along one axis. A CPU is fast with windows that fit its cache, a GPU with few large calls."""
    if image.device.type == "cpu":
        return GroupLimits(max(1, isqrt(batch)), 0.2)
    return GroupLimits(max(1, isqrt(8 * batch)), 8)


class _OccludedImage:
    """An image without occluder: a canvas for each tensor of which windows are gathered, and the position groups."""

    def __init__(self, part: LocalPart, image: Tensor, grid: OccluderGrid, chosen: ChosenMap, batch: int):
        self.part, self.image, self.grid, self.chosen = part, image, grid, chosen
        self.ends = part.ends
        self.last_use = {below.number: at for at, step in enumerate(part.steps) for below in step.inputs}
        self.last_use |= dict.fromkeys(self.ends, len(part.steps))
        work, limits = [whole_work(step) for step in part.steps], _limits(image, batch)
        self.rows, self.cols = (
            group_positions(edges, grid.size, part, work, axis, limits)
            for axis, edges in enumerate((grid.rows, grid.cols))
        )
        self.canvases: dict[int, MapCanvas] = {}
        self._run_uncovered()

    def _run_uncovered(self) -> None:
        """Makes the canvases, from the outputs of all steps for the image without occluder."""
        needed = self._gathered() | set(self.ends)
        values = {PIXELS: self.image[None].clone(memory_format=torch.channels_last)}
        self._add_canvases(PIXELS, values[PIXELS], needed)
        for at, step in enumerate(self.part.steps):
            place = step.place(whole_map(1, step.output.sides))
            areas = [
                below.recut(values[below.number], whole_map(1, below.sides), area, step.fill)
                for below, area in zip(step.inputs, place.areas, strict=True)
            ]
            number = step.output.number
            values[number] = step.run(areas, place)
            self._add_canvases(number, values[number], needed)
            values = {number: value for number, value in values.items() if self.last_use.get(number, -1) > at}

    def _gathered(self) -> set[int]:
        """The tensors of which a step takes other areas than their changed windows."""
        gathered = set[int]()
        for _, windows in self.groups():
            for step in self.part.steps:
                areas = step.place(windows[step.output.number]).areas
                gathered |= {
                    below.number
                    for below, area in zip(step.inputs, areas, strict=True)
                    if not _alike(area, windows[below.number])
                }
        return gathered

    def _add_canvases(self, number: int, value: Tensor, needed: set[int]) -> None:
        if number in needed:
            self.canvases[number] = MapCanvas(self.part.tensors[number], value, self._max_changed(number))
        if number == self.chosen.number:
            chosen_map = maps_of(value, self.part.tensors[number].axes)[:, self.chosen.map, None]
            tensor = MapTensor(number, tuple(chosen_map.shape), MAPS)
            self.chosen_canvas = MapCanvas(tensor, chosen_map, self._max_changed(number))

    def _max_changed(self, number: int) -> int:
        """Positions in the changed windows of a tensor, in the largest group."""
        axes = self.rows, self.cols
        return prod(max(len(group.numbers) * group.windows[number].size for group in axis) for axis in axes)

    def groups(self) -> Iterator[tuple[Tensor, dict[int, Regions]]]:
        """Yields numbers of occluder positions, and their windows in every tensor."""
        for rows, cols in product(self.rows, self.cols):
            places = rows.numbers[:, None] * len(self.grid.cols) + cols.numbers
            yield places.flatten(), windows_of(rows, cols)

    def run_part(self, places: Tensor, windows: Mapping[int, Regions]) -> _PartOutputs:
        """Outputs of the local part for the occluder positions of one group."""
        return _ChangedWindows(self, windows).run(places)


class _ChangedWindows:
    """The changed windows of one group of occluder positions, by tensor number, as long as a step needs them."""

    def __init__(self, occluded: _OccludedImage, windows: Mapping[int, Regions]):
        self.occluded, self.windows = occluded, windows
        self.values: dict[int, Tensor] = {}
        self.on_canvas = set[int]()
        self.owned = set[int]()  # tensors that share no memory with others

    def run(self, places: Tensor) -> _PartOutputs:
        image, grid, part = self.occluded.image, self.occluded.grid, self.occluded.part
        square = image.new_full((len(places), len(image), grid.size, grid.size), grid.value)
        self.values[PIXELS] = square.contiguous(memory_format=torch.channels_last)
        maps = self._chosen_map(PIXELS)
        for at, step in enumerate(part.steps):
            number = step.output.number
            place = step.place(self.windows[number])
            areas = [
                self._area(below.number, area, step.fill) for below, area in zip(step.inputs, place.areas, strict=True)
            ]
            for below in step.inputs:
                if self.occluded.last_use[below.number] == at:
                    self.values.pop(below.number, None)
            free = self._is_free(step.inputs[0].number, place.areas[0])
            self.values[number] = step.compute(areas, place) if free else step.run(areas, place)
            if step.makes_new:
                self.owned.add(number)
            maps = self._chosen_map(number) if maps is None else maps
        return _PartOutputs(places, {number: self._whole(number) for number in self.occluded.ends}, maps)

    def _area(self, number: int, area: Regions, fill: float) -> Tensor:
        """An area of a tensor: the changed windows themselves, or gathered with what is around them."""
        if _alike(area, self.windows[number]):
            return self.values[number]
        return self._canvas(number).windows(area, fill)

    def _canvas(self, number: int) -> MapCanvas:
        canvas = self.occluded.canvases[number]
        if number not in self.on_canvas:
            canvas.put(self.values[number], self.windows[number])
            self.on_canvas.add(number)
        return canvas

    def _whole(self, number: int) -> Tensor:
        return self._canvas(number).whole()

    def _chosen_map(self, number: int) -> Tensor | None:
        """The chosen map of whole copies of its tensor; None for another tensor."""
        if number != self.occluded.chosen.number:
            return None
        axes = self.occluded.part.tensors[number].axes
        changed = maps_of(self.values[number], axes)[:, self.occluded.chosen.map, None]
        self.occluded.chosen_canvas.put(changed, self.windows[number])
        return self.occluded.chosen_canvas.whole()[:, 0]

    def _is_free(self, number: int, area: Regions) -> bool:
        """Whether an area of a tensor may be written over: it was gathered, or no later step needs its memory."""
        return not _alike(area, self.windows[number]) or (number in self.owned and number not in self.values)


def _alike(area: Regions, windows: Regions) -> bool:
    return area.size == windows.size and all(
        bool(torch.equal(span.start, other.start)) for span, other in zip(area, windows, strict=True)
    )
