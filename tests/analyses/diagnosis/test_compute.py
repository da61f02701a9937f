"""The parts of a diagnosis put together, on rows and on torchvision's AlexNet, which is wrong in known ways."""

import pytest
import torch
from torch import nn
from torchvision.models import alexnet

from convscope.analyses.diagnosis.compute import (
    above_first,
    convolutions,
    diagnose_layers,
    grid_energy,
    grid_periods,
    without_border_units,
)
from convscope.analyses.diagnosis.compute.activity import unit_statistics, watched_layers
from convscope.engine.receptive_fields import AxisField, Field
from convscope.errors import UserError
from convscope.models.build import build
from engine.specimens import LAYERS


def examined(net, size, radius=0.1):
    layers = watched_layers(net, size)
    return diagnose_layers(net, layers, unit_statistics(net, [torch.randn(3, 3, size, size)], layers), radius)


def test_a_row_net_with_faults_made_by_hand():
    net = build(LAYERS, 96, 7).eval()
    net.conv1.weight.data[3] = 0
    net.conv1.bias.data[3] = -1
    net.conv1.weight.data[5] = 2 * net.conv1.weight.data[6]
    net.conv2.weight.data[:, 0] = 0.3
    diagnosis = examined(net, 96)
    assert list(diagnosis.maps) == ["conv1", "conv2", "conv3", "conv4"] and list(diagnosis.units) == ["fc5"]
    assert str(diagnosis.first) == "7x7 stride 2" and diagnosis.first.weak.tolist() == [3]
    assert diagnosis.first.doubles.same.tolist() == [[5, 6]]
    assert 3 in diagnosis.maps["conv1"].dead and diagnosis.maps["conv1"].maps == 8
    assert sum(diagnosis.first.bands[:3]) == pytest.approx(1, abs=1e-5)
    assert diagnosis.units["fc5"].units == 20 and 0 <= diagnosis.sure <= 1


def test_the_grids_of_zfnet_and_alexnet():
    assert grid_periods(build(LAYERS, 96, 7), 96, "conv1", "conv2") == [2, 4]
    net = alexnet(num_classes=5)
    assert convolutions(watched_layers(net, 64))[:2] == ["features.0", "features.3"]
    assert grid_periods(net, 64, "features.0", "features.3") == [4, 8]
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 2))
    assert grid_periods(net, 8, "0", "2") == []


def test_the_second_layer_is_none_beside_the_first():
    """A stem of a 3x3 and a 1x1 branch, as RepVGG's: the second layer takes what they put out."""

    class Stem(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.point, self.above = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3)

        def forward(self, x):
            return self.above((self.wide(x) + self.point(x)[..., 1:-1, 1:-1]).relu()).mean((2, 3))

    assert above_first(Stem(), 12, ["wide", "point", "above"]) == "above"
    assert above_first(Stem(), 12, ["wide", "point"]) is None


def test_projections_cut_off_by_the_border_are_left_out():
    field = Field(AxisField(5, 2, -1), AxisField(5, 2, -1))  # from -1, 1, 3, 5: to 3, 5, 7, 9 (exclusive: 4, 6, 8, 10)
    rows, cols = torch.tensor([[0, 1, 2], [3, 1, 2]]), torch.tensor([[1, 1, 2], [1, 3, 1]])
    inside = without_border_units(torch.ones(2, 3, 3, 5, 5), rows, cols, field, 8).amax((2, 3, 4))
    assert inside.tolist() == [[0, 1, 1], [0, 0, 1]]
    assert without_border_units(torch.ones(2, 3, 3, 5, 5), rows, cols, None, 8).all()


def test_maps_without_projections_do_not_count():
    tile = torch.randn(1, 1, 3, 4, 4).repeat(3, 9, 1, 8, 8)
    tile[1] = 0
    tile[2, 4:] = 0
    grid = grid_energy(tile, 4)
    assert len(grid.share) == 2 and grid.share.min() > 0.8
    assert grid_energy(torch.zeros(2, 9, 3, 32, 32), 4) is None and grid_energy(tile, 16) is None


def test_a_net_without_convolutions_is_refused():
    with pytest.raises(UserError, match="this net has no convolution, so it has no filters to judge"):
        convolutions(watched_layers(nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.ReLU(), nn.Linear(4, 2)), 4))
