"""Random nets of every kind of part that nets are made of, against autograd over the whole image in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as draws
from torch import nn

from convscope.engine.deconvnet import RULES
from convscope.engine.graph import read_graph
from convscope.engine.receptive_fields import fields
from convscope.engine.trace import trace
from engine.specimens import maps_of
from engine.test_operations import difference
from random_settings import tried


class Part(nn.Module):
    """A function of a tensor with modules: function(x, *modules)."""

    def __init__(self, function, *modules):
        super().__init__()
        self.function, self.steps = function, nn.ModuleList(modules)

    def forward(self, x):
        return self.function(x, *self.steps)


def conv(maps, to=None, kernel=3, stride=1, padding=1, **options):
    return nn.Conv2d(maps, to or maps, kernel, stride, padding, **options)


def added_in_place(x, start):
    y = start(x)
    y += x
    return y


def halves(x, half, ratio=2):
    left, right = x.chunk(2, 1)
    return F.channel_shuffle(torch.cat([half(left), right], 1), ratio)


def u_turn(x, down, up):
    """Down and up again, and joined with what was there; odd sides are cut."""
    below = F.interpolate(F.max_pool2d(down(x), 2), scale_factor=2)
    return up(torch.cat([below, x[:, :, : below.shape[2], : below.shape[3]]], 1))


def in_rows(x, norm, wide, narrow):
    """A block of ConvNeXt: maps in the last dimension."""
    y = x.permute(0, 2, 3, 1)
    return x + narrow(F.gelu(wide(norm(y)))).permute(0, 3, 1, 2) * 0.3


def view_overwritten(x, start):
    y = start(x)
    y[:, ::2].relu_()
    return y


PARTS = {  # each makes a module for a number of maps
    "convolution": lambda c: nn.Sequential(conv(c), nn.ReLU(inplace=True)),
    "strided": lambda c: nn.Sequential(conv(c, c, (5, 3), 2, (1, 2)), nn.SiLU()),
    "even kernel": lambda c: nn.Sequential(conv(c, c, 4, padding="same"), nn.LeakyReLU(0.2)),
    "dilated": lambda c: nn.Sequential(conv(c, c, (3, 2), 1, (2, 1), dilation=(2, 3)), nn.ReLU6(inplace=True)),
    "grouped": lambda c: conv(c, groups=2),
    "depthwise": lambda c: nn.Sequential(conv(c, 2 * c, groups=c, bias=False), nn.Hardswish(), conv(2 * c, c, 1, 1, 0)),
    "leap": lambda c: nn.Sequential(conv(c, c, 2, (1, 3), 1), nn.ELU()),
    "max pool": lambda c: nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "dilated pool": lambda c: nn.MaxPool2d(2, 1, 1, dilation=2),
    "mean pool": lambda c: nn.AvgPool2d((3, 2), 2, (1, 0), ceil_mode=True, count_include_pad=False),
    "padding": lambda c: nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), conv(c, padding=0), nn.ReLU()),
    "reflection": lambda c: conv(c, padding_mode="reflect"),
    "batch norm": lambda c: nn.Sequential(nn.BatchNorm2d(c), nn.ReLU()),
    "residual": lambda c: Part(lambda x, a, b: F.relu(x + b(a(x).relu_())), conv(c), conv(c)),
    "residual in place": lambda c: Part(added_in_place, conv(c)),
    "dense": lambda c: Part(lambda x, a, b: b(torch.cat([x, a(x)], 1).relu()), conv(c, 2), conv(c + 2, c, 1, 1, 0)),
    "branches": lambda c: Part(
        lambda x, a, b, d: d(torch.cat((a(x), b(x), F.max_pool2d(x, 3, 1, 1)), dim=1)),
        conv(c, c, 1, 1, 0), conv(c, c, 5, 1, 2), conv(3 * c, c, 1, 1, 0),
    ),  # fmt: skip
    "halves": lambda c: Part(halves, conv(c // 2)),
    "gate": lambda c: Part(lambda x, a: x * a(x.mean((2, 3), keepdim=True)).sigmoid(), conv(c, c, 1, 1, 0)),
    "local gate": lambda c: Part(lambda x, a: x * a(x).sigmoid(), conv(c)),
    "slice": lambda c: Part(lambda x: x[..., 1:, :-1]),
    "every second": lambda c: Part(lambda x, a: a(x)[:, :, ::2, ::2], conv(c)),
    "nearest": lambda c: nn.Sequential(nn.Upsample(scale_factor=2), conv(c, stride=2)),
    "bilinear": lambda c: nn.Sequential(nn.Upsample(None, 2, "bilinear"), conv(c, stride=(1, 2)), nn.ReLU()),
    "transposed": lambda c: nn.ConvTranspose2d(c, c, 3, 2, 1),
    "u-turn": lambda c: Part(u_turn, conv(c), conv(2 * c, c)),
    "rows": lambda c: Part(in_rows, nn.LayerNorm(c), nn.Linear(c, 2 * c), nn.Linear(2 * c, c)),
    "reused": lambda c: Part(lambda x, a: a(F.relu(a(x))), conv(c)),
    "contrast": lambda c: nn.LocalResponseNorm(3, 0.5),
    "view overwritten": lambda c: Part(view_overwritten, conv(c)),
}  # fmt: skip
SIZES = [(23, 30), (31, 18), (40, 27)]


def jittered(net, seed=0, spread=None):
    draw = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=draw) + 0.5)
        elif value.is_floating_point():
            width = spread or (2 / max(1, value[0].numel())) ** 0.5
            value.copy_(torch.randn(value.shape, generator=draw) * (width if value.dim() > 1 else 0.3))
    return net.double().eval()


def random_net(names, seed=0, maps=4):
    """Parts of these names in order, with the end as the projected layer."""
    return jittered(
        nn.Sequential(conv(3, maps), *[PARTS[name](maps) for name in names], nn.Conv2d(maps, 5, 2), nn.ReLU()), seed
    )


def too_small(net, size):
    try:
        net(torch.zeros(1, 3, *size, dtype=torch.float64))
    except RuntimeError:
        return True
    return False


@pytest.mark.slow
@tried(70)
@given(
    draws.lists(draws.sampled_from(sorted(PARTS)), min_size=1, max_size=6),
    draws.sampled_from(SIZES),
    draws.sampled_from(RULES),
    draws.sampled_from([None, 1, 4]),
    draws.integers(0, 1000),
)
def test_parts_in_any_order(names, size, rule, chunk, seed):
    net = random_net(names, seed)
    if too_small(net, size):
        return
    layer = str(len(net) - 1)
    assert difference(net, layer, size, rule, 5, chunk) < 1e-11, names
    assert ("view overwritten" in names) == bool(read_graph(trace(net, size)).obstacles), names


@pytest.mark.parametrize("name", sorted(PARTS))
def test_every_part_between_convolutions(name):
    net = random_net([name, "max pool", name])
    for rule in RULES:
        assert difference(net, str(len(net) - 1), (33, 40), rule) < 1e-11


def reached(net, layer, size, place):
    """The pixels [h, w] with a gradient of a unit at this place, of any map."""
    pixels = torch.rand(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    outputs = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, args, output: outputs.append(output))
    net(pixels)
    hook.remove()
    return torch.autograd.grad(outputs[0][0, :, place[0], place[1]].sum(), pixels)[0][0].abs().sum(0) != 0


def inside(field, place, size):
    """The pixels [h, w] of the receptive field of the unit at this place; all of them where it is not known."""
    if field is None:
        return torch.ones(size, dtype=torch.bool)
    top, left, height, width = field.box(*place)
    rows, cols = torch.arange(size[0])[:, None], torch.arange(size[1])
    return (rows >= top) & (rows < top + height) & (cols >= left) & (cols < left + width)


@pytest.mark.slow
@tried(40)
@given(draws.lists(draws.sampled_from(sorted(PARTS)), min_size=1, max_size=5), draws.sampled_from(SIZES), draws.data())
def test_no_pixel_outside_the_field_has_a_gradient(names, size, data):
    net = random_net(names)
    if too_small(net, size):
        return
    layer, images = str(len(net) - 2), torch.zeros(1, 3, *size, dtype=torch.float64)
    height, width = maps_of(net, layer, images).shape[2:]
    place = data.draw(draws.integers(0, height - 1)), data.draw(draws.integers(0, width - 1))
    assert not (reached(net, layer, size, place) & ~inside(fields(net, size)[layer], place, size)).any(), names


DENSE = [  # parts without holes between the pixels that a unit sees, made linear below
    "convolution", "strided", "even kernel", "grouped", "mean pool", "padding", "batch norm", "residual", "branches",
    "residual in place", "halves", "slice", "reused",
]  # fmt: skip


def summing(net):
    """The net with positive weights, means in place of maxima and nothing in place of activations."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
            elif isinstance(child, nn.ReLU | nn.SiLU | nn.LeakyReLU | nn.ReLU6):
                setattr(module, name, nn.Identity())
    for name, value in net.state_dict().items():
        value.abs_().mul_(0 if name.endswith("running_mean") else 1)
    return net


@pytest.mark.slow
@tried(25)
@given(draws.lists(draws.sampled_from(DENSE), min_size=1, max_size=3), draws.integers(-2, 2))
def test_with_positive_weights_the_field_is_what_a_unit_sees(names, offset):
    """Of units in the middle; near a border, positions that a stride or a slice leaves out are in the field too."""
    size, net = (103, 120), summing(random_net(names))
    layer, images = str(len(net) - 2), torch.zeros(1, 3, *size, dtype=torch.float64)
    height, width = maps_of(net, layer, images).shape[2:]
    place = height // 2 + offset, width // 2 - offset
    assert torch.equal(reached(net, layer, size, place), inside(fields(net, size)[layer], place, size)), names
