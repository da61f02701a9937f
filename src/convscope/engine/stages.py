"""A plain net as stages, each a convolution or pool and what follows it position by position, and the rest after them.

A stage can be run on whole maps, or for a few positions of a map alone.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.calls import ACTIVATIONS, CLAMPS, Call
from convscope.engine.deconvnet import PASSED_THROUGH
from convscope.engine.trace import Trace, chain, trace
from convscope.engine.windows import Pair, Window, window_of

_ALONE = (
    ACTIVATIONS | CLAMPS | PASSED_THROUGH | {"batch_norm", "dropout", "dropout2d", "contiguous"}
)  # each position for itself
_REST = _ALONE | {"linear", "adaptive_avg_pool2d", "flatten", "conv2d", "max_pool2d", "avg_pool2d"}


class MapBox(NamedTuple):
    """Rows top .. bottom - 1 and columns left .. right - 1 of a map."""

    top: int
    bottom: int
    left: int
    right: int


class PatchedMap(NamedTuple):
    """A map: view [N, C, h, w], but in each of `boxes` the values beside it instead. Put together only when asked."""

    view: Tensor
    boxes: list[tuple[MapBox, Tensor]]

    def cut(self, box: MapBox) -> Tensor:
        """The values in the box."""
        values = self.view[:, :, box.top : box.bottom, box.left : box.right]
        common = [(_common(box, other), other, patch) for other, patch in self.boxes]
        common = [found for found in common if found[0].top < found[0].bottom and found[0].left < found[0].right]
        values = values.clone(memory_format=torch.preserve_format) if common else values
        for here, other, patch in common:
            _inside(values, here, box).copy_(_inside(patch, here, other))
        return values

    def whole(self) -> Tensor:
        """All of it."""
        return self.cut(MapBox(0, self.view.shape[2], 0, self.view.shape[3]))


class Stage(NamedTuple):
    """calls: the window's first. below, above: positions of the map it takes and of the one it puts out.

    work: multiplications for one position of the map above, or what takes as long.
    """

    window: Window
    calls: tuple[Call, ...]
    below: Pair
    above: Pair
    work: float

    def run(self, x: Tensor) -> Tensor:
        """The whole map above, a new tensor."""
        return run(self.calls, x)

    def part(self, x: PatchedMap, box: MapBox) -> Tensor:
        """The positions of `box` of the map above, from the map x below."""
        call, *after = self.calls
        seen, given = self._seen(x, box), call.arguments()
        _, stride, _, dilation = self.window
        if call.name == "conv2d":
            groups = given.get("groups", 1)
            values = F.conv2d(seen, given["weight"], given.get("bias"), stride, 0, dilation, groups)
        elif call.name == "max_pool2d":
            values = F.max_pool2d(seen, self.window.kernel, stride, 0, dilation)
        else:
            values = F.avg_pool2d(seen, self.window.kernel, stride)
        return run(after, values)

    def _seen(self, x: PatchedMap, box: MapBox) -> Tensor:
        """What the box's windows see, with what a convolution or a pool takes positions outside the map for."""
        inside, outside = list[int](), []
        for axis, (first, end) in enumerate(((box.top, box.bottom), (box.left, box.right))):
            start = first * self.window.stride[axis] - self.window.padding[axis]
            stop = (end - 1) * self.window.stride[axis] - self.window.padding[axis] + self.window.extent()[axis]
            inside += max(0, start), min(self.below[axis], stop)
            outside.append((max(0, -start), max(0, stop - self.below[axis])))
        seen = x.cut(MapBox(*inside))
        if not any(map(any, outside)):
            return seen
        fill = -torch.inf if self.calls[0].name == "max_pool2d" else 0.0
        return F.pad(seen, (*outside[1], *outside[0]), value=fill)


class PlainNet(NamedTuple):
    """A net without branches. rest: the calls after the last stage, up to the class scores. shapes: of all tensors."""

    stages: list[Stage]
    rest: tuple[Call, ...]
    shapes: dict[int, tuple[int, ...]]


def _common(one: MapBox, other: MapBox) -> MapBox:
    (top, left), (bottom, right) = map(max, one[::2], other[::2]), map(min, one[1::2], other[1::2])
    return MapBox(top, bottom, left, right)


def _inside(values: Tensor, box: MapBox, of: MapBox) -> Tensor:
    """The view of `box` in values that are those of the box `of`."""
    return values[:, :, box.top - of.top : box.bottom - of.top, box.left - of.left : box.right - of.left]


def run(calls: Any, x: Tensor) -> Tensor:
    """x through the calls, one after another."""
    for call in calls:
        x = call.again(x)
    return x


def read_plain_net(net: nn.Module, image_size: int) -> PlainNet | None:
    """The net as stages; None where it branches, or does what is not known to be the same for any number of images."""
    pass_ = trace(net, (3, image_size, image_size))
    last = pass_.calls[-1].outputs[0]
    ends = [path for path, layer in pass_.layers.items() if layer.output == last and layer.runs == 1]
    calls = chain(pass_, ends[-1]) if ends else None
    if calls is None or not all(_known(call, pass_) for call in calls):
        return None
    stages, at = [], 0
    while at < len(calls) and (shape := _movable(calls[at], pass_)) is not None:
        end = at + 1
        while end < len(calls) and calls[end].name in _ALONE:
            end += 1
        stages.append(_stage(calls[at:end], shape, pass_))
        at = end
    return PlainNet(stages, calls[at:], pass_.shapes)


def _known(call: Call, pass_: Trace) -> bool:
    if call.name == "flatten":  # of each image by itself
        return call.args[1:2] == (1,) or call.kwargs.get("start_dim") == 1
    return call.name in _REST and not (call.name == "batch_norm" and call.arguments().get("training", False))


def _movable(call: Call, pass_: Trace) -> Window | None:
    """The call's window if it can be run on a part of its map too; None else."""
    given = call.arguments() if call.name in ("conv2d", "avg_pool2d") else {}
    if call.name == "conv2d" and not all(isinstance(given.get(key), Tensor | None) for key in ("weight", "bias")):
        return None  # filters that are computed in the pass
    if call.name == "avg_pool2d" and (given.get("padding") or given.get("ceil_mode") or given.get("divisor_override")):
        return None  # windows at the edge would be averaged over fewer positions
    return window_of(call, pass_.shapes)


def _stage(calls: tuple[Call, ...], shape: Window, pass_: Trace) -> Stage:
    before, after = (pass_.shapes[number] for number in (calls[0].inputs[0], calls[0].outputs[0]))
    taps = shape.kernel[0] * shape.kernel[1]
    groups = calls[0].arguments().get("groups", 1) if calls[0].name == "conv2d" else 1
    first = taps * before[1] // groups * after[1] if calls[0].name == "conv2d" else _SLOW * taps * after[1]
    work = first + _SLOW * after[1] * sum(_cost(call) for call in calls[1:])
    return Stage(shape, calls, (before[2], before[3]), (after[2], after[3]), work)


_SLOW = 8  # multiplications of a convolution in the time in which any other call makes one value from one


def _cost(call: Call) -> int:
    return {"local_response_norm": 10, "dropout": 0}.get(call.name, 1)
