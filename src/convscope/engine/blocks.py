"""Default layers of any net: the outputs of its stages and blocks.

A timm net names its stages (`feature_info`). In any other net, blocks are modules with an output on every path from the
pixels to the classes, so that branches, shortcuts and gates are left out. For each size of the maps the last block is
taken that ends in a convolution (with its normalization and activation), an addition or a concatenation (with its
activation), but no pool, and no start of a larger block that leads to smaller maps.
"""

from collections.abc import Mapping
from math import log2
from typing import Any, NamedTuple

from torch import nn

from convscope.engine.axes import Axes, axes_of, maps_shape
from convscope.engine.calls import Call, window_of
from convscope.engine.operations import (
    ACTIVATION,
    CLAMP,
    CONVOLUTION,
    GATE,
    INERT,
    JOIN,
    MATRIX,
    MOVE,
    NORMS,
    POOLS,
    SHAPE,
)
from convscope.engine.trace import PIXELS, ImageSize, Trace, trace
from convscope.models.build import ConvNet
from convscope.models.rows import ConvRow

MAX_LAYERS = 5  # where the user names none

_AFTER = {ACTIVATION, CLAMP, GATE, INERT, MOVE, SHAPE} | NORMS  # may end a block
_WEIGHTS = {CONVOLUTION, MATRIX}


class Block(NamedTuple):
    """A module with an output on every path. call: index of the call that returned the output.

    level: how often the side of the image was halved, about. made_by: "weights", "merge" or "other", the kind of call
    that computed the maps.
    """

    path: str
    call: int
    level: int
    made_by: str


def default_layers(net: nn.Module, image_size: ImageSize) -> list[str]:
    """Paths of the convolutions of a net of rows; for another net of at most five stages and blocks, in its order.

    For a net of up to five convolutions without branches these are all its convolutions, rectified. For a net without
    any block (a transformer, whose tokens are no maps) they are its convolutions.
    """
    if isinstance(net, ConvNet):
        return [name for name, row in net.rows.items() if isinstance(row, ConvRow)]
    net_trace = trace(net, image_size)
    return _timm_stages(net, net_trace) or _of_levels(net, net_trace) or _spread(wide_convolutions(net, net_trace))


def blocks(net: nn.Module, net_trace: Trace) -> list[Block]:
    """Every block of a net without rows, up to its classifier, in order; of blocks with one output the outermost."""
    makers = {number: place for place, call in enumerate(net_trace.calls) for number in call.outputs}
    axes, meeting = axes_of(net_trace), _meeting_points(net_trace)
    end = _classifier(net, net_trace)
    names: dict[int, list[str]] = {}
    for path, layer in net_trace.layers.items():
        inside = layer.output in meeting and layer.output in axes and makers[layer.output] < end
        if layer.runs == 1 and inside and _side(net_trace, layer.output, axes) > 1:
            names.setdefault(layer.output, []).append(path)
    levels = {path: _level(net_trace, number, axes) for number, paths in names.items() for path in paths}
    return [
        Block(_outermost(names[number], levels, net_trace), makers[number], _level(net_trace, number, axes),
              _made_by(net_trace, number, makers))
        for number in sorted(names, key=lambda number: makers[number])
    ]  # fmt: skip


def _outermost(names: list[str], levels: Mapping[str, int], net_trace: Trace) -> str:
    """The outermost of modules with the same output that is no container of several levels, such as `features`."""
    order = sorted(names, key=lambda name: name.count("."))
    inner = {name: len({levels[path] for path in levels if path.startswith(f"{name}.")}) for name in names}
    limit = {name: 1 if net_trace.layers[name].input == PIXELS else 2 for name in names}  # a block may halve the maps
    return next((name for name in order if inner[name] <= limit[name]), order[-1])


def wide_convolutions(net: nn.Module, net_trace: Trace) -> list[str]:
    """Convolutions that run once and output more than one position; if there are none, all that run once."""
    shapes = {path: net_trace.shapes[layer.output] for path, layer in net_trace.layers.items() if layer.runs == 1}
    convolutions = [path for path in shapes if isinstance(net.get_submodule(path), nn.Conv2d)]
    return [path for path in convolutions if shapes[path][2:] != (1, 1)] or convolutions  # without gates


def _timm_stages(net: nn.Module, net_trace: Trace) -> list[str]:
    """The stages in a timm net's feature_info that output maps, the last one of each level."""
    info: Any = getattr(net, "feature_info", None)
    rows = getattr(info, "info", info) if info is not None else []
    names = [str(row.get("module")) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    levels_of, axes = _levels(net_trace), axes_of(net_trace)
    pooled = {call.outputs[0] for call in net_trace.calls if call.kind in POOLS}
    layers = {name: net_trace.layers[name] for name in names if name in net_trace.layers}
    outputs = {name: layer.output for name, layer in layers.items() if layer.runs == 1}
    levels = {
        levels_of[number]: name
        for name, number in outputs.items()
        if number in levels_of and number not in pooled and _side(net_trace, number, axes) > 1
    }
    return list(levels.values())[-MAX_LAYERS:]


def _of_levels(net: nn.Module, net_trace: Trace) -> list[str]:
    """The last block of each level; on the last level also the last merge, where a block of weights follows it."""
    levels_of = _levels(net_trace)
    candidates = [block for block in blocks(net, net_trace) if block.made_by != "other"]
    ends = [block for block in candidates if not _prepares(block, net_trace, levels_of)]
    single = _each_convolution(ends, net_trace)
    if single or not ends:
        return single
    levels = {block.level: block.path for block in ends}
    merges = [block.path for block in ends if block.made_by == "merge" and block.level == ends[-1].level]
    if merges and len(levels) < MAX_LAYERS:
        levels[ends[-1].level] = merges[-1]
    return list(dict.fromkeys([*levels.values(), ends[-1].path]))[-MAX_LAYERS:]


def _each_convolution(ends: list[Block], net_trace: Trace) -> list[str]:
    """The last block after each convolution of a net of at most five, without branches; else an empty list."""
    weighted = [place for place, call in enumerate(net_trace.calls) if call.kind == CONVOLUTION]
    last = max((block.call for block in ends), default=-1)
    below = [place for place in weighted if place <= last]
    if len(below) > MAX_LAYERS or any(block.made_by == "merge" for block in ends):
        return []
    number = {place: sum(start <= place for start in below) for place in range(last + 1)}
    return list({number[block.call]: block.path for block in ends}.values())


def _spread(paths: list[str]) -> list[str]:
    """At most MAX_LAYERS of the paths, evenly spread, the first and the last among them."""
    if len(paths) <= MAX_LAYERS:
        return paths
    return [paths[round(place * (len(paths) - 1) / (MAX_LAYERS - 1))] for place in range(MAX_LAYERS)]


def _meeting_points(net_trace: Trace) -> set[int]:
    """Numbers of the tensors that are on every path from the pixels to the net's last output."""
    calls = _used_calls(net_trace)
    last_use = {number: place for place in calls for number in net_trace.calls[place].inputs}
    points, open_until = set[int](), last_use.get(PIXELS, -1)  # last call that takes an earlier tensor
    for place in calls:
        outputs = [number for number in net_trace.calls[place].outputs if number in last_use]
        if len(outputs) <= 1 and open_until <= place:
            points.update(outputs or net_trace.calls[place].outputs[:1])
        open_until = max([open_until, *(last_use[number] for number in outputs)])
    return points


def _used_calls(net_trace: Trace) -> list[int]:
    """Indices of the calls that depend on the image and on which the last such call depends."""
    reached, above = {PIXELS}, []
    for place, call in enumerate(net_trace.calls):
        if reached.intersection(call.inputs):
            reached.update(call.outputs)
            above.append(place)
    needed, calls = set(net_trace.calls[above[-1]].outputs if above else ()), list[int]()
    for place in reversed(above):
        if needed.intersection(net_trace.calls[place].outputs):
            needed.update(reached.intersection(net_trace.calls[place].inputs))
            calls.append(place)
    return calls[::-1]


def _classifier(net: nn.Module, net_trace: Trace) -> int:
    """Index of the last call with weights, the classifier; the number of calls in a net that outputs maps."""
    count = len(net_trace.calls)
    if not count or len(net_trace.shapes[net_trace.calls[-1].outputs[0]]) > 2:
        return count
    return max((place for place, call in enumerate(net_trace.calls) if call.kind in _WEIGHTS), default=count)


def _side(net_trace: Trace, number: int, axes: Mapping[int, Axes]) -> int:
    return max(maps_shape(net_trace.shapes[number], axes[number])[2:])


def _levels(net_trace: Trace) -> dict[int, int]:
    """The level of every tensor that holds maps of the image, by tensor number."""
    axes = axes_of(net_trace)
    return {number: _level(net_trace, number, axes) for number in axes if _side(net_trace, number, axes)}


def _level(net_trace: Trace, number: int, axes: Mapping[int, Axes]) -> int:
    return round(log2(max(net_trace.shapes[PIXELS][2:]) / _side(net_trace, number, axes)))


def _made_by(net_trace: Trace, number: int, makers: Mapping[int, int]) -> str:
    """The kind of call that computed the maps, below activations and normalization.

    A merge with normalization above it counts as "other", because it is the start of a block.
    """
    normalized = False
    while number in makers:
        call = net_trace.calls[makers[number]]
        if call.kind in _WEIGHTS:
            return "weights"
        if len(call.inputs) > 1 or call.kind == JOIN:
            return "other" if normalized else "merge"
        if call.kind not in _AFTER or not call.inputs:
            return "other"
        normalized = normalized or call.kind in NORMS
        number = call.inputs[0]
    return "other"


def _prepares(block: Block, net_trace: Trace, levels: Mapping[int, int]) -> bool:
    """Whether the block only starts a larger block with smaller maps, with no filter of several positions before."""
    parts = block.path.split(".")
    for count in range(1, len(parts)):
        path = ".".join(parts[:count])
        layer = net_trace.layers.get(path)
        if layer is None or layer.runs > 1 or layer.input is None or layer.input == PIXELS:
            continue
        below, above = levels.get(layer.input, -1), levels.get(layer.output, -1)
        if below == block.level < above and not _has_spatial_filter(path, block, net_trace):
            return True
    return False


def _has_spatial_filter(path: str, block: Block, net_trace: Trace) -> bool:
    """Whether the module has a filter of more than one position below the block's output."""
    inside = [call for call, owner in zip(net_trace.calls[: block.call + 1], net_trace.owners, strict=False)
              if f"{owner}.".startswith(f"{path}.")]  # fmt: skip
    return any(call.kind == CONVOLUTION and _extent(call, net_trace) > 1 for call in inside)


def _extent(call: Call, net_trace: Trace) -> int:
    shape = window_of(call, net_trace.shapes)
    return max(shape.extent()) if shape else 1
