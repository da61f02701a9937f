"""Against the gradient's support: the pixels that change a unit when no weight is negative and every pool is a mean."""

import pytest
import torch
import torchvision
from torch import nn

from convscope.engine.receptive_fields import AxisField, Box, Field, fields
from convscope.models.build import build
from engine.specimens import norm_net

PAPER = {  # field and stride at 224 pixels
    "conv1": (7, 2), "pool1": (11, 4), "conv2": (27, 8), "pool2": (43, 16),
    "conv3": (75, 16), "conv4": (107, 16), "conv5": (139, 16), "pool5": (171, 32),
}  # fmt: skip
ALEXNET = {
    "conv1": (11, 4), "pool1": (19, 8), "conv2": (51, 8), "pool2": (67, 16),
    "conv3": (99, 16), "conv4": (131, 16), "conv5": (163, 16), "pool5": (195, 32),
}  # fmt: skip
PLACES = {"pool1": (0, 54), "conv2": (13, 25), "conv3": (6, 6), "conv5": (2, 12), "pool5": (5, 3)}


def conv(maps, kernel, stride=1, padding=0):
    return {"kind": "conv", "maps": maps, "kernel": kernel, "stride": stride, "padding": padding}


def pool(padding=0, ceil=False):
    return {"kind": "pool", "kernel": 3, "stride": 2, "padding": padding, "ceil": ceil}


def zfnet(**pools):
    rows = {"conv1": conv(8, 7, 2, 1), "pool1": pool(**pools), "conv2": conv(8, 5, 2), "pool2": pool(**pools)}
    rows |= {f"conv{n}": conv(8, 3, 1, 1) for n in (3, 4, 5)} | {"pool5": pool()}
    return build(rows | {"fc6": {"kind": "full", "units": "classes"}}, 224, 5)


def smooth(net):
    """Positive weights, and a mean in place of each maximum, so that every pixel in reach counts."""
    for parameter in net.parameters():
        parameter.data.uniform_(0.5, 1)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                window = (child.kernel_size, child.stride, child.padding)
                setattr(module, name, nn.AvgPool2d(*window, ceil_mode=child.ceil_mode))
    return net.eval().double()


def support(net, layer, size, place):
    """Rows and columns (first, last + 1) of the pixels with a gradient."""
    pixels = torch.rand(1, 3, *size, dtype=torch.float64).requires_grad_()
    maps = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, args, output: maps.append(output))
    net(pixels)
    hook.remove()
    grad = torch.autograd.grad(maps[0][0, :, place[0], place[1]].sum(), pixels)[0][0].abs().sum(0)
    rows, cols = grad.sum(1).nonzero()[:, 0], grad.sum(0).nonzero()[:, 0]
    return int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1


def visible(box, size):
    top, left, bottom, right = box.top, box.left, box.top + box.height, box.left + box.width
    return max(0, top), min(size[0], bottom), max(0, left), min(size[1], right)


def test_numbers_of_the_paper():
    net = zfnet(padding=1)
    net_fields = fields(net, 224)
    assert {name: net_fields[name].rows[:2] for name in PAPER} == PAPER
    assert net_fields["conv5"].rows == net_fields["conv5"].cols
    assert net_fields["fc6"] is None
    centers = {name: round(net_fields[name].rows.start + (net_fields[name].rows.size - 1) / 2) for name in PAPER}
    assert list(centers.values()) == [2, 2, 10, 10, 10, 10, 10, 26]


def test_numbers_of_alexnet():
    rows = {"conv1": conv(8, 11, 4, 2), "pool1": pool(), "conv2": conv(8, 5, 1, 2), "pool2": pool()}
    rows |= {f"conv{n}": conv(8, 3, 1, 1) for n in (3, 4, 5)} | {"pool5": pool()}
    net_fields = fields(build(rows | {"fc6": {"kind": "full", "units": "classes"}}, 224, 5), 224)
    assert {name: net_fields[name].rows[:2] for name in ALEXNET} == ALEXNET


@pytest.mark.parametrize("pools", [{"padding": 1}, {"ceil": True}])
@pytest.mark.parametrize("layer, place", PLACES.items())
def test_fields_of_a_row_net_are_the_gradients_support(pools, layer, place):
    net = zfnet(**pools)
    field = fields(net, 224)[layer]
    assert visible(field.box(*place), (224, 224)) == support(smooth(net), layer, (224, 224), place)


@pytest.mark.parametrize("layer, place", {"conv2": (3, 15), "pool2": (0, 4), "conv4": (5, 2)}.items())
def test_fields_of_rows_with_batch_norm_and_average_pools(layer, place):
    net = norm_net(64)
    field = fields(net, 64)[layer]
    assert visible(field.box(*place), (64, 64)) == support(smooth(net), layer, (64, 64), place)
    assert fields(net, 64)["mean5"] is None


class Branches(nn.Module):
    """A skip, branches of unequal reach that are joined, unequal axes, dilation, padding on one side."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, (3, 5), (2, 1), (1, 0))
        self.wide = nn.Conv2d(4, 4, 3, padding=4, dilation=4)
        self.narrow = nn.Conv2d(4, 4, 1)
        self.left = nn.Conv2d(4, 4, (1, 2))
        self.join = nn.Conv2d(12, 4, 2, 2)

    def forward(self, x):
        x = self.stem(x)
        left = self.left(nn.functional.pad(x, (1, 0)))
        return self.join(torch.cat([self.wide(x) + x, self.narrow(x)[:, :4], left], dim=1))


@pytest.mark.parametrize("layer", ["stem", "wide", "narrow", "left", "join"])
def test_unequal_axes_and_branches(layer):
    net, size = Branches(), (41, 52)
    field = fields(net, size)[layer]
    assert visible(field.box(7, 20), size) == support(smooth(net), layer, size, (7, 20))


KNOWN = {
    "resnet18": "layer2.1.conv2",
    "googlenet": "inception3b",
    "densenet121": "features.denseblock2.denselayer2.conv2",
    "convnext_tiny": "features.1.1",
    "shufflenet_v2_x0_5": "stage2.1",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_fields_of_known_nets_are_the_gradients_support(name):
    extra = {"init_weights": False} if name == "googlenet" else {}
    net, size = getattr(torchvision.models, name)(weights=None, **extra), (144, 176)
    field = fields(net, size)[KNOWN[name]]
    for norm in [module for module in net.modules() if isinstance(module, nn.LayerNorm)]:
        norm.forward = lambda x: x  # its derivative vanishes where all channels move alike
    assert visible(field.box(9, 11), size) == support(smooth(net), KNOWN[name], size, (9, 11))


@pytest.mark.slow
def test_what_mixes_all_positions_sees_the_whole_image():
    net_fields = fields(torchvision.models.mobilenet_v3_small(weights=None), 224)
    assert net_fields["features.0"] is not None
    assert net_fields["features.1.block.1.avgpool"] is None
    assert net_fields["features.2"] is None  # behind the first squeeze-and-excitation gate
    assert net_fields["classifier.0"] is None
    assert fields(torchvision.models.vit_b_16(weights=None), 224)["encoder"] is None


def test_reflected_borders_and_resized_maps_see_the_whole_image():
    reflect = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.Upsample(scale_factor=2))
    net_fields = fields(reflect, 16)
    assert net_fields == {"0": None, "1": None}
    assert fields(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2)), 16)["1"] is None


def test_box_may_leave_the_image():
    field = Field(AxisField(27, 8, -3), AxisField(11, 4, -1))
    assert field.box(0, 2) == Box(-3, 7, 27, 11)
