"""Dense evaluation (VGG, section 3.2): the full layers as convolutions slide over a whole image of any size."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.engine.calls import Call
from convscope.engine.features import features
from convscope.engine.hooks import evaluating
from convscope.engine.layer_roles import layer_roles
from convscope.engine.stages import PlainNet, read_plain_net
from convscope.errors import UserError
from convscope.models.build import ConvNet

_FLAT = ("flatten", "dropout", "contiguous")  # nothing to do where maps stay maps and nothing is dropped


def dense_probabilities(net: nn.Module, image_size: int, side: int) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to probabilities [N, K], side image_size or more.

    The map of class scores is averaged over its positions, and the softmax of that with the mirrored image's (VGG).
    A net that ends in an average over the whole map takes larger images as they are: there the average of the scores
    at all positions is the score of the average. Raises UserError for a net that has neither form.
    """
    found = read_plain_net(net, image_size)
    scores = class_scores(found) if found and _convolutional(found) else _as_it_is(net, side)

    def probabilities(images: Tensor) -> Tensor:
        both = torch.cat([images, images.flip(3)])
        return scores(both).softmax(1).view(2, len(images), -1).mean(0)

    return probabilities


def class_scores(found: PlainNet) -> Callable[[Tensor], Tensor]:
    """From images of any size to class scores [N, K], averaged over all places that the net's input can have."""
    calls = [call for stage in found.stages for call in stage.calls] + list(found.rest)
    last_map = found.shapes[found.rest[0].inputs[0]]

    def scores(images: Tensor) -> Tensor:
        x = images
        for call in calls:
            x = _slid(call, x, last_map)
        return x.mean((2, 3))

    return scores


def _slid(call: Call, x: Tensor, last_map: tuple[int, ...]) -> Tensor:
    """The call on maps [N, C, h, w]; the first full layer takes pieces of the size of the map that it is made for."""
    if call.name in _FLAT or call.name == "adaptive_avg_pool2d":
        return x
    if call.name != "linear":
        return call.again(x)
    given = call.arguments()
    units, inputs = given["weight"].shape
    size = (1, 1) if inputs == x.shape[1] else last_map[2:]
    return F.conv2d(x, given["weight"].view(units, x.shape[1], *size), given.get("bias"))


def _convolutional(found: PlainNet) -> bool:
    """Whether the net's full layers take maps as they come: averages over whole maps depend on the image's size."""
    pools = [call for call in found.rest if call.name == "adaptive_avg_pool2d"]
    if not found.stages or not found.rest:
        return False
    same = all(found.shapes[call.inputs[0]] == found.shapes[call.outputs[0]] for call in pools)
    return same and not any(call.name in ("conv2d", "max_pool2d", "avg_pool2d") for call in found.rest)


def _as_it_is(net: nn.Module, side: int) -> Callable[[Tensor], Tensor]:
    weight = next(net.parameters())
    try:
        with torch.inference_mode():
            assert not isinstance(net, ConvNet) and net(weight.new_zeros(1, 3, side, side)).dim() == 2
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"this net takes no images of {side} pixels, so there is no dense evaluation of it; "
            "choose evaluate.crops=center, ten or fifty"
        ) from error
    return net


def dense_features(net: nn.Module, image_size: int, side: int) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to features [N, D] (VGG, Appendix B), side image_size or more.

    The last full layer is dropped, what it would take is averaged over all places of the image, and that with the
    mirror image's. A net whose full layers do not slide gives what its classifier takes, averaged where it is a map.
    Raises UserError for a net that takes no images of this side.
    """
    found = read_plain_net(net, image_size)
    above = _before_last_full(found) if found and _convolutional(found) else _before(net, image_size)
    try:
        with torch.inference_mode():
            above(next(net.parameters()).new_zeros(1, 3, side, side))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"this net takes no images of {side} pixels, so it has no dense features; choose transfer.features=layers"
        ) from error

    def vectors(images: Tensor) -> Tensor:
        with torch.inference_mode(), evaluating(net):
            both = above(torch.cat([images, images.flip(3)]))
        return both.view(2, len(images), -1).mean(0)

    return vectors


def _before_last_full(found: PlainNet) -> Callable[[Tensor], Tensor]:
    calls = [call for stage in found.stages for call in stage.calls] + list(found.rest)
    last = max(number for number, call in enumerate(calls) if call.name == "linear")
    last_map = found.shapes[found.rest[0].inputs[0]]

    def above(images: Tensor) -> Tensor:
        x = images
        for call in calls[:last]:
            x = _slid(call, x, last_map)
        return _averaged(x)

    return above


def _before(net: nn.Module, image_size: int) -> Callable[[Tensor], Tensor]:
    layer = layer_roles(net, image_size).last
    return lambda images: features(net, images, [layer], _averaged).layers[layer]


def _averaged(x: Tensor) -> Tensor:
    """Over all places of maps [N, C, h, w]; units [N, C] as they are."""
    return x.mean((2, 3)) if x.dim() == 4 else x.flatten(1).clone()
