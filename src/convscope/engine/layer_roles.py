"""Roles of layers: the first layer, the last maps (the paper's layer 5) and the last hidden layer (7) of any net."""

from typing import NamedTuple

from torch import nn

from convscope.engine.blocks import blocks, default_layers, wide_convolutions
from convscope.engine.trace import Trace, trace
from convscope.errors import UserError
from convscope.models.build import ConvNet
from convscope.models.rows import ConvRow, LinearRow

_RECTIFIERS = "relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ gelu silu hardswish"
_INERT = "dropout adaptive_avg_pool2d mean flatten view reshape squeeze contiguous __getitem__"
_RECTIFY = set(_RECTIFIERS.split())
_THROUGH = set(_INERT.split()) | _RECTIFY


class LayerRoles(NamedTuple):
    """Module paths of three layers.

    first: the first convolution. maps: the last convolution, or its block where it is one of several branches (the
    paper's layer 5). last: the last hidden layer, the classifier's input (layer 7).
    """

    first: str
    maps: str
    last: str


def layer_roles(net: nn.Module, image_size: int) -> LayerRoles:
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
    net_trace = trace(net, (3, image_size, image_size))
    ends = [path for path in net_trace.layers if isinstance(net.get_submodule(path), nn.Linear | nn.Conv2d)]
    wide = [path for path in wide_convolutions(net, net_trace) if path != ends[-1]]
    if not wide:
        raise UserError("this net has no convolution, so there are no maps to look at; choose another net")
    first = _rectified(net_trace, _on_every_path(net, net_trace, wide[0]))
    return LayerRoles(
        first, _rectified(net_trace, default_layers(net, image_size)[-1]), _before_classifier(net_trace, ends)
    )


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
        if len(takers) != 1 or takers[0].name not in _RECTIFY | {"batch_norm"}:
            return path
        number = takers[0].outputs[0]
        if takers[0].name in _RECTIFY:
            return outputs.get(number, path)
    return path


def _before_classifier(net_trace: Trace, ends: list[str]) -> str:
    """The module whose output is the input of the classifier, the last of the layers with weights (`ends`)."""
    makers = {call.outputs[0]: call for call in net_trace.calls if len(call.outputs) == 1}
    outputs = {layer.output: name for name, layer in net_trace.layers.items() if layer.runs == 1}
    number = makers[net_trace.layers[ends[-1]].output].inputs[0]
    while number in makers:
        if number in outputs:
            return outputs[number]
        if makers[number].name not in _THROUGH or len(makers[number].inputs) != 1:
            break
        number = makers[number].inputs[0]
    return ends[-2] if len(ends) > 1 else ends[-1]
