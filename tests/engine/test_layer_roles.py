"""The paper's layers 1, 5 and 7 in many nets, by hand; outputs of rectified layers are not negative."""

import pytest
import torch
from torch import nn
from torchvision import models

from convscope.engine.features import features
from convscope.engine.layers import LayerRoles, are_pooled_away, layer_roles
from convscope.errors import UserError
from convscope.models.build import build

ROWS = {
    "conv1": {"kind": "conv", "maps": 4, "kernel": 3},
    "pool1": {"kind": "pool", "kernel": 2, "stride": 2},
    "conv2": {"kind": "conv", "maps": 4, "kernel": 3},
    "pool2": {"kind": "pool", "kernel": 2, "stride": 2},
    "fc3": {"kind": "full", "units": 6},
    "fc4": {"kind": "full", "units": 5},
    "fc5": {"kind": "full", "units": "classes"},
}
FOREIGN = {
    "alexnet": LayerRoles("features.1", "features.11", "classifier.5"),
    "vgg11_bn": LayerRoles("features.2", "features.27", "classifier.5"),
    "resnet18": LayerRoles("relu", "layer4", "avgpool"),
    "squeezenet1_1": LayerRoles("features.1", "features.12", "features.12"),  # but a dropout
    "googlenet": LayerRoles("conv1", "inception5b", "dropout"),
    "densenet121": LayerRoles("features.relu0", "features.denseblock4", "features"),
}


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ([], ("conv1", "conv2", "fc4")),
        (["fc4"], ("conv1", "conv2", "fc3")),
        (["fc3", "fc4"], ("conv1", "conv2", "pool2")),
        (["conv2", "pool2"], ("conv1", "conv1", "fc4")),
        (["conv2", "pool1", "pool2", "fc3", "fc4"], ("conv1", "conv1", "conv1")),
    ],
)
def test_row_nets_also_with_rows_removed(removed, expected):
    net = build({name: row for name, row in ROWS.items() if name not in removed}, 20, 3)
    assert layer_roles(net, 20) == expected


@pytest.mark.parametrize("name", FOREIGN)
def test_library_nets(name):
    with torch.device("meta"):
        net = models.get_model(name, num_classes=3)
        assert layer_roles(net, 64) == FOREIGN[name]


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn", "squeezenet1_1"])
def test_layers_are_rectified(name):
    torch.manual_seed(0)
    net = models.get_model(name, num_classes=3)
    images = torch.randn(2, 3, 64, 64)
    outputs = features(net, images, set(layer_roles(net, 64))).layers
    assert all((outputs[layer] >= 0).all() and (outputs[layer] == 0).any() for layer in outputs)


@pytest.mark.parametrize(
    ("name", "last"), [("alexnet", "classifier.6"), ("resnet18", "fc"), ("densenet121", "classifier")]
)
def test_the_classifier_takes_the_last_hidden_layer(name, last):
    """No weights are in between: layer_roles().last, rectified and averaged, is the classifier's input."""
    torch.manual_seed(0)
    net = models.get_model(name, num_classes=3)
    got = []
    net.get_submodule(last).register_forward_pre_hook(lambda module, args: got.append(args[0].clone()))
    layer = layer_roles(net, 64).last
    got.clear()
    values = features(net, torch.randn(2, 3, 64, 64), [layer]).layers[layer].relu()
    assert torch.allclose(values.flatten(2).mean(2) if values.dim() == 4 else values, got[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "expected"),
    [("squeezenet1_0", "features.12", True), ("densenet121", "features", True), ("resnet18", "layer1", True),
     ("resnet18", "avgpool", False), ("alexnet", "features.11", False)],  # alexnet: pools to 6 x 6 at 224 pixels
)  # fmt: skip
def test_maps_that_a_net_averages_later(name, layer, expected):
    with torch.device("meta"):
        assert are_pooled_away(models.get_model(name, num_classes=3), 64, layer) is expected
        assert not are_pooled_away(build(ROWS, 20, 3), 20, "conv2")


def test_a_first_layer_of_two_branches_is_what_brings_them_together():
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        layers = layer_roles(timm.create_model("repvgg_a0", num_classes=3), 64)
    assert layers == LayerRoles("stem", "final_conv", "head.drop")


def test_nets_without_convolutions():
    rows = {name: row for name, row in ROWS.items() if row["kind"] == "full"}
    with pytest.raises(
        UserError, match="this net has no convolution, so there are no maps to look at; add a row of kind"
    ):
        layer_roles(build(rows, 20, 3), 20)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(UserError, match="this net has no convolution, so there are no maps to look at; choose another"):
        layer_roles(net, 20)
    with pytest.raises(UserError, match="no convolution"):  # the only one there is tells the classes
        layer_roles(nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 20)
    with pytest.raises(UserError, match="no convolution"):  # nothing with weights at all
        layer_roles(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 20)
