"""Effective fields of nets whose gradient is known in closed form, and against autograd for every map by itself."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.analyses.receptive_field.compute import central_units, effective_fields, measure_epoch
from convscope.data.epoch_images import EpochImages
from convscope.engine.receptive_fields import fields
from convscope.errors import UserError
from convscope.models.build import build

NOISE = torch.randn(6, 3, 33, 33, generator=torch.Generator().manual_seed(0))


def uniform(kernel, layers, dilation=1, stride=1):
    """Convolutions of equal weights, one map each, whose maps stay as large as the image."""
    parts = []
    for number in range(layers):
        conv = nn.Conv2d(1 if number else 3, 1, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
        nn.init.constant_(conv.weight, 0.25)
        parts.append(conv)
    return nn.Sequential(*parts)


def profile(kernel, layers, dilation=1):
    """The gradient along one axis: the kernel with itself, again and again (numpy)."""
    row = np.zeros((kernel - 1) * dilation + 1)
    row[::dilation] = 1
    whole = np.ones(1)
    for _ in range(layers):
        whole = np.convolve(whole, row)
    return whole


def side_of(energy):
    """By counting: the smallest centered square of an odd square of energies with 95 % of them."""
    middle = len(energy) // 2
    for half in range(middle + 1):
        inside = energy[middle - half : middle + half + 1, middle - half : middle + half + 1].sum()
        if inside >= 0.95 * energy.sum() - 1e-9:
            return 2 * half + 1
    raise AssertionError


@pytest.mark.parametrize("kernel, layers, dilation", [(3, 1, 1), (3, 5, 1), (5, 3, 1), (3, 3, 2), (1, 4, 1)])
def test_linear_convolutions_of_equal_weights_have_the_energy_of_repeated_convolution(kernel, layers, dilation):
    net = uniform(kernel, layers, dilation)
    name = str(layers - 1)
    field = effective_fields(net, NOISE, [name])[name]
    row = profile(kernel, layers, dilation)
    expected = np.outer(row, row) ** 2
    start = 16 - len(row) // 2
    heat = np.zeros((33, 33))
    heat[start : start + len(row), start : start + len(row)] = expected / expected.sum()
    assert field.heat == pytest.approx(heat, abs=1e-7)
    assert field.unit.side == field.visible == len(row)
    assert field.side == side_of(expected) and field.share == field.side / len(row)
    distance = np.arange(len(row)) - len(row) // 2
    assert field.spread == pytest.approx(np.sqrt((row**2 * distance**2).sum() / (row**2).sum()), abs=1e-4)
    assert field.interval().low == field.interval().high == field.side  # all images have the same gradient


def test_a_map_at_a_time_by_autograd_gives_the_same_energy_on_average():
    """Random signs are right on average: over copies of one image they come close to the sum over the maps."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU())
    image = NOISE[:1, :, :21, :25].clone().requires_grad_()
    maps = net(image)
    row, col = 3, 4  # of 8 x 10: the first of the units whose fields are nearest to the middle
    exact = torch.zeros(21, 25)
    for number in range(4):
        exact += torch.autograd.grad(maps[0, number, row, col], image, retain_graph=True)[0][0].square().sum(0)
    field = effective_fields(net, image.detach().expand(400, -1, -1, -1), ["3"])["3"]
    assert (field.unit.row, field.unit.col) == (row, col)
    assert np.abs(field.heat - (exact / exact.sum()).numpy()).sum() < 0.1
    outside = exact.numpy() == 0
    assert outside.any() and not field.heat[outside].any()


def test_the_unit_is_the_one_in_the_middle_and_its_box_that_of_the_engine():
    net = build(
        {
            "conv1": {"kind": "conv", "maps": 3, "kernel": 5, "stride": 2, "padding": 1},
            "pool1": {"kind": "pool", "kernel": 3, "stride": 2},
            "conv2": {"kind": "conv", "maps": 3, "kernel": 3, "padding": 1},
            "fc3": {"kind": "full", "units": "classes"},
        },
        32, 4,
    )  # fmt: skip
    (unit, whole), _ = central_units(net, (3, 32, 32), ["conv2", "fc3"])
    field = fields(net, (3, 32, 32))["conv2"]
    boxes = {(row, col): field.box(row, col) for row in range(7) for col in range(7)}
    middles = {place: (box.top + (box.height - 1) / 2, box.left + (box.width - 1) / 2) for place, box in boxes.items()}
    away = {place: abs(row - 15.5) + abs(col - 15.5) for place, (row, col) in middles.items()}
    assert away[unit.row, unit.col] == min(away.values()) and unit.box == boxes[unit.row, unit.col]
    assert unit.center == middles[unit.row, unit.col]
    assert (whole.box, whole.center, whole.side) == (None, (15.5, 15.5), None)


def test_layers_that_see_everything_have_the_image_as_their_field():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    measured = effective_fields(net, NOISE[:, :, :20, :16], ["0", "1", "3"])
    assert measured["0"].visible == 3
    for layer in ("1", "3"):
        assert measured[layer].unit.box is None and measured[layer].visible == 20
        assert measured[layer].side == 20  # 95 % of a uniform field reaches to the last pixels of the long side
        inner = measured[layer].heat[1:-1, 1:-1]
        assert inner == pytest.approx(np.full_like(inner, inner.mean()), rel=1e-3)


def test_a_layer_whose_maps_are_all_off_has_no_field_and_images_are_counted():
    net = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.ReLU())
    nn.init.constant_(net[0].weight, 0.1)
    nn.init.zeros_(net[0].bias)
    images = torch.stack([torch.ones(3, 9, 9), -torch.ones(3, 9, 9)])
    half = effective_fields(net, images, ["1"])["1"]
    assert half.silent == 1 and len(half.within) == 1 and half.heat.sum() == pytest.approx(1)
    off = effective_fields(net, images[1:], ["1"])["1"]
    assert off.silent == 1 and np.isnan(off.side) and np.isnan(off.interval().value) and not off.heat.any()


def test_random_weights_of_more_layers_use_a_smaller_share_of_a_growing_field():
    """Luo et al.: with random weights the side grows about as the root of the depth, the theoretical one as depth."""
    torch.manual_seed(0)
    parts = []
    for number in range(12):
        parts += [nn.Conv2d(3 if number == 0 else 12, 12, 3, padding=1), nn.ReLU()]
    net = nn.Sequential(*parts)
    layers = [str(2 * number + 1) for number in (0, 2, 5, 11)]
    measured = effective_fields(net, NOISE, layers)
    shares = [measured[layer].share for layer in layers]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 0.75 * shares[0]
    spreads = [measured[layer].spread for layer in layers]
    assert spreads == sorted(spreads)
    growth = spreads[3] / spreads[1]  # 4 times as many layers
    assert abs(growth - 2) < abs(growth - 4)


def test_in_place_layers_do_not_change_what_is_measured_below_them_nor_the_net():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 3), nn.Dropout()).train()
    apart = nn.Sequential(net[0], nn.ReLU(), net[2])
    state, numbers = torch.get_rng_state(), {name: value.clone() for name, value in net.state_dict().items()}
    with torch.inference_mode():
        measured = effective_fields(net, NOISE, ["0", "2"], seed=5)
    assert torch.equal(torch.get_rng_state(), state) and net.training and net[3].training
    assert all(value.grad is None for value in net.parameters())
    assert all(torch.equal(value, numbers[name]) for name, value in net.state_dict().items())
    expected = effective_fields(apart, NOISE, ["0", "2"], seed=5)
    assert all(np.array_equal(measured[layer].heat, expected[layer].heat) for layer in ("0", "2"))


def test_after_an_epoch_the_share_of_each_layer_is_a_column():
    net = uniform(3, 3)
    images = EpochImages(NOISE, (NOISE * 0).byte(), torch.zeros(6).long(), torch.arange(6))
    columns, memory = measure_epoch(net, images, ["0", "2"], {})
    assert columns == {"field/0": 1.0, "field/2": 5 / 7} and memory == {}


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.shared, self.unused = nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return self.shared(self.conv(self.shared(x))).flatten(1)


@pytest.mark.parametrize(
    "layer, message", [("convv", "no layer convv"), ("shared", "runs 2 times"), ("unused", "no layer unused")]
)
def test_layers_without_a_single_map_are_refused(layer, message):
    with pytest.raises(UserError, match=message):
        effective_fields(Twice(), NOISE, [layer])
