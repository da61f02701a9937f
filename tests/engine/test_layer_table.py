"""Fields and strides against published numbers; sides against the shapes in a forward pass."""

import pytest
import torch
from torch import nn
from torchvision import models

from convscope.engine.layers import layer_summaries, layer_table
from convscope.models.build import build

FIELDS = {  # of the last convolution or pool: field and stride (Araujo et al. 2019, and by the recurrence by hand)
    "alexnet": ("features.12", 195, 32),
    "vgg16": ("features.30", 212, 32),
    "resnet18": ("layer4.1.conv2", 435, 32),
}


def sides_of_a_pass(net, image_size):
    """Shapes of every layer's output, by hooks."""
    shapes = {}
    for path, module in net.named_modules():
        module.register_forward_hook(lambda _, args, output, path=path: shapes.__setitem__(path, tuple(output.shape)))
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, image_size, image_size))
    return shapes


@pytest.mark.parametrize("name", FIELDS)
def test_published_fields(name):
    with torch.device("meta"):
        net = models.get_model(name)
        rows = {row["name"]: row for row in layer_table(net, 224)}
    layer, field, stride = FIELDS[name]
    assert (rows[layer]["field"], rows[layer]["stride"]) == (field, stride)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "squeezenet1_1"])
def test_every_convolution_pool_and_full_layer_with_its_maps_and_side(name):
    net = models.get_model(name, num_classes=5)
    kinds = nn.Conv2d | nn.MaxPool2d | nn.AdaptiveAvgPool2d | nn.Linear
    shapes = sides_of_a_pass(net, 96)
    expected = {path: shapes[path] for path, module in net.named_modules() if isinstance(module, kinds)}
    rows = {row["name"]: row for row in layer_table(net, 96)}
    assert set(rows) == set(expected)
    for path, shape in expected.items():
        side = shape[2] if len(shape) == 4 else 1
        assert (rows[path]["maps"], rows[path]["side"]) == (shape[1], side)


def test_the_kinds_and_what_sees_the_whole_image():
    rows = {row["name"]: row for row in layer_table(models.resnet18(num_classes=5), 64)}
    assert [rows[path]["kind"] for path in ("conv1", "maxpool", "layer1.0.conv1", "avgpool", "fc")] == [
        "conv", "pool", "conv", "pool", "full",
    ]  # fmt: skip
    assert (rows["avgpool"]["field"], rows["avgpool"]["stride"]) == ("image", "") == (
        rows["fc"]["field"], rows["fc"]["stride"],
    )  # fmt: skip
    assert rows["avgpool"]["start"] == "" and type(rows["conv1"]["start"]) is int


def test_sides_that_differ_are_both_in_the_table():
    net = nn.Sequential(nn.Conv2d(3, 4, (3, 5), (1, 2)), nn.Flatten(), nn.Linear(4 * 30 * 14, 2))
    row = layer_table(net, 32)[0]
    assert (row["side"], row["field"], row["stride"], row["start"]) == ("30 x 14", "3 x 5", "1 x 2", 0)


def test_the_box_of_a_unit_is_what_its_gradient_reaches():
    """Positive weights and one unit after another: the pixels with a gradient are start + stride * i .. + field."""
    net = nn.Sequential(
        nn.Conv2d(3, 2, 5, 2, 3), nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.Conv2d(2, 4, 3, padding=1), nn.Flatten()
    ).double()  # fmt: skip
    for weights in net.parameters():
        nn.init.constant_(weights, 1.0)
    row = layer_table(net, 41)[2]
    assert (row["name"], row["side"]) == ("3", 11)
    for unit in (0, 1, 5, 10):
        image = torch.ones(1, 3, 41, 41, dtype=torch.float64, requires_grad=True)
        net[:4](image)[0, 0, unit, 10 - unit].backward()
        rows, cols = (image.grad[0, 0].abs().sum(axis).nonzero()[:, 0] for axis in (1, 0))
        for reached, place in ((rows, unit), (cols, 10 - unit)):
            first = row["start"] + row["stride"] * place
            assert (int(reached[0]), int(reached[-1])) == (max(0, first), min(40, first + row["field"] - 1))


def test_the_rows_of_a_row_net():
    rows = {
        "conv1": {"kind": "conv", "maps": 8, "kernel": 7, "stride": 2, "padding": 1},
        "norm1": {"kind": "lrn", "size": 5, "alpha": 0.1, "beta": 0.75, "k": 2},
        "pool1": {"kind": "pool", "kernel": 3, "stride": 2},
        "fc2": {"kind": "full", "units": 6},
        "fc3": {"kind": "full", "units": "classes"},
    }
    assert [tuple(row.values()) for row in layer_table(build(rows, 31, 5), 31)] == [
        ("conv1", "conv", 8, 14, 7, 2, -1, "exact"), ("norm1", "lrn", 8, 14, 7, 2, -1, "exact"),
        ("pool1", "pool", 8, 6, 11, 4, -1, "exact"),
        ("fc2", "full", 6, 1, "image", "", "", "exact"), ("fc3", "full", 5, 1, "image", "", "", "exact"),
    ]  # fmt: skip


def test_layers_of_single_tokens_are_left_out():
    timm = pytest.importorskip("timm")
    net = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, depth=1)
    assert [layer.name for layer in layer_summaries(net, 32)] == ["patch_embed.proj", "head"]


def test_layers_above_what_cannot_be_done_on_a_part_name_it():
    class Halfway(nn.Sequential):
        def forward(self, x):
            x = self[0](x)
            return self[2](self[1](x.cumsum(2)))

    net = Halfway(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
    assert [row["parts"] for row in layer_table(net, 20)] == ["exact", "whole image: cumsum", "whole image: cumsum"]
