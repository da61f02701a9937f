"""The layers of any net that its engineers would name: what its stages and blocks put out.

A timm net names its stages itself (`feature_info`). Of any other net those tensors count through which everything
passes on its way from the pixels to the classes, so no branch, shortcut or gate among them. Of each size of the maps
the last one is taken that a block puts out: a convolution (with its normalization and activation), an addition or a
concatenation (with its activation), not a pool and not what only prepares the next size.
"""

from collections.abc import Mapping
from math import log2
from typing import Any, NamedTuple

from torch import nn

from convscope.engine.axes import MOVES, SHAPES, Axes, axes_of, maps_shape
from convscope.engine.calls import ACTIVATIONS, CLAMPS, Call
from convscope.engine.trace import PIXELS, Trace, trace
from convscope.engine.windows import window_of
from convscope.models.build import ConvNet
from convscope.models.rows import ConvRow

MOST = 5  # layers shown where none are named

_NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "local_response_norm", "rms_norm"}
_NAMES = """
    rrelu tanh tanh_ sigmoid sigmoid_ dropout dropout2d feature_dropout alpha_dropout contiguous clone detach to float
    type_as
"""
_AFTER = ACTIVATIONS | CLAMPS | set(_NAMES.split()) | MOVES | SHAPES  # what may follow in a block otherwise done
_WEIGHTS = {"conv2d", "linear"}
_POOLS = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"}


class Block(NamedTuple):
    """A module through whose output everything passes. call: the number of the call that made the output.

    level: how often the image's side was halved, about. made_by: what made the maps: weights, merge, or something else.
    """

    path: str
    call: int
    level: int
    made_by: str


def default_layers(net: nn.Module, image_size: int) -> list[str]:
    """The convolution rows of a row net; of another net at most five outputs of stages and blocks, in its order.

    A net of few convolutions one after another shows all of them, as they are when rectified; one without any block
    (a transformer, whose tokens are no maps) the convolutions that it has.
    """
    if isinstance(net, ConvNet):
        return [name for name, row in net.rows.items() if isinstance(row, ConvRow)]
    pass_ = trace(net, (3, image_size, image_size))
    return _named(net, pass_) or _of_levels(net, pass_) or _spread(wide_convolutions(net, pass_))


def blocks(net: nn.Module, pass_: Trace) -> list[Block]:
    """Every block of a net that is no row net, up to its classifier, in order; of equal outputs the outermost."""
    makers = {number: place for place, call in enumerate(pass_.calls) for number in call.outputs}
    axes, meeting = axes_of(pass_), _meeting_points(pass_)
    end = _classifier(net, pass_)
    names: dict[int, list[str]] = {}
    for path, layer in pass_.layers.items():
        inside = layer.output in meeting and layer.output in axes and makers[layer.output] < end
        if layer.runs == 1 and inside and _side(pass_, layer.output, axes) > 1:
            names.setdefault(layer.output, []).append(path)
    levels = {path: _level(pass_, number, axes) for number, paths in names.items() for path in paths}
    return [
        Block(_outermost(names[number], levels, pass_), makers[number], _level(pass_, number, axes),
              _made_by(pass_, number, makers))
        for number in sorted(names, key=lambda number: makers[number])
    ]  # fmt: skip


def _outermost(names: list[str], levels: Mapping[str, int], pass_: Trace) -> str:
    """Of modules with the same output the outermost that is no wrapper of several levels, such as `features`."""
    order = sorted(names, key=lambda name: name.count("."))
    inner = {name: len({levels[path] for path in levels if path.startswith(f"{name}.")}) for name in names}
    most = {name: 1 if pass_.layers[name].input == PIXELS else 2 for name in names}  # a block may halve the maps
    return next((name for name in order if inner[name] <= most[name]), order[-1])


def wide_convolutions(net: nn.Module, pass_: Trace) -> list[str]:
    """Every convolution that runs once and puts out more than one position; all that run once if none does."""
    shapes = {path: pass_.shapes[layer.output] for path, layer in pass_.layers.items() if layer.runs == 1}
    every = [path for path in shapes if isinstance(net.get_submodule(path), nn.Conv2d)]
    return [path for path in every if shapes[path][2:] != (1, 1)] or every  # no gates


def _named(net: nn.Module, pass_: Trace) -> list[str]:
    """The stages that timm tells of, those that put out maps."""
    info: Any = getattr(net, "feature_info", None)
    rows = getattr(info, "info", info) if info is not None else []
    names = [str(row.get("module")) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    levels_of, axes = _levels(pass_), axes_of(pass_)
    pooled = {call.outputs[0] for call in pass_.calls if call.name in _POOLS}
    outputs = {
        name: pass_.layers[name].output for name in names if name in pass_.layers and pass_.layers[name].runs == 1
    }
    levels = {
        levels_of[number]: name
        for name, number in outputs.items()
        if number in levels_of and number not in pooled and _side(pass_, number, axes) > 1
    }
    return list(levels.values())[-MOST:]


def _of_levels(net: nn.Module, pass_: Trace) -> list[str]:
    """The last block of each level; of the last one the last merge too, where only a head of weights follows it."""
    levels_of, every = _levels(pass_), blocks(net, pass_)
    every = [block for block in every if block.made_by != "other" and not _prepares(block, pass_, levels_of)]
    single = _each_convolution(every, pass_)
    if single or not every:
        return single
    levels = {block.level: block.path for block in every}
    merges = [block.path for block in every if block.made_by == "merge" and block.level == every[-1].level]
    if merges and len(levels) < MOST:
        levels[every[-1].level] = merges[-1]
    return list(dict.fromkeys([*levels.values(), every[-1].path]))[-MOST:]


def _each_convolution(every: list[Block], pass_: Trace) -> list[str]:
    """Of a net with at most five convolutions, one after another, the last block that each of them makes; else none."""
    weighted = [place for place, call in enumerate(pass_.calls) if call.name == "conv2d"]
    last = max((block.call for block in every), default=-1)
    below = [place for place in weighted if place <= last]
    if len(below) > MOST or any(block.made_by == "merge" for block in every):
        return []
    number = {place: sum(start <= place for start in below) for place in range(last + 1)}
    return list({number[block.call]: block.path for block in every}.values())


def _spread(paths: list[str]) -> list[str]:
    """At most MOST of them, first and last among them."""
    if len(paths) <= MOST:
        return paths
    return [paths[round(place * (len(paths) - 1) / (MOST - 1))] for place in range(MOST)]


def _meeting_points(pass_: Trace) -> set[int]:
    """Numbers of the tensors through which everything passes from the pixels to what the net puts out last."""
    calls = _on_the_way(pass_)
    last_use = {number: place for place in calls for number in pass_.calls[place].inputs}
    points, open_until = set[int](), last_use.get(PIXELS, -1)  # the last call that takes a tensor made before
    for place in calls:
        outputs = [number for number in pass_.calls[place].outputs if number in last_use]
        if len(outputs) <= 1 and open_until <= place:
            points.update(outputs or pass_.calls[place].outputs[:1])
        open_until = max([open_until, *(last_use[number] for number in outputs)])
    return points


def _on_the_way(pass_: Trace) -> list[int]:
    """Places of the calls that take something of the image and lead to the last call that does."""
    reached, above = {PIXELS}, []
    for place, call in enumerate(pass_.calls):
        if reached.intersection(call.inputs):
            reached.update(call.outputs)
            above.append(place)
    needed, calls = set(pass_.calls[above[-1]].outputs if above else ()), list[int]()
    for place in reversed(above):
        if needed.intersection(pass_.calls[place].outputs):
            needed.update(reached.intersection(pass_.calls[place].inputs))
            calls.append(place)
    return calls[::-1]


def _classifier(net: nn.Module, pass_: Trace) -> int:
    """Place of the call with the last weights, which tells the classes; past the end in a net that puts out maps."""
    count = len(pass_.calls)
    if not count or len(pass_.shapes[pass_.calls[-1].outputs[0]]) > 2:
        return count
    return max((place for place, call in enumerate(pass_.calls) if call.name in _WEIGHTS), default=count)


def _side(pass_: Trace, number: int, axes: Mapping[int, Axes]) -> int:
    return max(maps_shape(pass_.shapes[number], axes[number])[2:])


def _levels(pass_: Trace) -> dict[int, int]:
    """The level of every tensor that holds maps of the image, by tensor number."""
    axes = axes_of(pass_)
    return {number: _level(pass_, number, axes) for number in axes if _side(pass_, number, axes)}


def _level(pass_: Trace, number: int, axes: Mapping[int, Axes]) -> int:
    return round(log2(max(pass_.shapes[PIXELS][2:]) / _side(pass_, number, axes)))


def _made_by(pass_: Trace, number: int, makers: Mapping[int, int]) -> str:
    """What made the maps, seen through activations and normalization; a normalized merge is the start of a block."""
    normed = False
    while number in makers:
        call = pass_.calls[makers[number]]
        if call.name in _WEIGHTS:
            return "weights"
        if len(call.inputs) > 1 or call.name in ("cat", "concat"):
            return "other" if normed else "merge"
        if call.name not in _AFTER | _NORMS or not call.inputs:
            return "other"
        normed = normed or call.name in _NORMS
        number = call.inputs[0]
    return "other"


def _prepares(block: Block, pass_: Trace, levels: Mapping[int, int]) -> bool:
    """Whether it stands at the start of a larger block that leads to smaller maps, before any filter looks around."""
    parts = block.path.split(".")
    for count in range(1, len(parts)):
        path = ".".join(parts[:count])
        layer = pass_.layers.get(path)
        if layer is None or layer.runs > 1 or layer.input is None or layer.input == PIXELS:
            continue
        below, above = levels.get(layer.input, -1), levels.get(layer.output, -1)
        if below == block.level < above and not _looks_around(path, block, pass_):
            return True
    return False


def _looks_around(path: str, block: Block, pass_: Trace) -> bool:
    """Whether a filter of more than one position is inside the module and below the block's output."""
    inside = [call for call, owner in zip(pass_.calls[: block.call + 1], pass_.owners, strict=False)
              if f"{owner}.".startswith(f"{path}.")]  # fmt: skip
    return any(call.name == "conv2d" and _extent(call, pass_) > 1 for call in inside)


def _extent(call: Call, pass_: Trace) -> int:
    shape = window_of(call, pass_.shapes)
    return max(shape.extent()) if shape else 1
