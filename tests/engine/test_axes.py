"""Rows and columns of every tensor against its shape for images of other sides."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from convscope.engine.axes import axes_of, layer_axes, maps_of, maps_shape
from convscope.engine.trace import trace


def by_other_sides(net, image):
    """By layer path the dimensions of the output that grow with the image's rows and with its columns."""
    traces = [trace(net, shape) for shape in (image, (3, 2 * image[1], image[2]), (3, image[1], 2 * image[2]))]
    axes = {}
    for path in traces[0].layers:
        shape, taller, wider = (net_trace.shapes[net_trace.layers[path].output] for net_trace in traces)
        grown = [[axis for axis in range(len(shape)) if sides[axis] != shape[axis]] for sides in (taller, wider)]
        if (
            len(shape) == 4
            and [len(grown_axes) for grown_axes in grown] == [1, 1]
            and 0 not in (grown[0][0], grown[1][0])
        ):
            axes[path] = (grown[0][0], grown[1][0])
    return axes


class Turning(nn.Module):
    """Moves dimensions by every function that moves them."""

    def __init__(self):
        super().__init__()
        self.conv, self.turned, self.tokens, self.mixed = (
            nn.Conv2d(3, 4, 1),
            nn.Identity(),
            nn.Identity(),
            nn.Identity(),
        )
        self.back, self.quarters, self.norm = nn.Identity(), nn.Identity(), nn.LayerNorm(4)
        self.part, self.swapped, self.lost = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x):
        x = self.conv(x)
        n, maps, height, width = x.shape
        turned = self.turned(x.permute(0, 2, 3, 1))
        tokens = self.tokens(self.norm(x.flatten(2).transpose(1, 2)))  # [N, h * w, C]
        mixed = self.mixed(F.linear(tokens, torch.eye(4)).view(n, height, width, maps))
        attended = torch.softmax(tokens @ tokens.transpose(1, 2), 2) @ tokens
        lost = self.lost(attended.reshape(n, height, width, maps))
        back = self.back((turned + lost).movedim(3, 1))
        quarters = back.reshape(n, maps, height // 2, 2, width // 2, 2).permute(0, 2, 4, 3, 5, 1).flatten(3)
        quarters = self.quarters(quarters)
        part = self.part(torch.cat([mixed[:, 1:], mixed[:, :1]], 1).roll(1, 2)[..., :3])
        return self.swapped(part.transpose(1, 2)).mean((1, 2)) + quarters.mean((1, 2))[:, :3]


def test_dimensions_are_followed_however_they_move():
    net = Turning()
    expected = by_other_sides(net, (3, 12, 20))
    axes = layer_axes(net, (3, 12, 20))
    assert set(expected) == {"conv", "turned", "mixed", "lost", "back", "quarters", "part", "swapped"}
    assert axes == expected
    assert axes["turned"] == (1, 2) and axes["swapped"] == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_tiny", "swin_t"])
def test_axes_of_torchvisions_nets(name):
    """The sides for Swin are multiples of 7 x 32, as its windows of attention need, with different rows and columns."""
    with torch.device("meta"):
        net = torchvision.models.get_model(name, num_classes=2)
        expected = by_other_sides(net, (3, 224, 448))
        net_trace = trace(net, (3, 224, 448))
        tensor_axes = axes_of(net_trace)
    axes = {path: tensor_axes.get(net_trace.layers[path].output) for path in expected}
    assert axes == expected and (1, 2) in axes.values() and (2, 3) in axes.values()


def test_maps_are_turned_round():
    values = torch.arange(120).view(2, 3, 4, 5)
    assert torch.equal(maps_of(values, (1, 2)), values.permute(0, 3, 1, 2))
    assert torch.equal(maps_of(values, (2, 1)), values.permute(0, 3, 2, 1))
    assert maps_of(values, None) is maps_of(values, (2, 3)) is values
    assert maps_shape((2, 3, 4, 5), (1, 2)) == (2, 5, 3, 4) and maps_shape((2, 3), None) == (2, 3)
