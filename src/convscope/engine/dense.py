"""Dense evaluation (VGG, section 3.2): linear layers slide as convolutions over a whole image of any size."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.calls import Call
from convscope.engine.features import features
from convscope.engine.hooks import evaluating
from convscope.engine.layers import layer_roles
from convscope.engine.stages import PlainNet, read_plain_net
from convscope.errors import UserError

_FLAT = ("flatten", "dropout", "contiguous")  # no effect where maps stay maps, in eval mode


def dense_probabilities(net: nn.Module, image_size: int, side: int) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to probabilities [N, K]. side: image_size or more.

    The map of class scores is averaged over its positions, and its softmax with that of the mirror image (VGG). A net
    that ends in an average over the whole map takes larger images directly, because the average of its scores over all
    positions is the score of the average. Raises UserError for a net of neither form.
    """
    plain_net = read_plain_net(net, image_size)
    slides = plain_net is not None and _linear_layers_slide(plain_net)
    scores = class_scores(plain_net) if plain_net and slides else _checked_at_side(net, side)

    def probabilities(images: Tensor) -> Tensor:
        both = torch.cat([images, images.flip(3)])
        return scores(both).softmax(1).view(2, len(images), -1).mean(0)

    return probabilities


def class_scores(plain_net: PlainNet) -> Callable[[Tensor], Tensor]:
    """A function from images of any size to class scores [N, K], averaged over all positions of the net's input."""
    calls = _all_calls(plain_net)
    last_map = plain_net.shapes[plain_net.rest[0].inputs[0]]

    def scores(images: Tensor) -> Tensor:
        x = images
        for call in calls:
            x = _slid(call, x, last_map)
        return x.mean((2, 3))

    return scores


def _slid(call: Call, x: Tensor, last_map: tuple[int, ...]) -> Tensor:
    """Output of the call on maps [N, C, h, w]; the first linear layer becomes a convolution of the size of its map."""
    if call.name in _FLAT or call.name == "adaptive_avg_pool2d":
        return x
    if call.name != "linear":
        return call.again(x)
    arguments = call.arguments()
    units, inputs = arguments["weight"].shape
    size = (1, 1) if inputs == x.shape[1] else last_map[2:]
    return F.conv2d(x, arguments["weight"].view(units, x.shape[1], *size), arguments.get("bias"))


def _linear_layers_slide(plain_net: PlainNet) -> bool:
    """Whether the linear layers can slide: not after an average over the whole map, which depends on its size."""
    shapes, rest = plain_net.shapes, plain_net.rest
    if not plain_net.stages or not rest:
        return False
    pools = [call for call in rest if call.name == "adaptive_avg_pool2d"]
    same = all(shapes[call.inputs[0]] == shapes[call.outputs[0]] for call in pools)
    return same and not any(call.name in ("conv2d", "max_pool2d", "avg_pool2d") for call in rest)


def _all_calls(plain_net: PlainNet) -> list[Call]:
    return [call for stage in plain_net.stages for call in stage.calls] + list(plain_net.rest)


def _checked_at_side(net: nn.Module, side: int) -> Callable[[Tensor], Tensor]:
    """The net itself. Raises UserError if it does not take images of this side."""
    weight = next(net.parameters())
    try:
        with torch.inference_mode():
            assert net(weight.new_zeros(1, 3, side, side)).dim() == 2
    except (AssertionError, RuntimeError, ValueError, UserError) as error:
        raise UserError(
            f"this net takes no images of {side} pixels, so there is no dense evaluation of it; "
            "choose evaluate.crops=center, ten or fifty"
        ) from error
    return net


def dense_features(net: nn.Module, image_size: int, side: int) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to features [N, D] (VGG, Appendix B). side: image_size or more.

    The features are the input of the last linear layer, averaged over all positions of the image and of its mirror
    image. For a net whose linear layers do not slide they are the classifier's input, averaged if it is a map. Raises
    UserError for a net that takes no images of this side.
    """
    plain_net = read_plain_net(net, image_size)
    slides = plain_net is not None and _linear_layers_slide(plain_net)
    below = _below_last_linear(plain_net) if plain_net and slides else _below_classifier(net, image_size)
    try:
        with torch.inference_mode():
            below(next(net.parameters()).new_zeros(1, 3, side, side))
    except (RuntimeError, ValueError, AssertionError, UserError) as error:
        raise UserError(
            f"this net takes no images of {side} pixels, so it has no dense features; choose transfer.features=layers"
        ) from error

    def vectors(images: Tensor) -> Tensor:
        with torch.inference_mode(), evaluating(net):
            both = below(torch.cat([images, images.flip(3)]))
        return both.view(2, len(images), -1).mean(0)

    return vectors


def _below_last_linear(plain_net: PlainNet) -> Callable[[Tensor], Tensor]:
    """A function from images of any size to the input of the last linear layer, averaged over positions."""
    calls = _all_calls(plain_net)
    last = max(number for number, call in enumerate(calls) if call.name == "linear")
    last_map = plain_net.shapes[plain_net.rest[0].inputs[0]]

    def below(images: Tensor) -> Tensor:
        x = images
        for call in calls[:last]:
            x = _slid(call, x, last_map)
        return _averaged(x)

    return below


def _below_classifier(net: nn.Module, image_size: int) -> Callable[[Tensor], Tensor]:
    layer = layer_roles(net, image_size).last
    return lambda images: features(net, images, [layer], _averaged).layers[layer]


def _averaged(x: Tensor) -> Tensor:
    """Mean over the positions of maps [N, C, h, w]; units [N, C] as they are."""
    return x.mean((2, 3)) if x.dim() == 4 else x.flatten(1).clone()
