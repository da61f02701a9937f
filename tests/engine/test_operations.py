"""Every operation of the table on a part of the maps, against autograd over the whole image."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.engine import operations
from convscope.engine.deconvnet import RULES, project
from convscope.engine.graph import read_graph
from convscope.engine.projection import project_fields
from convscope.engine.regions import recut, whole_map
from convscope.engine.trace import trace
from engine.specimens import photographs, some_picks

SIZE = (19, 26)


@functools.cache
def draw(*shape):
    """Weights of both signs, the same ones for a shape in each run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


class Between(nn.Module):
    """A function of maps [N, 8, h, w] between two convolutions, with slopes and switches above that need its values."""

    def __init__(self, function, end=None):
        super().__init__()
        self.start, self.function = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.PReLU()), function
        with torch.no_grad():
            maps = function(draw(2, 8, 10, 13)).shape[1]
        self.end = end or nn.Sequential(nn.Conv2d(maps, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 1, 1))
        for value in self.parameters():
            value.data = draw(*value.shape) * 0.5
        self.double().eval()

    def forward(self, x):
        return self.end(self.function(self.start(x)))


def difference(net, layer, size=SIZE, rule="deconvnet", count=6, chunk=None):
    """The largest difference from projections over the whole image, as a share of the largest value."""
    images = photographs(2, size)
    picks = some_picks(net, layer, images, count)
    expected = project(net, images, layer, picks, rule)
    projection = project_fields(net, images, layer, picks, rule, chunk)
    values = recut(projection.values, projection.boxes, whole_map(count, size))
    return float((values - expected).abs().max() / expected.abs().max().clamp(min=1e-9))


def obstacle(net, layer="end", size=SIZE):
    net_trace = trace(net, size)
    return read_graph(net_trace).obstacles.get(net_trace.layer(layer).output)


def by_name(*names):
    """Functions of one argument, by name."""
    return {name: lambda x, name=name: call(name)(x) for name in names}


def call(name):
    return getattr(F, name, None) or getattr(torch, name, None) or getattr(torch.Tensor, name)


def channels_last(function):
    return lambda x: function(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


ACTIVATIONS = by_name(*operations._NAMES[operations.ACTIVATION].split())
ACTIVATIONS |= {
    "prelu": lambda x: F.prelu(x, draw(8)),
    "threshold": lambda x: F.threshold(x, 0.1, -0.2),
    "_threshold": lambda x: F.threshold(x, 0.1, -0.2),
    "threshold_": lambda x: F.threshold_(x * 1, 0.1, -0.2),
    "clamp": lambda x: x.clamp(0, 0.5),
    "clamp_": lambda x: (x * 1).clamp_(min=0),
    "clip": lambda x: x.clip(0.0),
    "clip_": lambda x: (x * 1).clip_(0, 1),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp_min_": lambda x: (x * 1).clamp_min_(0),
}
GATES = by_name("hardsigmoid", "sigmoid", "tanh", "rrelu") | {
    "sigmoid_": lambda x: (x * 1).sigmoid_(),
    "tanh_": lambda x: (x * 1).tanh_(),
}
SUMS = {
    "add": lambda x: x + x.relu(),
    "add_": lambda x: (x * 1).add_(x, alpha=0.5),
    "__iadd__": lambda x: in_place(x, "__iadd__", x.relu()),
    "__radd__": lambda x: 2 + x + draw(1, 8, 1, 1),
    "sub": lambda x: x.relu() - x,
    "sub_": lambda x: (x * 1).sub_(x.relu()),
    "__isub__": lambda x: in_place(x, "__isub__", x.relu()),
    "__rsub__": lambda x: 1 - x,
    "neg": lambda x: -x,
    "add twice": lambda x: x + x,
    "add maps of weights": lambda x: x + draw(1, 8, 10, 13),
    "add columns of weights": lambda x: x + draw(13),
    "add a smaller map": lambda x: x + x.mean((2, 3), keepdim=True),
    "add a column": lambda x: x + x.mean(2, keepdim=True),
    "add a map to maps": lambda x: x + x[:, :1],
}
PRODUCTS = {
    "mul": lambda x: x * x.sigmoid(),
    "mul_": lambda x: (x + 1).mul_(x),
    "__imul__": lambda x: in_place(x, "__imul__", 0.5),
    "__rmul__": lambda x: 2 * x * draw(1, 8, 1, 1),
    "multiply": lambda x: x.multiply(draw(1, 8, 10, 13)),
    "div": lambda x: x / (1 + x * x),
    "div_": lambda x: (x * 1).div_(2),
    "__truediv__": lambda x: x.__truediv__(3),
    "__itruediv__": lambda x: in_place(x, "__itruediv__", 2),
    "divided by maps": lambda x: 2 / (x.sigmoid() + 1),
    "squeeze and excitation": lambda x: x * F.adaptive_avg_pool2d(x, 1).sigmoid(),
    "mean as a gate": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "squared": lambda x: x * x,
}
POWERS = {
    "exp": torch.exp,
    "log": lambda x: (x.sigmoid() + 1).log(),
    "pow": lambda x: x.pow(2),
    "__pow__": lambda x: x**3,
    "sqrt": lambda x: (x.sigmoid() + 1).sqrt(),
    "square": torch.square,
}
INERT = by_name("contiguous", "clone") | {
    "double": torch.Tensor.double,
    "detached": lambda x: x + draw(8, 1, 1).detach(),
    "dropout": lambda x: F.dropout(x, 0.5, False),
    "dropout_": lambda x: F.dropout(x * 1, 0.5, False, True),
    "dropout2d": lambda x: F.dropout2d(x, 0.5, False),
    "feature_dropout": lambda x: torch.feature_dropout(x, 0.5, False),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, False),
    "to": lambda x: x.to(torch.float64),
    "type_as": lambda x: x.type_as(draw(1)),
}
WINDOWS = {
    "conv2d": lambda x: F.conv2d(x, draw(6, 8, 3, 2), draw(6), (2, 1), (1, 0)),
    "same, even": lambda x: F.conv2d(x, draw(6, 8, 4, 2), None, 1, "same"),
    "same, dilated": lambda x: F.conv2d(x, draw(6, 8, 2, 3), None, 1, "same", (3, 1)),
    "valid": lambda x: F.conv2d(x, draw(6, 8, 2, 3), None, 1, "valid"),
    "grouped": lambda x: F.conv2d(x, draw(4, 4, 3, 3), None, 1, 1, 2, groups=2),
    "depthwise": lambda x: F.conv2d(x, draw(8, 1, 3, 3), None, 2, 1, groups=8),
    "steps over pixels": lambda x: F.conv2d(x, draw(4, 8, 2, 2), None, 3, 1),
    "filters made in the pass": lambda x: F.conv2d(x, (draw(4, 8, 3, 3) * 2 + 1)),
    "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1, 1, True),
    "max_pool2d, dilated": lambda x: F.max_pool2d(x, 2, 1, 1, 2),
    "max_pool2d, steps over pixels": lambda x: F.max_pool2d(x, 2, 3, ceil_mode=True),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1, True),
    "avg_pool2d, pixels counted": lambda x: F.avg_pool2d(x, (3, 2), 2, 1, True, False),
    "avg_pool2d, divided by 2": lambda x: F.avg_pool2d(x, 2, 1, 0, divisor_override=2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, draw(8, 4, 3, 3), draw(4), 2, 1),
    "transposed, grouped, dilated": lambda x: F.conv_transpose2d(x, draw(8, 2, 2, 3), None, 2, 1, 0, 2, (2, 1)),
    "transposed with more rows": lambda x: F.conv_transpose2d(x, draw(8, 4, 3, 3), None, 2, 1, 1),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "nearest-exact": lambda x: F.interpolate(x, (30, 13), mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "bilinear, aligned": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
    "to another size": lambda x: F.interpolate(x, (15, 17), mode="bilinear"),
    "smaller": lambda x: F.interpolate(x, (5, 13), mode="nearest"),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x[:, :, :, :12], 2),
    "pad": lambda x: F.pad(x, (1, 2, 0, 3)),
    "pad with a value": lambda x: F.pad(x, (2, 0, 1, 0), value=0.7),
    "pad less": lambda x: F.pad(x, (-1, 2, -3, 0)),
    "pad and pool": lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2),
    "pad by the border": lambda x: F.pad(x, (1, 2, 0, 3), mode="replicate"),
    "reflect": lambda x: F.pad(x, (1, 2, 0, 3), mode="reflect"),
    "pad maps": lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)),
}
NORMS = {
    "batch_norm": lambda x: F.batch_norm(x, draw(8), draw(8).square(), draw(8), draw(8), False, 0.1, 0.1),
    "batch_norm, plain": lambda x: F.batch_norm(x, draw(8), draw(8).square() + 0.1),
    "local_response_norm": lambda x: F.local_response_norm(x, 3, 0.5),
    "group_norm": lambda x: F.group_norm(x, 2),
    "instance_norm": lambda x: F.instance_norm(x),
    "layer_norm": channels_last(lambda x: F.layer_norm(x, (8,), draw(8), draw(8))),
    "layer_norm of maps": lambda x: F.layer_norm(x, (10, 13)),
    "rms_norm": channels_last(lambda x: F.rms_norm(x, (8,))),
    "by hand": lambda x: (x - x.mean(1, keepdim=True)) / ((x * x).mean(1, keepdim=True) + 1e-3).sqrt(),
}
DIMENSIONS = {
    "permute": channels_last(lambda x: x[:, 1:, :, :5]),
    "permute, in a call": lambda x: torch.permute(torch.permute(x, (0, 3, 1, 2)), dims=(0, 2, 3, 1)),
    "transpose": lambda x: x.transpose(1, 2).transpose(2, 1),
    "swapaxes": lambda x: x.swapaxes(1, 3).swapaxes(3, 1),
    "swapdims": lambda x: x.swapdims(1, -1).swapdims(-1, 1),
    "movedim": lambda x: x.movedim(1, 3).relu().movedim(3, 1),
    "moveaxis": lambda x: torch.moveaxis(x, 1, -1).moveaxis(-1, 1),
    "view": lambda x: x.view(x.shape[0], 2, 4, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
    "reshape": lambda x: x.reshape(x.shape[0], 4, 2, *x.shape[2:]).transpose(1, 2).flatten(1, 2),
    "rows and columns together": lambda x: x.flatten(2).relu().unflatten(2, x.shape[2:]),
    "unflatten": lambda x: x.unflatten(1, (4, 2)).flatten(1, 2),
    "squeeze": lambda x: x.unsqueeze(2).squeeze(2),
    "space to depth": lambda x: x.reshape(x.shape[0], 8, 5, 2, 13).transpose(2, 3).flatten(1, 2),
    "cat": lambda x: torch.cat([x, x.relu(), x], 1),
    "cat with weights": lambda x: torch.cat([x, draw(1, 2, 10, 13).expand(len(x), -1, -1, -1)], dim=1),
    "concat": lambda x: torch.concat((x, x.relu()), dim=-3),
    "concatenate": lambda x: torch.concatenate([x.relu(), x], 1),
    "cat of rows": lambda x: torch.cat([x, x.relu()], 2),
    "chunk": lambda x: x.chunk(2, 1)[0] + x.chunk(2, dim=1)[1].relu(),
    "split": lambda x: torch.cat(x.split([3, 5], 1)[::-1], 1),
    "split of rows": lambda x: x.split(5, 2)[1],
    "channel_shuffle": lambda x: F.channel_shuffle(x, 4),
    "maps": lambda x: torch.cat([x[:, :4], x[:, 4:].relu()], 1),
    "some maps": lambda x: x[:, 1::2],
    "rows and columns": lambda x: x[:, :, 1:-2, 3:],
    "every second": lambda x: x[..., ::2, 1::3],
    "a map": lambda x: x[:, 3].unsqueeze(1) + x[:, 2:3],
    "slices of permuted maps": channels_last(lambda x: torch.cat([x[:, 0::2, :], x[:, 1::2, :]], -1)),
}
REDUCTIONS = {
    "mean": lambda x: x * x.mean(1, keepdim=True),
    "sum": lambda x: x.sum(dim=(1,), keepdim=True) + x,
    "amax": lambda x: torch.cat([x.amax(1, keepdim=True), x], 1),
    "amin": lambda x: x - x.amin(1, True),
    "softmax": lambda x: x.softmax(1),
    "softmax over all": lambda x: x.flatten(2).softmax(-1).view(x.shape),
    "rows": lambda x: x * x.mean(2, keepdim=True),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    "adaptive_max_pool2d": lambda x: x * F.adaptive_max_pool2d(x, 1),
    "of the same size": lambda x: F.adaptive_avg_pool2d(x, x.shape[2:]),
    "linear": channels_last(lambda x: F.linear(x, draw(5, 8), draw(5))),
}
FUNCTIONS = ACTIVATIONS | GATES | SUMS | PRODUCTS | POWERS | INERT | WINDOWS | NORMS | DIMENSIONS | REDUCTIONS


def in_place(x, name, value):
    x = x * 1
    getattr(x, name)(value)
    return x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_on_a_part_as_over_the_whole_image(name):
    net = Between(FUNCTIONS[name])
    assert obstacle(net) is None
    for rule in RULES:
        assert difference(net, "end", rule=rule) < 1e-12, rule
