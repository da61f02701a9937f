"""The parts of a diagnosis put together, on rows and on torchvision's AlexNet, which is wrong in known ways."""

import pytest
import torch
from torch import nn
from torchvision.models import alexnet

from convscope.analyses.diagnosis.compute import above_first, convolutions, diagnosis, grid_of_maps, periods, uncut
from convscope.analyses.diagnosis.compute.activity import activity, watched
from convscope.engine.receptive_fields import AxisField, Field
from convscope.errors import UserError
from convscope.models.build import build
from engine.specimens import LAYERS


def examined(net, size, radius=0.1):
    layers = watched(net, size)
    return diagnosis(net, layers, activity(net, [torch.randn(3, 3, size, size)], layers), radius)


def test_a_row_net_with_faults_made_by_hand():
    net = build(LAYERS, 96, 7).eval()
    net.conv1.weight.data[3] = 0
    net.conv1.bias.data[3] = -1
    net.conv1.weight.data[5] = 2 * net.conv1.weight.data[6]
    net.conv2.weight.data[:, 0] = 0.3
    found = examined(net, 96)
    assert list(found.maps) == ["conv1", "conv2", "conv3", "conv4"] and list(found.units) == ["fc5"]
    assert str(found.first) == "7x7 stride 2" and found.first.weak.tolist() == [3]
    assert found.first.doubles.same.tolist() == [[5, 6]]
    assert 3 in found.maps["conv1"].dead and found.maps["conv1"].maps == 8
    assert sum(found.first.bands[:3]) == pytest.approx(1, abs=1e-5)
    assert found.units["fc5"].units == 20 and 0 <= found.sure <= 1


def test_the_grids_of_zfnet_and_alexnet():
    assert periods(build(LAYERS, 96, 7), 96, "conv1", "conv2") == [2, 4]
    net = alexnet(num_classes=5)
    assert convolutions(watched(net, 64))[:2] == ["features.0", "features.3"]
    assert periods(net, 64, "features.0", "features.3") == [4, 8]
    one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 2))
    assert periods(one, 8, "0", "2") == []


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
    kept = uncut(torch.ones(2, 3, 3, 5, 5), rows, cols, field, 8).amax((2, 3, 4))
    assert kept.tolist() == [[0, 1, 1], [0, 0, 1]]
    assert uncut(torch.ones(2, 3, 3, 5, 5), rows, cols, None, 8).all()


def test_maps_without_projections_do_not_count():
    tile = torch.randn(1, 1, 3, 4, 4).repeat(3, 9, 1, 8, 8)
    tile[1] = 0
    tile[2, 4:] = 0
    found = grid_of_maps(tile, 4)
    assert len(found.share) == 2 and found.share.min() > 0.8
    assert grid_of_maps(torch.zeros(2, 9, 3, 32, 32), 4) is None and grid_of_maps(tile, 16) is None


def test_a_net_without_convolutions_is_refused():
    with pytest.raises(UserError, match="this net has no convolution, so it has no filters to judge"):
        convolutions(watched(nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.ReLU(), nn.Linear(4, 2)), 4))
