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

from convscope.engine.recomputation.canvas import MapCanvas, WindowArea
from convscope.engine.recomputation.head import Head, run_above_head
from convscope.engine.recomputation.occluder_groups import GroupLimits, group_positions


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


@torch.inference_mode()
def recompute(
    net: nn.Module, head: Head, image: Tensor, covering: OccluderGrid, chosen: ChosenMap, batch: int
) -> Iterator[OccludedOutputs]:
    """Yields the outputs for all occluder positions in batches, in no particular order; the net runs in eval mode.

    head: read_head of the net's trace for images of this size. image: [3, H, W], on the net's device. batch: about how
    many occluder positions go through the head at a time; above the head as many as need the memory of `batch` images.
    """
    scene = _OccludedImage(head, image, covering, chosen, batch)
    top = head.shapes[head.steps[-1].call.outputs[0]]
    above_batch = batch * max(1, image.numel() // prod(top[1:]))
    waiting: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for group in scene.groups():
        waiting.append(scene.go_through(*group))
        if sum(len(places) for places, _, _ in waiting) >= above_batch:
            yield _above(net, head, waiting, chosen)
            waiting = []
    if waiting:
        yield _above(net, head, waiting, chosen)


def _above(
    net: nn.Module, head: Head, parts: Sequence[tuple[Tensor, Tensor, Tensor | None]], chosen: ChosenMap
) -> OccludedOutputs:
    """Outputs of the net above the head. parts: places, outputs of the head and chosen maps, if they are in it."""
    places, tops, maps = zip(*parts, strict=True)
    calls = [step.call for step in head.steps]
    layer = chosen.layer if maps[0] is None else None
    logits, above = run_above_head(net, calls, head.shapes, torch.cat(tops), layer)
    return OccludedOutputs(torch.cat(places), logits, torch.cat(maps) if above is None else above[:, chosen.map])


def _limits(image: Tensor, batch: int) -> GroupLimits:
    """Limits of a group along one axis. A CPU is fast with windows that fit its cache, a GPU with few large calls."""
    return (
        GroupLimits(max(1, isqrt(batch)), 0.5)
        if image.device.type == "cpu"
        else GroupLimits(max(1, isqrt(8 * batch)), 8)
    )


class _OccludedImage:
    """An image without occluder: a canvas for the input map of each step with a window, and the groups of positions."""

    def __init__(self, head: Head, image: Tensor, covering: OccluderGrid, chosen: ChosenMap, batch: int):
        self.steps, self.image, self.covering, self.map = head.steps, image, covering, chosen.map
        self.level = head.level(chosen.number)
        self.rows, self.cols = (
            group_positions(edges, covering.size, head.steps, axis, _limits(image, batch))
            for axis, edges in enumerate((covering.rows, covering.cols))
        )
        self.canvases: dict[int, MapCanvas] = {}
        x = image[None].clone(memory_format=torch.channels_last)
        for level, step in enumerate((*head.steps, None)):
            if step is None or step.window:
                self.canvases[level] = MapCanvas(x[0], step.fill if step else 0, self._max_changed(level))
            if level == self.level:
                self.chosen = MapCanvas(x[0, self.map, None], 0, self._max_changed(level))
            x = step.call.again(x) if step else x

    def _max_changed(self, level: int) -> int:
        """Map positions in the changed windows of the largest group."""
        axes = self.rows, self.cols
        return prod(max(len(group.numbers) * group.windows[level].size for group in axis) for axis in axes)

    def groups(self) -> Iterator[tuple[Tensor, list[WindowArea]]]:
        """Yields numbers of occluder positions, and their windows in the image and above every step."""
        for rows, cols in product(self.rows, self.cols):
            places = rows.numbers[:, None] * len(self.covering.cols) + cols.numbers
            yield places.flatten(), [WindowArea(*axes) for axes in zip(rows.windows, cols.windows, strict=True)]

    def go_through(self, places: Tensor, areas: list[WindowArea]) -> tuple[Tensor, Tensor, Tensor | None]:
        """The places, the output of the head for each, and the chosen maps [n, h, w] if they are in the head."""
        size, maps = self.covering.size, None
        x = self.image.new_full((len(places), len(self.image), size, size), self.covering.value)
        for level, (area, step) in enumerate(zip(areas, (*self.steps, None), strict=True)):
            if level == self.level:
                maps = self.chosen.whole(x[:, self.map, None], area)[:, 0]
            if step is None:
                break
            if step.window:
                x = self.canvases[level].windows(x, area, areas[level + 1].below(step))
            x = step.run(x) if step.scale is None else step.run(x) * areas[level + 1].values_of(step.scale).to(x)
        return places, self.canvases[len(self.steps)].whole(x, area), maps
