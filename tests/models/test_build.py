import pytest
import torch
from torch import nn

from convscope.errors import UserError
from convscope.models.build import build

LAYERS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 5, "stride": 2, "padding": 1},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2, "ceil": True},
    "norm1": {"kind": "lrn", "size": 5, "alpha": 0.01, "beta": 0.75, "k": 2},
    "conv2": {"kind": "conv", "maps": 12, "kernel": 3, "padding": 1, "towers": 2},
    "fc3": {"kind": "full", "units": 20, "dropout": 0.5},
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
