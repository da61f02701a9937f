"""Outputs of a net for occluded images, computing only what the occluder can change; exact for any weights.

In every map the occluder changes one window. So each step takes the area on which the window above depends, from the
map of the image without occluder with the changed window pasted in, and computes the window above. Many positions of
the occluder are one batch. Above the head the changed windows are pasted into whole maps, and the net runs on.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import isqrt, prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convscope.engine.recomputation.changed_windows import GroupLimits, MapCanvas, WindowArea, group_positions
from convscope.engine.recomputation.head import Head, run_above_head


class OccluderGrid(NamedTuple):
    """Occluders: squares of size x size pixels at all pairs of a top edge (rows) and a left edge (cols).

    value: of their pixels.
    """

    rows: list[int]
    cols: list[int]
    size: int
    value: float


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


class _HeadOutputs(NamedTuple):
    """Outputs of the head for n occluder positions. places: int64 [n]. top: the last map of the head, [n, ...].

    maps: the chosen map, [n, h, w]; None where it is above the head.
    """

    places: Tensor
    top: Tensor
    maps: Tensor | None


@torch.inference_mode()
def recompute(
    net: nn.Module, head: Head, image: Tensor, grid: OccluderGrid, chosen: ChosenMap, batch: int
) -> Iterator[OccludedOutputs]:
    """Yields the outputs for all occluder positions in batches, in no particular order; the net runs in eval mode.

    head: read_head of the net's trace for images of this size. image: [3, H, W], on the net's device. batch: about how
    many occluder positions go through the head at a time; above the head as many as need the memory of `batch` images.
    """
    occluded = _OccludedImage(head, image, grid, chosen, batch)
    top = head.shapes[head.steps[-1].call.outputs[0]]
    batch_above = batch * max(1, image.numel() // prod(top[1:]))
    parts: list[_HeadOutputs] = []
    for places, areas in occluded.groups():
        parts.append(occluded.run_head(places, areas))
        if sum(len(part.places) for part in parts) >= batch_above:
            yield _run_above(net, head, parts, chosen)
            parts = []
    if parts:
        yield _run_above(net, head, parts, chosen)


def _run_above(net: nn.Module, head: Head, parts: Sequence[_HeadOutputs], chosen: ChosenMap) -> OccludedOutputs:
    """Outputs of the net above the head for several batches of the head."""
    places, tops = torch.cat([part.places for part in parts]), torch.cat([part.top for part in parts])
    maps = [part.maps for part in parts if part.maps is not None]
    calls = [step.call for step in head.steps]
    logits, above = run_above_head(net, calls, head.shapes, tops, None if maps else chosen.layer)
    return OccludedOutputs(places, logits, torch.cat(maps) if above is None else above[:, chosen.map])


def _limits(image: Tensor, batch: int) -> GroupLimits:
    """Limits of a group along one axis. A CPU is fast with windows that fit its cache, a GPU with few large calls."""
    if image.device.type == "cpu":
        return GroupLimits(max(1, isqrt(batch)), 0.5)
    return GroupLimits(max(1, isqrt(8 * batch)), 8)


class _OccludedImage:
    """An image without occluder: a canvas for the input map of each step with a window, and the groups of positions."""

    def __init__(self, head: Head, image: Tensor, grid: OccluderGrid, chosen: ChosenMap, batch: int):
        self.steps, self.image, self.grid, self.map = head.steps, image, grid, chosen.map
        self.chosen_level = head.level(chosen.number)
        self.rows, self.cols = (
            group_positions(edges, grid.size, head.steps, axis, _limits(image, batch))
            for axis, edges in enumerate((grid.rows, grid.cols))
        )
        self.canvases: dict[int, MapCanvas] = {}
        x = image[None].clone(memory_format=torch.channels_last)
        for level, step in enumerate((*head.steps, None)):
            if step is None or step.window:
                self.canvases[level] = MapCanvas(x[0], step.fill if step else 0, self._max_changed(level))
            if level == self.chosen_level:
                self.chosen_canvas = MapCanvas(x[0, self.map, None], 0, self._max_changed(level))
            x = step.call.again(x) if step else x

    def _max_changed(self, level: int) -> int:
        """Map positions in the changed windows of the largest group."""
        axes = self.rows, self.cols
        return prod(max(len(group.numbers) * group.windows[level].size for group in axis) for axis in axes)

    def groups(self) -> Iterator[tuple[Tensor, list[WindowArea]]]:
        """Yields numbers of occluder positions, and their windows in the image and above every step."""
        for rows, cols in product(self.rows, self.cols):
            places = rows.numbers[:, None] * len(self.grid.cols) + cols.numbers
            yield places.flatten(), [WindowArea(*axes) for axes in zip(rows.windows, cols.windows, strict=True)]

    def run_head(self, places: Tensor, areas: list[WindowArea]) -> _HeadOutputs:
        """Outputs of the head for the occluder positions of one group."""
        size, maps = self.grid.size, None
        x = self.image.new_full((len(places), len(self.image), size, size), self.grid.value)
        for level, (area, step) in enumerate(zip(areas, (*self.steps, None), strict=True)):
            if level == self.chosen_level:
                maps = self.chosen_canvas.whole(x[:, self.map, None], area)[:, 0]
            if step is None:
                break
            if step.window:
                x = self.canvases[level].windows(x, area, areas[level + 1].below(step))
            x = step.run(x) if step.scale is None else step.run(x) * areas[level + 1].values_of(step.scale).to(x)
        return _HeadOutputs(places, self.canvases[len(self.steps)].whole(x, area), maps)
