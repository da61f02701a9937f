"""The layers of a net: the three that the paper names (its first, its 5 and its 7), and a table of all of them."""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

from torch import nn

from convscope.engine.autograd_activations import relu_modules
from convscope.engine.axes import axes_of, maps_shape
from convscope.engine.blocks import blocks, default_layers, wide_convolutions
from convscope.engine.graph import read_graph
from convscope.engine.operations import (
    ACTIVATION,
    BATCH_NORM,
    GLOBAL_POOL,
    INDEX,
    INERT,
    RECTIFIERS,
    REDUCTION,
    SHAPE,
)
from convscope.engine.receptive_fields import Field, follow
from convscope.engine.trace import ImageSize, Trace, trace
from convscope.errors import UserError
from convscope.models.build import ConvNet
from convscope.models.row_sizes import map_sizes
from convscope.models.rows import KINDS, ConvRow, LinearRow

_THROUGH = {ACTIVATION, INERT, GLOBAL_POOL, REDUCTION, SHAPE, INDEX}  # between the last hidden layer and the classifier


class LayerRoles(NamedTuple):
    """Module paths of three layers.

    first: the first convolution. maps: the last convolution, or its block where it is one of several branches (the
    paper's layer 5). last: the last hidden layer, the classifier's input (layer 7).
    """

    first: str
    maps: str
    last: str


def layer_roles(net: nn.Module, image_size: ImageSize) -> LayerRoles:
    """The three layers, each with the module that rectifies it where there is one.

    Raises UserError for a net without convolutions.
    """
    if isinstance(net, ConvNet):
        convolutions = [name for name, row in net.rows.items() if isinstance(row, ConvRow)]
        linear = [name for name, row in net.rows.items() if isinstance(row, LinearRow)]
        if not convolutions:
            raise UserError("this net has no convolution, so there are no maps to look at; add a row of kind conv")
        last = linear[-2] if len(linear) > 1 else list(net.rows)[-2]
        return LayerRoles(convolutions[0], convolutions[-1], last)
    net_trace = trace(net, image_size)
    ends = [path for path in net_trace.layers if isinstance(net.get_submodule(path), nn.Linear | nn.Conv2d)]
    wide = [path for path in wide_convolutions(net, net_trace) if path != ends[-1]]
    if not wide:
        raise UserError("this net has no convolution, so there are no maps to look at; choose another net")
    first = _rectified(net_trace, _on_every_path(net, net_trace, wide[0]))
    maps, last = _rectified(net_trace, default_layers(net, image_size)[-1]), _before_classifier(net_trace, ends)
    return LayerRoles(first, maps, maps if _passes_on(net_trace, maps, last) else last)


def _on_every_path(net: nn.Module, net_trace: Trace, path: str) -> str:
    """The layer if every path leads through it; for one of several branches the block in which they meet."""
    makers = {number: place for place, call in enumerate(net_trace.calls) for number in call.outputs}
    after = [block for block in blocks(net, net_trace) if block.call >= makers[net_trace.layer(path).output]]
    outputs = [net_trace.layer(block.path).output for block in after]
    return path if net_trace.layer(path).output in outputs or not after else after[0].path


def _rectified(net_trace: Trace, path: str) -> str:
    """The module that rectifies the layer's output, directly or after batch normalization; else the layer itself."""
    outputs = {layer.output: name for name, layer in net_trace.layers.items() if layer.runs == 1}
    number = net_trace.layer(path).output
    for _ in range(3):
        takers = [call for call in net_trace.calls if number in call.inputs]
        if len(takers) != 1 or not (takers[0].name in RECTIFIERS or takers[0].kind == BATCH_NORM):
            return path
        number = takers[0].outputs[0]
        if takers[0].name in RECTIFIERS:
            return outputs.get(number, path)
    return path


def _passes_on(net_trace: Trace, lower: str, upper: str) -> bool:
    """Whether the upper layer only passes on the values of the lower one, as a dropout in evaluation does."""
    makers = {call.outputs[0]: call for call in net_trace.calls if len(call.outputs) == 1}
    number = net_trace.layers[upper].output
    while number != net_trace.layers[lower].output:
        if number not in makers or makers[number].kind != INERT:
            return False
        number = makers[number].inputs[0]
    return True


def are_pooled_away(net: nn.Module, image_size: ImageSize, path: str) -> bool:
    """Whether the net, which is none of rows, pools all positions into one somewhere above this layer."""
    if isinstance(net, ConvNet):
        return False
    net_trace = trace(net, image_size)
    number, shapes = net_trace.layer(path).output, net_trace.shapes
    later = next(place for place, call in enumerate(net_trace.calls, 1) if number in call.outputs)
    pools = [call for call in net_trace.calls[later:] if call.kind in (GLOBAL_POOL, REDUCTION)]
    return any(len(shapes[pool.inputs[0]]) == 4 and math.prod(shapes[pool.outputs[0]][2:]) == 1 for pool in pools)


def _before_classifier(net_trace: Trace, ends: list[str]) -> str:
    """The module whose output is the input of the classifier, the last of the layers with weights (`ends`)."""
    makers = {call.outputs[0]: call for call in net_trace.calls if len(call.outputs) == 1}
    outputs = {layer.output: name for name, layer in net_trace.layers.items() if layer.runs == 1}
    number = makers[net_trace.layers[ends[-1]].output].inputs[0]
    while number in makers:
        if number in outputs:
            return outputs[number]
        if makers[number].kind not in _THROUGH or len(makers[number].inputs) != 1:
            break
        number = makers[number].inputs[0]
    return ends[-2] if len(ends) > 1 else ends[-1]


_POOLS = nn.MaxPool2d | nn.AvgPool2d | nn.LPPool2d | nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d


class LayerSummary(NamedTuple):
    """One layer. maps: number of maps or units. rows, cols: sides of a map, 1 of units. field: None for the image.

    obstacle: the operation below that cannot be done on a part of the maps; "" where there is none.
    """

    name: str
    kind: str
    maps: int
    rows: int
    cols: int
    field: Field | None
    obstacle: str = ""


def layer_summaries(net: nn.Module, image_size: ImageSize, also: Collection[str] = ()) -> list[LayerSummary]:
    """Every row of a net of rows; in another net the convolutions, pools and linear layers, from the pixels up.

    also: paths of other modules of such a net to include, such as stages and blocks. A layer that runs several times in
    one pass is described by its last run. Raises UserError as `trace` does.
    """
    net_trace = trace(net, image_size)
    tensor_fields = follow(net_trace)
    fields = {path: tensor_fields.get(layer.output) for path, layer in net_trace.layers.items()}
    if isinstance(net, ConvNet):
        kinds, sizes = {kind: name for name, kind in KINDS.items()}, map_sizes(net.rows, net.image_size)
        return [
            LayerSummary(name, kinds[type(row)], maps, side, side, fields[name])
            for (name, row), (maps, side) in zip(net.rows.items(), sizes.values(), strict=True)
        ]
    axes, obstacles = axes_of(net_trace), read_graph(net_trace, relus=relu_modules(net, net_trace)).obstacles
    dims = {"conv": (4,), "pool": (4,), "full": (2,)}  # of the output: linear layers of single tokens are left out
    summaries = []
    for path, layer in net_trace.layers.items():
        kind = _kind(net.get_submodule(path), path in also)
        shape = maps_shape(net_trace.shapes[layer.output], axes.get(layer.output))
        if kind and len(shape) in dims.get(kind, (2, 4)):
            rows, cols = shape[2:] or (1, 1)
            obstacle = obstacles.get(layer.output, "")
            summaries.append(LayerSummary(path, kind, shape[1], rows, cols, fields[path], obstacle))
    return summaries


def layer_table(net: nn.Module, image_size: ImageSize, also: Collection[str] = ()) -> list[dict[str, Any]]:
    """One table row for each layer of `layer_summaries`: name, kind, maps, side, field, stride, start, parts.

    side: of the map, in positions. field, stride: of the receptive field, in pixels; field is "image" where it is the
    whole image. start: the first pixel of unit 0's field, negative where the field extends over the border. The field
    of unit i is the `field` pixels from start + i * stride on. Sides that differ are "rows x columns". parts: "exact"
    where projections and occlusion compute only the parts of the maps on which a unit depends; "whole image: " and the
    operation that hinders them elsewhere, with the same values.
    """
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "maps": layer.maps,
            "side": _sides(layer.rows, layer.cols),
            **_field_columns(layer.field),
            "parts": f"whole image: {layer.obstacle}" if layer.obstacle else "exact",
        }
        for layer in layer_summaries(net, image_size, also)
    ]


def _kind(module: nn.Module, requested: bool) -> str | None:
    """Kind of a layer in the table; None for a module that is not in the table."""
    if isinstance(module, nn.Conv2d):
        return "conv"
    if isinstance(module, nn.Linear):
        return "full"
    if isinstance(module, _POOLS):
        return "pool"
    return ("block" if any(module.children()) else type(module).__name__.lower()) if requested else None


def _field_columns(field: Field | None) -> dict[str, Any]:
    if field is None:
        return {"field": "image", "stride": "", "start": ""}
    rows, cols = field
    return {
        "field": _sides(rows.size, cols.size),
        "stride": _sides(rows.stride, cols.stride),
        "start": _sides(rows.start, cols.start),
    }


def _sides(rows: int, cols: int) -> int | str:
    return rows if rows == cols else f"{rows} x {cols}"
