"""Initial weights of a net of rows: the paper's normal distribution, and He's."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.build import ConvNet, Logits


@torch.no_grad()
def normal_(net: ConvNet, std: float = 0.01, bias: float = 0.0, ones: Collection[str] = ()) -> None:
    """Sets weights to N(0, std) and biases to `bias` (Zeiler & Fergus 2013, section 3; Krizhevsky et al. 2012, 5).

    ones: rows with biases of one. The net need not have all of them, because a row may have been removed. The bias of
    the row itself goes first. Raises UserError where none of `ones` is a row with weights.
    """
    weighted = dict(_weighted(net))
    if ones and not weighted.keys() & set(ones):
        raise UserError(f"optim.bias_ones: no row {', '.join(ones)} with weights; this net has {', '.join(weighted)}")
    for name, layer in weighted.items():
        layer.weight.normal_(0, std)
        _bias(layer).fill_(_row_bias(net, name, 1.0 if name in ones else bias))


@torch.no_grad()
def he_(net: ConvNet, pixel_std: float = 58.0, first: float = 1.0) -> None:
    """Sets weights to He's N(0, 2 / inputs) and biases to zero or to the row's own; ours, not the paper's.

    The first row's weights are divided by pixel_std, the standard deviation of pixels in grey levels, and multiplied
    by `first`. The last row's are N(0, 0.01), so that training starts with all classes about equally probable.
    """
    for index, (name, layer) in enumerate(_weighted(net)):
        inputs = layer.weight[0].numel()
        std = 0.01 if isinstance(layer, Logits) else (2 / inputs) ** 0.5
        layer.weight.normal_(0, std * first / pixel_std if index == 0 else std)
        _bias(layer).fill_(_row_bias(net, name, 0.0))


def _weighted(net: ConvNet) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    return [(name, layer) for name, layer in net.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _row_bias(net: ConvNet, name: str, default: float) -> float:
    """The initial bias that the row fixes, else the default."""
    bias: float | None = net.rows[name].bias  # type: ignore[union-attr]
    return default if bias is None else bias


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    assert layer.bias is not None  # rows always have one
    return layer.bias
