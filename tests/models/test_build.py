import pytest
import torch
from torch import nn

from convscope.errors import UserError
from convscope.models.build import build, he_, normal_

LAYERS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 5, "stride": 2, "padding": 1},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2, "ceil": True},
    "norm1": {"kind": "lrn", "size": 5, "alpha": 0.01, "beta": 0.75, "k": 2},
    "conv2": {"kind": "conv", "maps": 12, "kernel": 3, "padding": 1, "towers": 2},
    "fc3": {"kind": "full", "units": 20, "dropout": 0.5},
    "fc4": {"kind": "full", "units": "classes"},
}
WIDE_LAYERS = {  # weights enough for their deviation to be measured
    "conv1": {"kind": "conv", "maps": 64, "kernel": 7, "stride": 2},
    "conv2": {"kind": "conv", "maps": 64, "kernel": 5, "towers": 2, "bias": 0.5},
    "pool2": {"kind": "pool", "kernel": 3, "stride": 2},
    "fc3": {"kind": "full", "units": 256},
    "fc4": {"kind": "full", "units": "classes"},
}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build(LAYERS, 32, 7)


def modules_with(net):
    """The same net of torch's modules, in torch's memory layout."""
    names = ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2", "flat", "fc3", "relu3", "drop3", "fc4"]
    layers = [
        nn.Conv2d(3, 8, 5, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5, 0.05, 0.75, 2),
        nn.Conv2d(8, 12, 3, 1, 1, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(12 * 7 * 7, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 7),
    ]  # fmt: skip
    stock = nn.Sequential()
    for name, layer in zip(names, layers, strict=True):
        stock.add_module(name, layer)
    stock.load_state_dict(net.state_dict())  # rows give their names to the weights
    return stock


def test_logits_and_gradients_equal_those_of_torchs_modules(net):
    net.double(), net.eval()
    stock = modules_with(net).double().eval()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(net(images), stock(images), rtol=1e-12, atol=1e-12)
    for model in (net, stock):
        nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 6])).backward()
    for (name, ours), (_, theirs) in zip(net.named_parameters(), stock.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12, msg=name)


def test_dropout_is_the_same_in_training(net):
    images, stock = torch.randn(4, 3, 32, 32), modules_with(net).train()
    torch.manual_seed(1)
    ours = net.train()(images)
    torch.manual_seed(1)
    torch.testing.assert_close(ours, stock(images), rtol=1e-4, atol=1e-5)
    assert not torch.equal(ours, net(images))
    assert torch.equal(net.eval()(images), net(images))


def test_a_hook_on_a_row_sees_rectified_maps(net):
    outputs = {}
    for name, layer in net.named_children():
        layer.register_forward_hook(lambda layer, inputs, output, name=name: outputs.update({name: output}))
    net(torch.randn(2, 3, 32, 32))
    shapes = {name: tuple(output.shape[1:]) for name, output in outputs.items()}
    assert shapes == {
        "conv1": (8, 15, 15), "pool1": (8, 7, 7), "norm1": (8, 7, 7), "conv2": (12, 7, 7), "fc3": (20,), "fc4": (7,),
    }  # fmt: skip
    assert all(outputs[name].min() >= 0 for name in ("conv1", "conv2", "fc3")) and outputs["fc4"].min() < 0


def test_the_net_says_what_it_is_built_of(net):
    assert (net.image_size, net.classes, list(net.rows)) == (32, 7, list(LAYERS))
    assert build(net.layers, 32, 7).layers == net.layers
    assert net.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert "dropout=0.5" in repr(net.fc3) and "alpha=0.01" in repr(net.norm1)


def test_images_of_another_size_are_refused(net):
    message = "images of 3 x 40 x 40 for a net built for 3 x 32 x 32; set data.image_size=32"
    with pytest.raises(UserError, match=message):
        net(torch.zeros(1, 3, 40, 40))


@pytest.mark.parametrize("name", ["rows", "forward", "a.b"])
def test_a_name_that_a_row_cannot_have_is_refused(name):
    with pytest.raises(UserError, match=f"a row cannot be called {name}; rename it"):
        build({name: LAYERS["conv1"], "fc4": LAYERS["fc4"]}, 32, 7)


@pytest.fixture
def wide_net():
    torch.manual_seed(0)
    return build(WIDE_LAYERS, 24, 50)


def test_normal_weights_have_the_papers_deviation_and_zero_biases(wide_net):
    normal_(wide_net)
    for layer in (wide_net.conv1, wide_net.conv2, wide_net.fc3, wide_net.fc4):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0, abs=5e-4)
    assert wide_net.conv1.bias.eq(0).all() and wide_net.fc4.bias.eq(0).all()


def test_ones_and_the_bias_of_a_row(wide_net):
    normal_(wide_net, std=0.02, ones=("conv2", "fc3", "gone"))
    assert wide_net.fc3.bias.eq(1).all() and wide_net.conv1.bias.eq(0).all()
    assert wide_net.conv2.bias.eq(0.5).all()  # the row's own wins
    normal_(wide_net, bias=0.1)
    assert torch.allclose(wide_net.fc3.bias, torch.tensor(0.1)) and wide_net.conv2.bias.eq(0.5).all()


def test_ones_that_name_no_row_are_refused(wide_net):
    with pytest.raises(UserError, match="bias_ones: no row conv9, pool2 with weights; this net has conv1, conv2, fc3"):
        normal_(wide_net, ones=("conv9", "pool2"))


def test_he_keeps_the_size_of_the_signal_from_grey_levels_to_the_last_row(wide_net):
    he_(wide_net, pixel_std=58.0)
    assert wide_net.conv1.weight.std().item() == pytest.approx((2 / 147) ** 0.5 / 58, rel=0.05)
    assert wide_net.conv2.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.05)  # a tower sees 32 maps
    assert wide_net.fc4.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert wide_net.fc3.bias.eq(0).all() and wide_net.conv2.bias.eq(0.5).all()
    signal = wide_net.conv1(torch.randn(16, 3, 24, 24) * 58)
    assert signal.pow(2).mean().item() == pytest.approx(1, rel=0.2)


def test_the_same_seed_gives_the_same_weights(wide_net):
    torch.manual_seed(5)
    normal_(wide_net)
    first = wide_net.fc3.weight.clone()
    torch.manual_seed(5)
    normal_(wide_net)
    assert torch.equal(wide_net.fc3.weight, first)
