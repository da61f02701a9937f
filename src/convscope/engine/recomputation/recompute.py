"""Covered images through a net, computing only what the square can change; exact, whatever the weights.

In every map the square changes one window. So each step takes what it sees of the uncovered image's map, with the
window of the step below in it, and computes the window above. Many places of the square go together as a batch.
Where all positions come together, the windows go into copies of the uncovered map and the net runs on from there.
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
    """Squares of size x size pixels at every pair of top edge (rows) and left edge (cols), filled with value."""

    rows: list[int]
    cols: list[int]
    size: int
    value: float


class ChosenMap(NamedTuple):
    """One map of a layer: the layer's path, the number of the tensor that it puts out in the traced pass, the map."""

    layer: str
    number: int
    map: int


class OccludedOutputs(NamedTuple):
    """places: numbers in the grid of rows x cols, int64 [n]; logits [n, K]; maps [n, h, w]: one map of the layer."""

    places: Tensor
    logits: Tensor
    maps: Tensor


@torch.inference_mode()
def recompute(
    net: nn.Module, head: Head, image: Tensor, covering: OccluderGrid, chosen: ChosenMap, batch: int
) -> Iterator[OccludedOutputs]:
    """The outcomes for every place, many places at a time, in no particular order; in eval mode.

    head: read_head of the net for images of this size. image [3, H, W], on the net's device. batch: about how many
    places go together through the head; above it as many more as need no more memory than `batch` images.
    """
    scene = _OccludedImage(head, image, covering, chosen, batch)
    top = head.shapes[head.steps[-1].call.outputs[0]]
    many = batch * max(1, image.numel() // prod(top[1:]))
    waiting: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for group in scene.groups():
        waiting.append(scene.go_through(*group))
        if sum(len(places) for places, _, _ in waiting) >= many:
            yield _above(net, head, waiting, chosen)
            waiting = []
    if waiting:
        yield _above(net, head, waiting, chosen)


def _above(
    net: nn.Module, head: Head, parts: Sequence[tuple[Tensor, Tensor, Tensor | None]], chosen: ChosenMap
) -> OccludedOutputs:
    """Lets the net run on from where its positions come together."""
    places, tops, maps = zip(*parts, strict=True)
    calls = [step.call for step in head.steps]
    known = maps[0] is not None
    logits, above = run_above_head(net, calls, head.shapes, torch.cat(tops), None if known else chosen.layer)
    return OccludedOutputs(torch.cat(places), logits, torch.cat(maps) if above is None else above[:, chosen.map])


def _limits(image: Tensor, batch: int) -> GroupLimits:
    """For a group along one axis. A processor wants windows that stay in its cache, a GPU few and large calls."""
    return (
        GroupLimits(max(1, isqrt(batch)), 0.5)
        if image.device.type == "cpu"
        else GroupLimits(max(1, isqrt(8 * batch)), 8)
    )


class _OccludedImage:
    """One uncovered image: a canvas of the map that each windowed step takes, and where in it the windows lie."""

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
                self.canvases[level] = MapCanvas(x[0], step.fill if step else 0, self._room(level))
            if level == self.level:
                self.chosen = MapCanvas(x[0, self.map, None], 0, self._room(level))
            x = step.call.again(x) if step else x

    def _room(self, level: int) -> int:
        """Positions in the windows of the largest group."""
        axes = self.rows, self.cols
        return prod(max(len(group.numbers) * group.runs[level].size for group in axis) for axis in axes)

    def groups(self) -> Iterator[tuple[Tensor, list[WindowArea]]]:
        """Numbers of the places, and their windows below and above every step."""
        for rows, cols in product(self.rows, self.cols):
            places = rows.numbers[:, None] * len(self.covering.cols) + cols.numbers
            yield places.flatten(), [WindowArea(*runs) for runs in zip(rows.runs, cols.runs, strict=True)]

    def go_through(self, places: Tensor, areas: list[WindowArea]) -> tuple[Tensor, Tensor, Tensor | None]:
        """The places, the head's output for each of them, and the chosen map [n, h, w] if it lies in the head."""
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
