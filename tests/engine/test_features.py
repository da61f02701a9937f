"""Features against the same layers called by hand."""

import pytest
import torch
from torch import nn

from convscope.engine.features import features
from convscope.errors import UserError


class Twice(nn.Module):
    """One layer that runs twice, and one with a pair as its output."""

    def __init__(self):
        super().__init__()
        self.shared, self.pair = nn.Conv2d(3, 3, 1), nn.LSTM(3, 3)

    def forward(self, images):
        return self.shared(self.shared(images)).mean((2, 3)) + self.pair(images.mean(3).transpose(1, 2))[0][:, 0]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(180, 4)
    )


@pytest.fixture
def images():
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_values_are_as_the_layer_put_them_out_before_a_relu_in_place(net, images):
    result = features(net, images, ["0", "1", "2"])
    with torch.no_grad():
        first = net[0](images)
        second = (first - 0) / (1 + net[1].eps) ** 0.5  # a fresh normalization in eval mode: mean 0, variance 1
    assert torch.allclose(result.layers["0"], first, atol=1e-6)
    assert torch.allclose(result.layers["1"], second, atol=1e-6) and (result.layers["1"] < 0).any()
    assert torch.allclose(result.layers["2"], second.clamp(min=0), atol=1e-6)
    with torch.inference_mode():
        assert torch.allclose(result.logits, net[5](result.layers["2"].flatten(1)), atol=1e-5)  # no dropout


def test_take_sees_the_output_at_once(net, images):
    result = features(net, images, ["1"], lambda output: (output < 0).float().mean((1, 2, 3)))
    assert result.layers["1"].shape == (3,) and (result.layers["1"] > 0).all()


def test_no_layers_give_logits(net, images):
    assert features(net, images, []).layers == {} and features(net, images, []).logits.shape == (3, 4)


def state(net):
    flags = {path: module.training for path, module in net.named_modules()}
    hooks = [len(module._forward_hooks) for module in net.modules()]
    return flags, hooks, {name: value.clone() for name, value in net.state_dict().items()}


def same(first, second):
    return first[:2] == second[:2] and all(torch.equal(first[2][name], second[2][name]) for name in first[2])


def test_the_net_is_left_as_it_was(net, images):
    net.train()
    net[3].eval()
    before = state(net)
    features(net, images, ["0", "1"])
    assert same(before, state(net))

    def fails(output):
        raise RuntimeError("in take")

    with pytest.raises(RuntimeError, match="in take"):
        features(net, images, ["0", "1"], fails)
    with pytest.raises(UserError):
        features(net, images, ["0", "nowhere"])
    with pytest.raises(RuntimeError):
        features(net, images[:, :2], ["0"])
    assert same(before, state(net))


def test_layers_that_have_no_features(net, images):
    with pytest.raises(UserError, match="no layer conv9 in this net; its layers: 0, 1, 2, 3, 4, 5"):
        features(net, images, ["0", "conv9"])
    with pytest.raises(
        UserError, match="layer shared runs several times in one pass, so it has no features; choose an"
    ):
        features(Twice(), images, ["shared"])
    with pytest.raises(UserError, match="layer pair puts out no single tensor, so it has no features; choose another"):
        features(Twice(), images, ["pair"])
    net[0].spare = nn.Linear(2, 2)
    with pytest.raises(UserError, match="layer 0.spare does not run by itself, so it has no features; choose another"):
        features(net, images, ["0", "0.spare"])


def test_a_repeated_layer_appears_once(net, images):
    result = features(net, images, ["2", "0", "2"])
    assert list(result.layers) == ["2", "0"]  # in the order asked for


def test_maps_that_lie_last_are_turned_round():
    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1)

    net = nn.Sequential(nn.Conv2d(3, 5, 3), Last(), nn.Flatten(), nn.Linear(5 * 8 * 6, 2))
    outputs = features(net, torch.randn(2, 3, 10, 8), ["0", "1"]).layers
    assert outputs["1"].shape == (2, 5, 8, 6) and torch.equal(outputs["0"], outputs["1"])
