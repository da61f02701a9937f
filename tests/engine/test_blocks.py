"""Default layers against the stages of each net by hand."""

import pytest
import torch
import torchvision
from torch import nn

from convscope.engine.blocks import default_layers
from convscope.models.build import build

STAGES = {  # as their papers and makers name them
    "resnet18": "relu layer1 layer2 layer3 layer4",
    "densenet121": "features.relu0 " + " ".join(f"features.denseblock{number}" for number in range(1, 5)),
    "googlenet": "conv1 conv3 inception3b inception4e inception5b",
    "mobilenet_v2": "features.1 features.3 features.6 features.13 features.18",
    "efficientnet_b0": "features.1 features.2 features.3 features.5 features.8",
    "regnet_x_400mf": "stem " + " ".join(f"trunk_output.block{number}" for number in range(1, 5)),
    "shufflenet_v2_x0_5": "conv1 stage2 stage3 stage4 conv5",
    "convnext_tiny": "features.1 features.3 features.5 features.7",
    "squeezenet1_0": "features.1 features.5 features.10 features.12",
    "alexnet": "features.1 features.4 features.7 features.9 features.11",
    "vgg11": "features.1 features.4 features.9 features.14 features.19",
    "vit_b_16": "conv_proj",
}


@pytest.mark.parametrize("name", STAGES)
def test_stages_of_torchvisions_nets(name):
    with torch.device("cpu" if name == "regnet_x_400mf" else "meta"):  # which computes its sizes with tensors
        net = torchvision.models.get_model(name, num_classes=3)
        assert default_layers(net, 224) == STAGES[name].split()


def test_the_mixed_layers_of_inception():
    with torch.device("meta"):
        net = torchvision.models.inception_v3(num_classes=3, aux_logits=False, init_weights=False)
        assert default_layers(net, 299)[-3:] == ["Mixed_5d", "Mixed_6e", "Mixed_7c"]


def test_stages_whose_maps_lie_last():
    with torch.device("meta"):
        assert default_layers(torchvision.models.swin_t(num_classes=3), 224) == [f"features.{n}" for n in (1, 3, 5, 7)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", "act1 layer1 layer2 layer3 layer4"),
        ("convnext_atto", "stages.0 stages.1 stages.2 stages.3"),
        ("repvgg_a0", "stem stages.0 stages.1 stages.2 final_conv"),
        ("swin_tiny_patch4_window7_224", "layers.0 layers.1 layers.2 layers.3"),
        ("vit_tiny_patch16_224", "patch_embed.proj"),  # its blocks put out tokens
    ],
)
def test_timm_names_its_stages(name, expected):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        assert default_layers(timm.create_model(name, num_classes=3), 224) == expected.split()


def test_the_convolutions_of_a_row_net():
    rows = {
        "a": {"kind": "conv", "maps": 4, "kernel": 3},
        "p": {"kind": "pool", "kernel": 2, "stride": 2},
        "b": {"kind": "conv", "maps": 4, "kernel": 3},
        "f": {"kind": "full", "units": "classes"},
    }
    assert default_layers(build(rows, 20, 3), 20) == ["a", "b"]


class Reparametrized(nn.Module):
    """RepVGG's block: a 3x3 and a 1x1 branch, added and rectified."""

    def __init__(self, inputs, maps, stride):
        super().__init__()
        self.wide, self.point = nn.Conv2d(inputs, maps, 3, stride, 1), nn.Conv2d(inputs, maps, 1, stride)

    def forward(self, x):
        return (self.wide(x) + self.point(x)).relu_()


class Gated(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.expand, self.gate, self.project = nn.Conv2d(maps, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, maps, 1)

    def forward(self, x):
        y = self.expand(x).relu()
        return x + self.project(y * self.gate(y.mean((2, 3), keepdim=True)).sigmoid())


def test_no_branch_gate_or_squeeze_is_shown():
    net = nn.Sequential(
        Reparametrized(3, 6, 2), Reparametrized(6, 6, 1), Reparametrized(6, 8, 2), Gated(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    assert default_layers(net, 32) == ["1", "3"]


def test_a_net_in_a_wrapper_has_the_same_layers():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = torchvision.models.resnet18(num_classes=3)

        def forward(self, x):
            return self.backbone(x)

    with torch.device("meta"):
        assert default_layers(Wrapped(), 64) == [f"backbone.{path}" for path in STAGES["resnet18"].split()]


def test_a_deep_chain_of_one_size_shows_its_last_layer_alone_and_a_short_one_all():
    def chain(count):
        pairs = [part for _ in range(count) for part in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())]
        return nn.Sequential(*pairs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))

    assert default_layers(chain(5), 16) == ["1", "3", "5", "7", "9"]
    assert default_layers(chain(7), 16) == ["13"]


def test_maps_as_the_nets_answer():
    """Without a classifier the last convolution gives no classes, but maps."""
    assert default_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)), 16) == ["1", "2"]
