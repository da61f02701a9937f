"""Crops that share steps against separate passes in double precision, for random nets and library nets."""

import random

import pytest
import torch
from torch import nn
from torchvision import models

from convscope.engine.multicrop import corner_and_center_crops, grid_crops, multi_crop_probabilities, shared_scores
from convscope.engine.sharing import share_steps
from convscope.engine.trace import trace
from convscope.models.build import build
from engine.specimens import odd_net, row_net


def corners(margin):
    middle = margin // 2
    return [(0, 0), (0, margin), (margin, 0), (margin, margin), (middle, middle)]


def grid(margin):
    """Steps of a quarter of the margin, rounded down, by counting and not by the formula of the crops."""
    steps = [max(whole for whole in range(margin + 1) if 4 * whole <= margin * part) for part in range(5)]
    return [(top, left) for top in steps for left in steps]


def by_hand(net, images, size, places):
    """Mean softmax of hand-cut crops, one image and one crop at a time."""
    means = []
    for image in images:
        crops = [
            view[:, top : top + size, left : left + size] for view in (image, image.flip(2)) for top, left in places
        ]
        means.append(torch.stack([net(crop[None].clone())[0].exp() / net(crop[None].clone()).exp().sum()
                                  for crop in crops]).mean(0))  # fmt: skip
    return torch.stack(means)


def pixels(count, side, seed=0):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.no_grad()
def check(net, size, side, crops=corner_and_center_crops, places=corners):
    images = pixels(2, side)
    probabilities = multi_crop_probabilities(net, size, side, crops(side, size))(images)
    torch.testing.assert_close(probabilities, by_hand(net, images, size, places(side - size)), rtol=1e-9, atol=1e-12)


def chain(seed, size):
    """A random net without branches: kernels, strides, padding, dilation, groups and pools."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layers, maps = [], 3
    for _ in range(draw.randint(2, 5)):
        kind = draw.choice(["conv", "conv", "max", "average", "norm"])
        kernel, stride = draw.randint(1, 4), draw.choice([1, 1, 2, 2, 3])
        if kind == "conv":
            padding = draw.choice(["same", 0, 1, kernel, (0, 2)])
            stride = 1 if padding == "same" else stride
            dilation, groups = draw.choice([1, 1, 2]), draw.choice([1, 1, 2]) if maps % 2 == 0 else 1
            layers.append(nn.Conv2d(maps, 6, kernel, stride, padding, dilation, groups))
            layers.append(draw.choice([nn.ReLU(inplace=True), nn.GELU(), nn.BatchNorm2d(6), nn.LocalResponseNorm(3)]))
            maps = 6
        elif kind == "max":
            layers.append(nn.MaxPool2d(kernel, stride, draw.randint(0, kernel // 2), 1, ceil_mode=draw.random() < 0.5))
        elif kind == "average":
            layers.append(nn.AvgPool2d(kernel, stride, draw.choice([0, kernel // 2])))
        else:
            layers.append(nn.BatchNorm2d(maps))
    body = nn.Sequential(*layers).double().eval()
    with torch.no_grad():
        inputs = body(torch.zeros(1, 3, size, size, dtype=torch.float64)).flatten(1).shape[1]
    net = nn.Sequential(body, nn.Flatten(), nn.Dropout(), nn.Linear(inputs, 5)).double().eval()
    for name, value in net.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 2)
    return net


class Branches(nn.Module):
    """Two ways to smaller maps, added or joined; with a gate over the whole map, or numbers for each position."""

    def __init__(self, draw, inputs):
        super().__init__()
        stride, kernel, dilation = draw.choice([1, 2]), draw.choice([1, 2, 3, 5]), draw.choice([1, 2])
        extent = (kernel - 1) * dilation + 1
        self.conv = nn.Conv2d(inputs, 6, kernel, stride, extent // 2, dilation, groups=draw.choice([1, 3]))
        self.short = draw.choice(
            [nn.Conv2d(inputs, 6, 1, stride), nn.MaxPool2d(3, stride, 1), nn.AvgPool2d(3, stride, 1)]
        )
        self.after = draw.choice([nn.ReLU(inplace=True), nn.BatchNorm2d(6), nn.GELU()])
        self.how = draw.choice(["add", "add", "join", "shuffle", "scaled", "swapped"])

    def forward(self, x):
        y, short = self.conv(x), self.short(x)
        sides = [min(pair) for pair in zip(y.shape[2:], short.shape[2:], strict=True)]
        y, short = y[:, :, : sides[0], : sides[1]], short[:, :, : sides[0], : sides[1]]
        if self.how == "join":
            return self.after(torch.cat([y, short], 1)[:, 2:8])
        if self.how == "shuffle":
            first, second = y.chunk(2, 1)
            return self.after(nn.functional.channel_shuffle(torch.cat([second, first], 1), 2) + short)
        if self.how == "swapped":
            y = nn.functional.layer_norm(y.permute(0, 2, 3, 1), (6,)).permute(0, 3, 1, 2)
        y = self.after(y)
        y += short * 0.5 if self.how == "scaled" else short
        return y


class Gated(nn.Module):
    """A gate over the whole map, or a number for each position: neither is shared."""

    def __init__(self, size, how):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 6, 3)
        self.how, side = how, (size - 3) // 2 + 1
        self.numbers, self.head = nn.Parameter(torch.randn(1, 1, side, side)), nn.Linear(6 * (side - 2) ** 2, 5)

    def forward(self, x):
        x = self.first(x).relu()
        gate = x.mean((2, 3), keepdim=True).sigmoid() if self.how == "gate" else self.numbers
        x = torch.cat([x[:, :5], self.numbers.expand(len(x), -1, -1, -1)], 1) if self.how == "joined" else x * gate
        return self.head(self.second(x).flatten(1))


def branches(seed, size):
    """A random net with branches that ends in linear layers."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(3, 6, 3, draw.choice([1, 2]), 1), *(Branches(draw, 6) for _ in range(draw.randint(1, 3)))
    )
    body = body.double().eval()
    with torch.no_grad():
        inputs = body(torch.zeros(1, 3, size, size, dtype=torch.float64)).flatten(1).shape[1]
    return nn.Sequential(body, nn.Flatten(), nn.Linear(inputs, 5)).double().eval()


@torch.no_grad()
def check_sharing(net, size, side, crops, count):
    """The scores of crops that share `count` steps against those of each crop alone; returns the sharing."""
    images = pixels(2, side)
    sharing = share_steps(net, size, side, crops, count)
    scores = shared_scores(sharing, images.clone())
    for own, (top, left) in zip(scores, crops, strict=True):
        expected = net(images[:, :, top : top + size, left : left + size].clone())
        torch.testing.assert_close(own, expected, rtol=1e-11, atol=1e-12)
    return sharing


def shares_inside(sharing):
    """Whether a crop has a map with a border that is computed anew, inside the whole image's map."""
    areas = [area for step in sharing.shared for area in step.areas if area]
    return any(span.low > 0 and span.start > 0 for area in areas for span in area)


@pytest.mark.parametrize("make", [chain, branches])
def test_random_nets(make):
    inside, shared = 0, 0
    for seed in range(24):
        draw = random.Random(1000 + seed)
        size, margin = draw.randint(24, 40), draw.choice([4, 8, 12, 16, 7])
        net, crops = make(seed, size), corner_and_center_crops(size + margin, size)
        sharing = check_sharing(net, size, size + margin, crops, count=99)
        check_sharing(net, size, size + margin, crops, count=draw.randint(0, len(sharing.shared)))
        inside, shared = inside + shares_inside(sharing), shared + (len(sharing.shared) > 2)
    assert inside > 8 and shared > 12  # else passes are compared with passes


@pytest.mark.parametrize("how", ["gate", "numbers", "joined"])
def test_what_differs_from_crop_to_crop_is_not_shared(how):
    torch.manual_seed(0)
    net = Gated(32, how).double().eval()
    sharing = check_sharing(net, 32, 40, corner_and_center_crops(40, 32), count=99)
    assert 2 <= len(sharing.shared) < len(sharing.shared + sharing.alone + sharing.together) - 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "googlenet", "shufflenet_v2_x0_5"])
def test_library_nets_that_branch(name):
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}
    net = models.get_model(name, num_classes=6, **options).double().eval()
    sharing = check_sharing(net, 96, 128, corner_and_center_crops(128, 96), count=999)
    assert shares_inside(sharing)


@pytest.mark.parametrize("size, side", [(96, 110), (96, 112), (64, 73), (96, 128), (96, 96)])
def test_row_nets(size, side):
    check(row_net(size), size, side)
    check_sharing(row_net(size), size, side, corner_and_center_crops(side, size), count=99)


@pytest.mark.parametrize("make", [chain, branches])
def test_fifty_crops_of_random_nets(make):
    for seed in range(6):
        draw = random.Random(2000 + seed)
        size, margin = draw.randint(24, 36), draw.choice([8, 16, 7])
        check_sharing(make(seed, size), size, size + margin, grid_crops(size + margin, size), count=99)


@pytest.mark.parametrize("size, side", [(64, 80), (64, 73), (64, 66), (64, 64)])
def test_fifty_crops_of_a_row_net(size, side):
    """The last two have fewer than five positions along an edge: equal crops count several times."""
    check(row_net(size), size, side, grid_crops, grid)


@pytest.mark.slow
def test_fifty_crops_of_a_net_that_branches():
    torch.manual_seed(0)
    net = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=6)
    check_sharing(net.double().eval(), 64, 80, grid_crops(80, 64), count=999)


def test_a_net_of_odd_steps():
    net = odd_net()
    with torch.no_grad():
        inputs = net(pixels(1, 48)).flatten(1).shape[1]
    net = nn.Sequential(net, nn.Flatten(), nn.Linear(inputs, 4)).double().eval()
    check_sharing(net, 48, 56, corner_and_center_crops(56, 48), count=99)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_library_nets(name):
    """As the program calls it: sharing only where it pays."""
    torch.manual_seed(0)
    check(models.get_model(name, num_classes=6).double().eval(), 64, 72)


def test_zfnet_shares_its_lower_layers():
    """Offsets 0, 16, 32 of 224 in 256 are multiples of 16, the stride up to pool2."""
    rows = {
        "conv1": {"kind": "conv", "maps": 8, "kernel": 7, "stride": 2, "padding": 1},
        "pool1": {"kind": "pool", "kernel": 3, "stride": 2, "padding": 1},
        "conv2": {"kind": "conv", "maps": 8, "kernel": 5, "stride": 2},
        "pool2": {"kind": "pool", "kernel": 3, "stride": 2, "padding": 1},
        "pool3": {"kind": "pool", "kernel": 13, "stride": 13},
        "fc": {"kind": "full", "units": "classes"},
    }
    net, places = build(rows, 224, 5).eval(), corner_and_center_crops(256, 224)
    pool = trace(net, 224).layer("pool2").output
    for sharing in (share_steps(net, 224, 256, places, 6), share_steps(net, 224, 256, places)):
        assert all(all(step.areas) for step in sharing.shared[:6])
    assert pool in {step.of_crop.output.number for step in share_steps(net, 224, 256, places, 6).shared}


def test_the_five_places():
    assert corner_and_center_crops(256, 224) == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]


def test_the_twenty_five_places():
    places = grid_crops(256, 224)
    assert places[:6] == [(0, 0), (0, 8), (0, 16), (0, 24), (0, 32), (8, 0)] and places[-1] == (32, 32)
    assert set(corner_and_center_crops(256, 224)) <= set(places) and len(set(places)) == 25
