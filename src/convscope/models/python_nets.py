"""Nets of Python, which model.target makes: their input, their number of classes, their weights."""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.library_metadata import IMAGENET_COLORS, Colors
from convscope.models.library_nets import LibraryNet, with_class_names, with_outputs
from convscope.models.targets import Target, explained, in_words, read_target
from convscope.models.untrusted import check_finite
from convscope.models.weights_file import LastLayers, copy_shared_, fill, read_weights, renamed


class Outputs(NamedTuple):
    """The number of logits of a net, and the path of the layer that puts them out; "" where no layer is sure to."""

    logits: int
    layer: str


def python_net(model: Mapping[str, Any], image_size: int, classes: int, keep: bool = False) -> LibraryNet:
    """The net that model.target makes, with the weights of model.weights if that is a file.

    classes: how many the images have. keep: whether the net keeps its own number of classes; else it is made for those
    of the images, by its argument num_classes or by a fresh last layer. Raises UserError as `read_target`,
    `Target.build` and `fill` do, and for a net that cannot take images [N, 3, S, S] or gives no logits [N, classes].
    """
    target, colors, file = read_target(model), read_colors(model), model.get("weights")
    argument = target.class_argument
    needed = argument is not None and argument.default is inspect.Parameter.empty
    net = target.build(None if keep and not needed else classes)
    outputs = outputs_of(net, image_size, target.name)
    exchange = partial(_for_classes, target, image_size, outputs)
    if file:
        last = LastLayers([outputs.layer] if outputs.layer else [], exchange)
        state, where = renamed(net.state_dict(), read_weights(file)), f"{file} does not fit {target.name}"
        net = fill(net, state, last, None if keep else classes, where, "set model.target and model.args to the net")
        check_finite(net, file)
    elif not keep:
        net = exchange(net, classes)
    count = outputs_of(net, image_size, target.name).logits
    if not keep and count != classes:
        raise UserError(_other_classes(target, count, classes))
    return with_class_names(net, colors, count, []) if keep else LibraryNet(net, colors)


def read_colors(model: Mapping[str, Any]) -> Colors:
    """model.mean and model.std, of pixels from 0 to 1; one number stands for all three colors."""
    pair = []
    for key, default in zip(Colors._fields, IMAGENET_COLORS, strict=True):
        value = model.get(key)
        values = list(default) if value is None else value if isinstance(value, list) else [value] * 3
        if len(values) != 3 or not all(type(part) in (int, float) and abs(part) < 1e6 for part in values):
            raise UserError(f"model.{key}={value} is no color; e.g. model.{key}=[{','.join(map(str, default))}]")
        pair.append(values)
    if min(pair[1]) <= 0:
        raise UserError(f"model.std={model.get('std')} must be positive, e.g. model.std=[0.5,0.5,0.5]")
    return Colors(*pair)


def outputs_of(net: nn.Module, image_size: int, name: str) -> Outputs:
    """The outputs of a net for a black image; a lazy layer gets its weights. Raises UserError where there are none.

    The layer that puts them out is the linear layer or convolution that runs last, if it has as many.
    """
    last: list[str] = []
    layers = {path: part for path, part in net.named_modules() if path and isinstance(part, nn.Linear | nn.Conv2d)}
    hooks = [part.register_forward_hook(lambda *_, path=path: last.append(path)) for path, part in layers.items()]
    training = [module for module in net.modules() if module.training]
    weight = next((value for value in net.parameters() if value.is_floating_point()), torch.empty(0))
    image = torch.zeros(1, 3, image_size, image_size, dtype=weight.dtype, device=weight.device)
    what = f"model.target={name} cannot take an image of 3 x {image_size} x {image_size}"
    try:
        with torch.no_grad(), explained(what, "; if it is made for another side, set data.image_size"):
            logits = net.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1:
        raise UserError(f"model.target={name} answers with {in_words(logits)}; a net gives logits [images, classes]")
    count = logits.shape[1]
    fits = bool(last) and type(layers[last[-1]]) in (nn.Linear, nn.Conv2d) and _width(layers[last[-1]]) == count
    return Outputs(count, last[-1] if fits else "")


def _width(layer: nn.Module) -> int:
    return len(layer.weight)  # type: ignore[arg-type]


def _for_classes(target: Target, image_size: int, outputs: Outputs, net: nn.Module, classes: int) -> nn.Module:
    """The net for another number of classes: made anew, with the weights that have the same shape, or with a fresh last
    layer. Raises UserError where neither can be done.
    """
    count = _width(net.get_submodule(outputs.layer)) if outputs.layer else outputs.logits
    if count == classes:
        return net
    if target.class_argument is not None:
        fresh = target.build(classes)
        outputs_of(fresh, image_size, target.name)  # gives lazy layers their weights
        copy_shared_(fresh, net)
        return fresh
    if not outputs.layer:
        raise UserError(_other_classes(target, count, classes))
    return with_outputs(net, outputs.layer, classes)


def _other_classes(target: Target, count: int, classes: int) -> str:
    """The line for a net whose outputs cannot be made those of the images."""
    return (
        f"model.target={target.name} has {count:,} outputs and the images have {classes:,} classes; give it an "
        "argument num_classes, or set it by model.args"
    )
