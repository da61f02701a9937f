"""Crops that share convolutions against separate passes in double precision, for random chains and library nets."""

import random

import pytest
import torch
from torch import nn
from torchvision import models

from convscope.engine.multicrop import corner_and_center_crops, grid_crops, multi_crop_probabilities, share_stages
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


@pytest.mark.parametrize("seed", range(24))
def test_random_chains(seed):
    draw = random.Random(1000 + seed)
    size = draw.randint(24, 40)
    check(chain(seed, size), size, size + draw.choice([4, 8, 12, 16, 7]))


def test_the_random_chains_do_share():
    """Without sharing, the test above would compare passes with passes."""
    far = [share_stages(chain(seed, 32), 32, 40, corner_and_center_crops(40, 32)) for seed in range(24)]
    assert sum(len(sharing.areas) > 1 for sharing in far if sharing) > 5
    assert any(area and any(span.low > 0 and span.start > 0 for span in area)
               for sharing in far if sharing for areas in sharing.areas for area in areas)  # fmt: skip


@pytest.mark.parametrize("size, side", [(96, 110), (96, 112), (64, 73), (96, 128), (96, 96)])
def test_row_nets(size, side):
    check(row_net(size), size, side)


@pytest.mark.parametrize("seed", range(8))
def test_fifty_crops_of_random_chains(seed):
    draw = random.Random(2000 + seed)
    size = draw.randint(24, 36)
    check(chain(seed, size), size, size + draw.choice([8, 16, 7]), grid_crops, grid)


@pytest.mark.parametrize("size, side", [(64, 80), (64, 73), (64, 66), (64, 64)])
def test_fifty_crops_of_a_row_net(size, side):
    """The last two have fewer than five positions along an edge: equal crops count several times."""
    check(row_net(size), size, side, grid_crops, grid)


@pytest.mark.slow
def test_fifty_crops_of_a_net_that_branches():
    torch.manual_seed(0)
    check(models.get_model("resnet18", num_classes=6).double().eval(), 64, 72, grid_crops, grid)


def test_a_net_of_odd_steps():
    net = odd_net()
    with torch.no_grad():
        inputs = net(pixels(1, 48)).flatten(1).shape[1]
    check(nn.Sequential(net, nn.Flatten(), nn.Linear(inputs, 4)).double().eval(), 48, 56)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_library_nets(name):
    """A chain, and a net with branches, which goes one crop at a time."""
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
    net = build(rows, 224, 5).eval()
    sharing = share_stages(net, 224, 256, corner_and_center_crops(256, 224))
    assert sharing is not None and len(sharing.areas) >= 4
    assert all(area is not None for areas in sharing.areas[:4] for area in areas)


def test_the_five_places():
    assert corner_and_center_crops(256, 224) == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]


def test_the_twenty_five_places():
    places = grid_crops(256, 224)
    assert places[:6] == [(0, 0), (0, 8), (0, 16), (0, 24), (0, 32), (8, 0)] and places[-1] == (32, 32)
    assert set(corner_and_center_crops(256, 224)) <= set(places) and len(set(places)) == 25
