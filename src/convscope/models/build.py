"""Rows become a net whose layers have the rows' names, with the initial weights of a recipe."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import UserError
from convscope.models.lrn import LRN
from convscope.models.memory import check_net_memory
from convscope.models.row_sizes import map_sizes
from convscope.models.rows import (
    Activation,
    AvgPoolRow,
    ConvRow,
    GlobalAvgPoolRow,
    LinearRow,
    LRNRow,
    PoolRow,
    Row,
    plain_rows,
    read_rows,
)

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {  # a ReLU changes its input
    "relu": F.relu_,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "gelu": F.gelu,
}


class ConvLayer(nn.Conv2d):
    """Convolution, batch normalization where the row has one (`norm`), and activation: the paper's maps of a layer.

    A convolution with a norm has no bias of its own, because the norm subtracts the mean and adds its bias.
    """

    def __init__(self, maps: int, row: ConvRow):
        bias = not row.batch_norm
        super().__init__(maps, row.maps, row.kernel, row.stride, row.padding, groups=row.groups, bias=bias)
        self.activation = row.activation
        self.norm = nn.BatchNorm2d(row.maps) if row.batch_norm else None

    def forward(self, x: Tensor) -> Tensor:
        maps = super().forward(x)
        return ACTIVATIONS[self.activation](maps if self.norm is None else self.norm(maps))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, activation={self.activation}"


class HiddenLayer(nn.Linear):
    """Units [N, C] after their activation, with dropout in training."""

    def __init__(self, inputs: int, row: LinearRow):
        super().__init__(inputs, row.units)
        self.dropout, self.activation = row.dropout, row.activation

    def forward(self, x: Tensor) -> Tensor:
        units = ACTIVATIONS[self.activation](super().forward(x.flatten(1)))
        return F.dropout(units, self.dropout, self.training) if self.dropout else units

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, activation={self.activation}, dropout={self.dropout}"


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
        if images.shape[1:] != (3, self.image_size, self.image_size) and not self._takes(images.shape):
            shape, side = " x ".join(map(str, images.shape[1:])), self.image_size
            raise UserError(f"images of {shape} for a net built for 3 x {side} x {side}; set data.image_size={side}")
        x = images
        for layer in self.children():
            x = layer(x)
        return x

    def _takes(self, shape: torch.Size) -> bool:
        """Whether images of this shape give logits: larger ones do where the maps are averaged before the last rows."""
        averages = any(isinstance(row, GlobalAvgPoolRow) for row in self.rows.values())
        return averages and len(shape) == 4 and shape[1] == 3 and min(shape[2:]) >= self.image_size


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
    assert isinstance(last, HiddenLayer)  # read_rows refuses other orders
    return {**modules, name: Logits(last.in_features, last.out_features)}


def _module(row: Row, maps: int, side: int) -> nn.Module:
    match row:
        case ConvRow():
            return ConvLayer(maps, row)
        case PoolRow():
            return nn.MaxPool2d(row.kernel, row.stride, row.padding, ceil_mode=row.ceil)
        case AvgPoolRow():
            return nn.AvgPool2d(row.kernel, row.stride, row.padding)
        case GlobalAvgPoolRow():
            return nn.AdaptiveAvgPool2d(1)
        case LRNRow():
            return LRN(row.size, row.alpha, row.beta, row.k)
        case LinearRow():
            return HiddenLayer(maps * side**2, row)


@torch.no_grad()
def normal_(net: ConvNet, std: float = 0.01, bias: float = 0.0, ones: Collection[str] = ()) -> None:
    """Sets weights to N(0, std) and biases to `bias` (Zeiler & Fergus 2013, section 3; Krizhevsky et al. 2012, 5).

    ones: rows with biases of one. The net need not have all of them, because a row may have been removed. The bias of
    the row itself goes first, and the bias of a row with batch norm is that of its norm. Raises UserError where none of
    `ones` is a row with weights.
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
    """The bias of a row, of which a convolution with batch norm has that of its norm."""
    norm: Any = getattr(layer, "norm", None)
    bias: Tensor | None = layer.bias if norm is None else norm.bias
    assert bias is not None
    return bias
