"""Rows become a net whose layers have the rows' names, with the initial weights of a recipe."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.lrn import LRN
from convscope.models.memory import check_net_memory
from convscope.models.rows import ConvRow, LinearRow, LRNRow, PoolRow, Row, map_sizes, plain_rows, read_rows


class ConvReLU(nn.Conv2d):
    """Convolution and ReLU: rectified feature maps, the paper's maps of a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(super().forward(x))


class LinearReLU(nn.Linear):
    """Rectified units [N, C], with dropout in training."""

    def __init__(self, inputs: int, units: int, dropout: float):
        super().__init__(inputs, units)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        units = F.relu_(super().forward(x.flatten(1)))
        return F.dropout(units, self.dropout, self.training) if self.dropout else units

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dropout={self.dropout}"


class Logits(nn.Linear):
    """The last row: logits [N, K] without ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


class ConvNet(nn.Module):
    """The rows one after another, from pixels [N, 3, S, S] to logits [N, K]; child `conv1` is row conv1.

    layers: the rows as a plain mapping, from which `build` makes the same net. Raises UserError for a row with a name
    that a module already uses, and for a net that does not fit into memory.
    """

    def __init__(self, rows: Mapping[str, Row], image_size: int):
        super().__init__()
        self.rows, self.image_size = dict(rows), image_size
        self.layers = plain_rows(rows)
        check_net_memory(self.rows, image_size)
        self.classes = next(reversed(self.rows.values())).units  # type: ignore[union-attr]
        for name, layer in _modules(self.rows, image_size).items():
            if hasattr(self, name) or "." in name:
                raise UserError(f"a row cannot be called {name}; rename it, e.g. conv1, pool1, norm1, fc6")
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != (3, self.image_size, self.image_size):
            shape, side = " x ".join(map(str, images.shape[1:])), self.image_size
            raise UserError(f"images of {shape} for a net built for 3 x {side} x {side}; set data.image_size={side}")
        x = images
        for layer in self.children():
            x = layer(x)
        return x


def build(layers: Mapping[str, Any], image_size: int, classes: int, width: float = 1.0) -> ConvNet:
    """The net of a model yaml's `layers` for square images of image_size pixels, with weights channels last.

    The weights are torch's default until `normal_` or `he_` sets the recipe's. Raises UserError as `read_rows`,
    `map_sizes` and `check_net_memory` do.
    """
    net = ConvNet(read_rows(layers, classes, width), image_size)
    return net.to(memory_format=torch.channels_last)


def check_rows(layers: Mapping[str, Any], image_size: int, width: float, batch: int = 1, copies: int = 1) -> None:
    """Raises the UserErrors of `build` that no number of classes changes; batch, copies: see check_net_memory."""
    rows = read_rows(layers, 2, width)
    map_sizes(rows, image_size)
    check_net_memory(rows, image_size, batch, copies)


def _modules(rows: Mapping[str, Row], image_size: int) -> dict[str, nn.Module]:
    sizes = map_sizes(rows, image_size)
    below = [(3, image_size), *sizes.values()]
    modules = {name: _module(row, *size) for (name, row), size in zip(rows.items(), below, strict=False)}
    name, last = list(modules.items())[-1]
    assert isinstance(last, LinearReLU)  # read_rows refuses other orders
    return {**modules, name: Logits(last.in_features, last.out_features)}


def _module(row: Row, maps: int, side: int) -> nn.Module:
    match row:
        case ConvRow():
            return ConvReLU(maps, row.maps, row.kernel, row.stride, row.padding, groups=row.groups)
        case PoolRow():
            return nn.MaxPool2d(row.kernel, row.stride, row.padding, ceil_mode=row.ceil)
        case LRNRow():
            return LRN(row.size, row.alpha, row.beta, row.k)
        case LinearRow():
            return LinearReLU(maps * side**2, row.units, row.dropout)


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
