"""Dense evaluation (VGG, section 3.2): a net looks at the whole image, at every position that its strides allow."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from convscope.engine.features import features
from convscope.engine.hooks import evaluating
from convscope.engine.layers import layer_roles
from convscope.engine.sliding import read_sliding_net
from convscope.errors import UserError


def dense_probabilities(net: nn.Module, image_size: int, side: int) -> Callable[[Tensor], Tensor]:
    """A function from whole images [N, 3, side, side] to probabilities [N, K]. side: image_size or more.

    The map of class scores is averaged over its positions, and its softmax with that of the mirror image (VGG). A net
    that ends in an average over the whole map takes larger images directly, because the average of its scores over all
    positions is the score of the average. Raises UserError for a net of neither form.
    """
    scores = _sliding_scores(net, image_size) or _checked_at_side(net, side)

    def probabilities(images: Tensor) -> Tensor:
        both = torch.cat([images, images.flip(3)])
        return scores(both).softmax(1).view(2, len(images), -1).mean(0)

    return probabilities


def _sliding_scores(net: nn.Module, image_size: int) -> Callable[[Tensor], Tensor] | None:
    """A function from images of any size to class scores, averaged over positions; None where no layers slide."""
    sliding = read_sliding_net(net, image_size)
    return None if sliding is None else lambda images: sliding.run(images, sliding.output)


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
    below = _below_last_linear(net, image_size) or _below_classifier(net, image_size)
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


def _below_last_linear(net: nn.Module, image_size: int) -> Callable[[Tensor], Tensor] | None:
    """A function from images of any size to the input of the last linear layer, averaged over positions."""
    sliding = read_sliding_net(net, image_size)
    if sliding is None or (number := sliding.below_last) is None:
        return None
    return lambda images: sliding.run(images, number)


def _below_classifier(net: nn.Module, image_size: int) -> Callable[[Tensor], Tensor]:
    layer = layer_roles(net, image_size).last
    return lambda images: features(net, images, [layer], _averaged).layers[layer]


def _averaged(x: Tensor) -> Tensor:
    """Mean over the positions of maps [N, C, h, w]; units [N, C] as they are."""
    return x.mean((2, 3)) if x.dim() == 4 else x.flatten(1).clone()
