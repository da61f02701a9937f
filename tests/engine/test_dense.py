"""Dense evaluation against the net on each crop, for nets without padding."""

import pytest
import torch
from torch import nn
from torchvision import models

from convscope.engine.dense import dense_features, dense_probabilities
from convscope.errors import UserError
from convscope.models.build import build

ROWS = {  # stride 4 in all, nothing padded, nothing hangs over an edge
    "conv1": {"kind": "conv", "maps": 6, "kernel": 4, "stride": 2},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2},
    "norm1": {"kind": "lrn", "size": 3, "alpha": 0.1, "beta": 0.75, "k": 2},
    "conv2": {"kind": "conv", "maps": 6, "kernel": 3},
    "fc3": {"kind": "full", "units": 10, "dropout": 0.5},
    "fc4": {"kind": "full", "units": 9},
    "fc5": {"kind": "full", "units": "classes"},
}


def pixels(count, side):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@torch.no_grad()
def by_places(net, images, size, stride):
    """Mean class scores over all crops at multiples of the stride, then softmax, averaged with the mirror image's."""
    both = []
    for whole in (images, images.flip(3)):
        steps = range(0, images.shape[-1] - size + 1, stride)
        scores = [net(whole[:, :, top : top + size, left : left + size].clone()) for top in steps for left in steps]
        both.append(torch.stack(scores).mean(0).softmax(1))
    return (both[0] + both[1]) / 2


@pytest.mark.parametrize("side", [42, 50, 54])
def test_row_net_at_every_place(side):
    torch.manual_seed(0)
    net = build(ROWS, 42, 5).double().eval()
    images = pixels(2, side)
    with torch.no_grad():
        outputs = dense_probabilities(net, 42, side)(images)
    torch.testing.assert_close(outputs, by_places(net, images, 42, 4), rtol=1e-9, atol=1e-12)


def test_a_plain_library_net_with_an_adaptive_pool_that_does_nothing():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, 5), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
                        nn.Linear(64, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)).double().eval()  # fmt: skip
    images = pixels(2, 35)
    with torch.no_grad():
        torch.testing.assert_close(
            dense_probabilities(net, 20, 35)(images), by_places(net, images, 20, 5), rtol=1e-9, atol=1e-12
        )


def test_an_average_over_the_map_takes_larger_images_as_they_are():
    """The mean of the scores at all positions of the last map, computed from that map."""
    torch.manual_seed(0)
    net = models.get_model("resnet18", num_classes=4).double().eval()
    images = pixels(1, 96)
    body = nn.Sequential(*list(net.children())[:-2])
    with torch.no_grad():
        maps = [body(whole).permute(0, 2, 3, 1) for whole in (images, images.flip(3))]
        expected = torch.stack([net.fc(map_).mean((1, 2)).softmax(1) for map_ in maps]).mean(0)
        torch.testing.assert_close(dense_probabilities(net, 64, 96)(images), expected, rtol=1e-9, atol=1e-12)


def test_a_net_of_one_size_alone():
    torch.manual_seed(0)
    net = models.VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3).eval()
    with pytest.raises(UserError, match="no images of 36 pixels.*evaluate.crops=center"):
        dense_probabilities(net, 32, 36)


@torch.no_grad()
def penultimate_by_places(net, images, size, stride):
    """Input of the last linear layer for each crop of each image: mean over crops and mirror images."""
    layers = list(net.children())[:-1]
    vectors = []
    for image in images:
        features = []
        for whole in (image, image.flip(2)):
            steps = range(0, image.shape[-1] - size + 1, stride)
            for top, left in ((top, left) for top in steps for left in steps):
                x = whole[None, :, top : top + size, left : left + size].clone()
                for layer in layers:
                    x = layer(x)
                features.append(x[0].clone())
        vectors.append(torch.stack(features).mean(0))
    return torch.stack(vectors)


@pytest.mark.parametrize("side", [42, 50])
def test_dense_features_are_the_mean_over_every_place_and_the_mirror_image(side):
    torch.manual_seed(0)
    net = build(ROWS, 42, 5).double().eval()
    images = pixels(2, side)
    outputs = dense_features(net, 42, side)(images)
    assert outputs.shape == (2, 9)
    torch.testing.assert_close(outputs, penultimate_by_places(net, images, 42, 4), rtol=1e-9, atol=1e-12)


def test_dense_features_of_a_net_that_averages_its_last_map():
    torch.manual_seed(0)
    net = models.get_model("resnet18", num_classes=4).double().eval()
    images = pixels(1, 96)
    body = nn.Sequential(*list(net.children())[:-2])
    with torch.no_grad():
        expected = torch.stack([body(whole).mean((2, 3)) for whole in (images, images.flip(3))]).mean(0)
    torch.testing.assert_close(dense_features(net, 64, 96)(images), expected, rtol=1e-9, atol=1e-12)


def test_a_net_of_one_size_alone_has_no_dense_features():
    torch.manual_seed(0)
    net = models.VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3).eval()
    with pytest.raises(UserError, match="no images of 36 pixels.*transfer.features=layers"):
        dense_features(net, 32, 36)


class Forks(nn.Module):
    """Branches that meet, then linear layers, some side by side, on a flattened map; maps with their channels last."""

    def __init__(self, last=False):
        super().__init__()
        self.first, self.left, self.right = nn.Conv2d(3, 6, 4, 2), nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 1)
        self.pool, self.last = nn.MaxPool2d(3, 1), last
        self.one, self.two = nn.Linear(8 * 5 * 5, 6), nn.Linear(8 * 5 * 5, 6)
        self.norm, self.end = nn.BatchNorm1d(6), nn.Linear(12, 3)
        self.norm.running_mean.normal_()

    def forward(self, x):
        x = self.first(x).relu()
        x = torch.cat([self.left(x), self.pool(self.right(x))], 1)
        x = x[:, [1, 0, 2, 3, 4, 5, 6, 7]] if self.last is None else x
        x = (x.permute(0, 2, 3, 1) if self.last else x).reshape(-1, 8 * 5 * 5)
        one, two = self.norm(self.one(x)), self.two(x).sigmoid()
        return self.end(torch.cat([one + two, two], 1).relu())


@pytest.mark.parametrize("last", [False, True])
def test_branches_slide(last):
    torch.manual_seed(0)
    net = Forks(last).double().eval()
    images = pixels(2, 22)
    with torch.no_grad():
        outputs = dense_probabilities(net, 16, 22)(images)
    torch.testing.assert_close(outputs, by_places(net, images, 16, 2), rtol=1e-9, atol=1e-12)
    assert dense_features(net, 16, 22)(images).shape == (2, 12)


def test_a_net_of_convolutions_alone_slides():
    """The average of class maps over a window of the image's size."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AvgPool2d(7), nn.Flatten())
    net, images = net.double().eval(), pixels(2, 23)
    with torch.no_grad():
        outputs = dense_probabilities(net, 16, 23)(images)
        maps = [nn.functional.avg_pool2d(net[:3](both), 7).mean((2, 3)) for both in (images, images.flip(3))]
    expected = (maps[0].softmax(1) + maps[1].softmax(1)) / 2
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-12)


def test_a_step_that_cannot_slide():
    """Maps put in another order: the net would take no other size, so nothing is guessed."""
    net = Forks(last=None).double().eval()
    with pytest.raises(UserError, match="no images of 22 pixels"):
        dense_probabilities(net, 16, 22)
