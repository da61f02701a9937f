"""Initial weights of a net of rows."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.build import ConvNet, Logits


@torch.no_grad()
def normal_(net: ConvNet, std: float = 0.01, bias: float = 0.0, ones: Collection[str] = ()) -> None:
    """Weights N(0, std), biases `bias` (Zeiler & Fergus 2013, section 3; Krizhevsky et al. 2012, section 5).

    ones: rows whose biases start at one, those that the net does not have apart (a row may have been removed); a bias
    that the row itself gives wins. Raises UserError where none of `ones` is a row with weights.
    """
    weighted = dict(_weighted(net))
    if ones and not weighted.keys() & set(ones):
        raise UserError(f"optim.bias_ones: no row {', '.join(ones)} with weights; this net has {', '.join(weighted)}")
    for name, layer in weighted.items():
        layer.weight.normal_(0, std)
        _bias(layer).fill_(_first(_given_bias(net, name), 1.0 if name in ones else bias))


@torch.no_grad()
def he_(net: ConvNet, pixel_std: float = 58.0, first: float = 1.0) -> None:
    """He's normal weights, N(0, 2 / inputs), and zero biases, except where a row gives its bias; ours, not the paper's.

    The first row's are divided by pixel_std, the spread of its input in grey levels, and multiplied by `first`; the
    last row's are N(0, .01), so that training starts with all classes about equally probable.
    """
    for index, (name, layer) in enumerate(_weighted(net)):
        inputs = layer.weight[0].numel()
        std = 0.01 if isinstance(layer, Logits) else (2 / inputs) ** 0.5
        layer.weight.normal_(0, std * first / pixel_std if index == 0 else std)
        _bias(layer).fill_(_first(_given_bias(net, name), 0.0))


def _weighted(net: ConvNet) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    return [(name, layer) for name, layer in net.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _given_bias(net: ConvNet, name: str) -> float | None:
    return net.rows[name].bias  # type: ignore[union-attr]


def _first(given: float | None, otherwise: float) -> float:
    return otherwise if given is None else given


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    assert layer.bias is not None  # rows always have one
    return layer.bias
