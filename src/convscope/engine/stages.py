"""A net without branches as stages: each a convolution or pool with the calls that follow it position by position.

A stage runs on whole maps, or only for a box of positions.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.calls import Call, Pair, Window, window_of
from convscope.engine.operations import (
    ACTIVATION,
    BATCH_NORM,
    CLAMP,
    CONTRAST_NORM,
    CONVOLUTION,
    GLOBAL_POOL,
    INERT,
    MATRIX,
    MAX_POOL,
    MEAN_POOL,
)
from convscope.engine.trace import ImageSize, Trace, chain, trace

_POSITIONWISE = {ACTIVATION, CLAMP, CONTRAST_NORM, BATCH_NORM, INERT}
_REST = _POSITIONWISE | {MATRIX, GLOBAL_POOL, CONVOLUTION, MAX_POOL, MEAN_POOL}


class MapBox(NamedTuple):
    """Rows top .. bottom - 1 and columns left .. right - 1 of a map."""

    top: int
    bottom: int
    left: int
    right: int


class PatchedMap(NamedTuple):
    """Maps with patches: view [N, C, h, w], with other values in each of `boxes`. The parts are joined when needed."""

    view: Tensor
    boxes: list[tuple[MapBox, Tensor]]

    def cut(self, box: MapBox) -> Tensor:
        """Values in the box."""
        values = self.view[:, :, box.top : box.bottom, box.left : box.right]
        overlaps = [(_overlap(box, patch_box), patch_box, patch) for patch_box, patch in self.boxes]
        overlaps = [entry for entry in overlaps if entry[0].top < entry[0].bottom and entry[0].left < entry[0].right]
        values = values.clone(memory_format=torch.preserve_format) if overlaps else values
        for area, patch_box, patch in overlaps:
            _inside(values, area, box).copy_(_inside(patch, area, patch_box))
        return values

    def whole(self) -> Tensor:
        """Values of the whole maps."""
        return self.cut(MapBox(0, self.view.shape[2], 0, self.view.shape[3]))


class Stage(NamedTuple):
    """A convolution or pool and the calls after it. below, above: rows and columns of its input and its output.

    work: multiplications for one position of the map above; other calls count as multiplications of the same time.
    """

    window: Window
    calls: tuple[Call, ...]
    below: Pair
    above: Pair
    work: float

    def run(self, x: Tensor) -> Tensor:
        """The whole map above, as a new tensor."""
        return run(self.calls, x)

    def part(self, x: PatchedMap, box: MapBox) -> Tensor:
        """The map above in `box` alone, from the map x below."""
        call, *after = self.calls
        area, arguments = self._area_below(x, box), call.arguments()
        _, stride, _, dilation = self.window
        if call.name == "conv2d":
            groups = arguments.get("groups", 1)
            values = F.conv2d(area, arguments["weight"], arguments.get("bias"), stride, 0, dilation, groups)
        elif call.name == "max_pool2d":
            values = F.max_pool2d(area, self.window.kernel, stride, 0, dilation)
        else:
            values = F.avg_pool2d(area, self.window.kernel, stride)
        return run(after, values)

    def _area_below(self, x: PatchedMap, box: MapBox) -> Tensor:
        """The area of the map below in the windows of the box, with the padding's value outside the map."""
        inside, outside = list[int](), []
        for axis, (first, end) in enumerate(((box.top, box.bottom), (box.left, box.right))):
            start = first * self.window.stride[axis] - self.window.padding[axis]
            stop = (end - 1) * self.window.stride[axis] - self.window.padding[axis] + self.window.extent()[axis]
            inside += max(0, start), min(self.below[axis], stop)
            outside.append((max(0, -start), max(0, stop - self.below[axis])))
        area = x.cut(MapBox(*inside))
        if not any(map(any, outside)):
            return area
        fill = -torch.inf if self.calls[0].name == "max_pool2d" else 0.0
        return F.pad(area, (*outside[1], *outside[0]), value=fill)


class PlainNet(NamedTuple):
    """A net without branches. rest: the calls from the last stage to the class scores. shapes: by tensor number."""

    stages: list[Stage]
    rest: tuple[Call, ...]
    shapes: dict[int, tuple[int, ...]]


def _overlap(first: MapBox, second: MapBox) -> MapBox:
    (top, left), (bottom, right) = map(max, first[::2], second[::2]), map(min, first[1::2], second[1::2])
    return MapBox(top, bottom, left, right)


def _inside(values: Tensor, box: MapBox, frame: MapBox) -> Tensor:
    """View of `box` in the values of the box `frame`."""
    rows = slice(box.top - frame.top, box.bottom - frame.top)
    return values[:, :, rows, box.left - frame.left : box.right - frame.left]


def run(calls: Any, x: Tensor) -> Tensor:
    """Output of the calls one after another, for the input x."""
    for call in calls:
        x = call.again(x)
    return x


def read_plain_net(net: nn.Module, image_size: ImageSize) -> PlainNet | None:
    """The net as stages; None where it branches, or has a call that may depend on the number of images."""
    net_trace = trace(net, image_size)
    last = net_trace.calls[-1].outputs[0]
    ends = [path for path, layer in net_trace.layers.items() if layer.output == last and layer.runs == 1]
    calls = chain(net_trace, ends[-1]) if ends else None
    if calls is None or not all(map(_is_supported, calls)):
        return None
    stages, start = [], 0
    while start < len(calls) and (window := _partial_window(calls[start], net_trace)) is not None:
        end = start + 1
        while end < len(calls) and calls[end].kind in _POSITIONWISE:
            end += 1
        stages.append(_stage(calls[start:end], window, net_trace))
        start = end
    return PlainNet(stages, calls[start:], net_trace.shapes)


def _is_supported(call: Call) -> bool:
    if call.name == "flatten":  # all dimensions but the first
        return call.args[1:2] == (1,) or call.kwargs.get("start_dim") == 1
    return call.kind in _REST and not (call.kind == BATCH_NORM and call.arguments().get("training", False))


def _partial_window(call: Call, net_trace: Trace) -> Window | None:
    """The window of a call that can run on a part of its map too; None for other calls."""
    arguments = call.arguments() if call.name in ("conv2d", "avg_pool2d") else {}
    if call.name == "conv2d" and not all(isinstance(arguments.get(key), Tensor | None) for key in ("weight", "bias")):
        return None  # filters that are computed in the pass
    border = ("padding", "ceil_mode", "divisor_override")
    if call.name == "avg_pool2d" and any(arguments.get(key) for key in border):
        return None  # windows at the border average over fewer positions
    return window_of(call, net_trace.shapes)


def _stage(calls: tuple[Call, ...], window: Window, net_trace: Trace) -> Stage:
    before, after = (net_trace.shapes[number] for number in (calls[0].inputs[0], calls[0].outputs[0]))
    taps = window.kernel[0] * window.kernel[1]
    groups = calls[0].arguments().get("groups", 1) if calls[0].name == "conv2d" else 1
    first = taps * before[1] // groups * after[1] if calls[0].name == "conv2d" else _SLOW * taps * after[1]
    work = first + _SLOW * after[1] * sum(_cost(call) for call in calls[1:])
    return Stage(window, calls, (before[2], before[3]), (after[2], after[3]), work)


_SLOW = 8  # multiplications of a convolution in the time that another call takes for one value


def _cost(call: Call) -> int:
    return {"local_response_norm": 10, "dropout": 0}.get(call.name, 1)
