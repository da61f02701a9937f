"""Dead maps and saturated units, of nets whose weights are set by hand."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from convscope.analyses.diagnosis.compute.activity import always_on_units, dead_units, unit_statistics, watched_layers
from convscope.models.build import build

ROWS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 3},
    "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
    "fc2": {"kind": "full", "units": 8, "dropout": 0.5},
    "fc3": {"kind": "full", "units": "classes"},
}


def by_hand():
    """conv1: maps 2 and 5 are off, the others one; fc2: unit 0 never, unit 1 always, unit 2 for bright images."""
    net = build(ROWS, 8, 3).eval()
    for weight in net.parameters():
        weight.data.zero_()
    net.conv1.bias.data.fill_(1)
    net.conv1.bias.data[[2, 5]] = -1
    net.conv1.weight.data[0, 0, 1, 1] = 1  # map 0 follows the first color
    net.fc2.bias.data.fill_(-1)
    net.fc2.bias.data[1] = 1
    net.fc2.weight.data[2, 0] = 0.5
    net.fc3.weight.data[0, 2] = 1000
    return net


def images(*levels):
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)


def test_what_no_image_excites_is_dead_and_what_every_image_does_is_always_on():
    net = by_hand()
    layers = watched_layers(net, 8)
    assert [(watch.layer, watch.kind, watch.rectified) for watch in layers] == [
        ("conv1", "maps", True),
        ("fc2", "units", True),
    ]
    statistics = unit_statistics(net, [images(0.0, 3.0), images(5.0, -7.0)], layers)
    assert dead_units(statistics.layers["conv1"], True).tolist() == [2, 5]
    assert dead_units(statistics.layers["fc2"], True).tolist() == [0, 3, 4, 5, 6, 7]
    assert always_on_units(statistics.layers["fc2"]).tolist() == [1]
    assert statistics.layers["fc2"].on.tolist() == [0, 1, 0.5, 0, 0, 0, 0, 0]
    assert statistics.sure == 0.5  # unit 2 is on for two images, by 1 and 2, and weighs a thousand
    assert not net.training


class Clamped(nn.Module):
    def forward(self, x):
        return x.clamp(min=0)


@pytest.mark.parametrize("relu", [nn.ReLU(), nn.ReLU6(), Clamped()])
def test_batch_normalization_is_part_of_what_excites(relu):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), relu, nn.Flatten(), nn.Linear(4 * 36, 5), relu, nn.Linear(5, 2)
    ).eval()
    net[0].weight.data.abs_()
    net[1].bias.data[1] = -1000
    layers = watched_layers(net, 8)
    assert [(watch.layer, watch.module, watch.rectified) for watch in layers] == [("0", "1", True), ("4", "4", True)]
    assert dead_units(unit_statistics(net, [images(1.0, 2.0)], layers).layers["0"], True).tolist() == [1]


def test_what_nothing_rectifies_is_dead_only_if_it_is_constant():
    net = resnet18(num_classes=4).eval()
    net.layer1[0].bn2.weight.data[3] = 0
    layers = {watch.layer: watch for watch in watched_layers(net, 64)}
    assert layers["conv1"].module == "bn1" and layers["conv1"].rectified
    assert layers["layer1.0.conv2"].module == "layer1.0.bn2" and not layers["layer1.0.conv2"].rectified
    statistics = unit_statistics(net, [torch.randn(2, 3, 64, 64)], layers.values())
    assert dead_units(statistics.layers["layer1.0.conv2"], False).tolist() == [3]


def test_a_timm_net_whose_norms_rectify():
    timm = pytest.importorskip("timm")
    net = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=4).eval()
    layers = watched_layers(net, 64)
    assert layers[0].layer == "conv_stem" and layers[0].rectified
    statistics = unit_statistics(net, [torch.randn(4, 3, 64, 64)], layers)
    assert len(statistics.layers["conv_stem"].on) == net.conv_stem.out_channels


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="no images to judge a net by"):
        unit_statistics(by_hand(), [], watched_layers(by_hand(), 8))
