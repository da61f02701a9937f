import pytest
import torch

from convscope.errors import UserError
from convscope.models.build import build, he_, normal_

LAYERS = {
    "conv1": {"kind": "conv", "maps": 64, "kernel": 7, "stride": 2},
    "conv2": {"kind": "conv", "maps": 64, "kernel": 5, "towers": 2, "bias": 0.5},
    "pool2": {"kind": "pool", "kernel": 3, "stride": 2},
    "fc3": {"kind": "full", "units": 256},
    "fc4": {"kind": "full", "units": "classes"},
}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build(LAYERS, 24, 50)


def test_normal_weights_have_the_papers_deviation_and_zero_biases(net):
    normal_(net)
    for layer in (net.conv1, net.conv2, net.fc3, net.fc4):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0, abs=5e-4)
    assert net.conv1.bias.eq(0).all() and net.fc4.bias.eq(0).all()


def test_ones_and_the_bias_of_a_row(net):
    normal_(net, std=0.02, ones=("conv2", "fc3", "gone"))
    assert net.fc3.bias.eq(1).all() and net.conv1.bias.eq(0).all()
    assert net.conv2.bias.eq(0.5).all()  # the row's own wins
    normal_(net, bias=0.1)
    assert torch.allclose(net.fc3.bias, torch.tensor(0.1)) and net.conv2.bias.eq(0.5).all()


def test_ones_that_name_no_row_are_refused(net):
    with pytest.raises(UserError, match="bias_ones: no row conv9, pool2 with weights; this net has conv1, conv2, fc3"):
        normal_(net, ones=("conv9", "pool2"))


def test_he_keeps_the_size_of_the_signal_from_grey_levels_to_the_last_row(net):
    he_(net, pixel_std=58.0)
    assert net.conv1.weight.std().item() == pytest.approx((2 / 147) ** 0.5 / 58, rel=0.05)
    assert net.conv2.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.05)  # a tower sees 32 maps
    assert net.fc4.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert net.fc3.bias.eq(0).all() and net.conv2.bias.eq(0.5).all()
    signal = net.conv1(torch.randn(16, 3, 24, 24) * 58)
    assert signal.pow(2).mean().item() == pytest.approx(1, rel=0.2)


def test_the_same_seed_gives_the_same_weights(net):
    torch.manual_seed(5)
    normal_(net)
    first = net.fc3.weight.clone()
    torch.manual_seed(5)
    normal_(net)
    assert torch.equal(net.fc3.weight, first)
