"""The shipped nets against the numbers of their papers."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torchvision.models import vgg11, vgg13, vgg16, vgg19

from convscope.models.build import ConvNet, build
from convscope.models.row_sizes import map_sizes
from convscope.models.rows import ConvRow

CONF = Path(__file__).resolve().parents[2] / "conf"
FOREIGN = ("torchvision", "timm", "python")
ROW_NETS = [path.stem for path in sorted((CONF / "model").glob("*.yaml")) if path.stem not in FOREIGN]


def model(name: str, *overrides: str) -> dict:
    """The model group of a run with model=<name> and the overrides, as plain values."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(f"model/{name}", list(overrides)).model, resolve=True)


def weightless(name: str, *overrides: str, image_size: int = 224, classes: int = 1000) -> ConvNet:
    """The net in full width on a device that stores nothing."""
    settings = model(name, *overrides)
    with torch.device("meta"):
        return build(settings["layers"], image_size, classes, settings["width"])


def parameters(net: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


FC6, FC7, FC8 = 9216 * 4096 + 4096, 4096 * 4096 + 4096, 4096 * 1000 + 1000  # weights and biases over 256 maps of 6 x 6
CONV3, CONV4 = 9 * 256 * 384 + 384, 9 * 384 * 384 + 384
CONV5, CONV5_ON_2 = 9 * 384 * 256 + 256, 9 * 256 * 256 + 256


@pytest.mark.parametrize(
    ("name", "removed", "added"),
    [
        ("replication", 0, 0),
        ("replication_no_3_4", CONV3 + CONV4 + CONV5, CONV5_ON_2),
        ("replication_no_7", FC7, 0),
        ("replication_no_6_7", FC6 + FC7 + FC8, 9216 * 1000 + 1000),
        ("replication_no_3_4_6_7", CONV3 + CONV4 + CONV5 + FC6 + FC7 + FC8, CONV5_ON_2 + 9216 * 1000 + 1000),
        ("replication_2048", FC6 + FC7 + FC8, 9216 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 1000 + 1000),
        ("replication_8192", FC6 + FC7 + FC8, 9216 * 8192 + 8192 + 8192 * 8192 + 8192 + 8192 * 1000 + 1000),
    ],
)
def test_what_an_ablation_takes_from_the_replication(name, removed, added):
    assert parameters(weightless(name)) == parameters(weightless("alexnet")) - removed + added


@pytest.mark.parametrize(
    ("larger", "net"), [("zfnet_8192", "zfnet"), ("zfnet_512_1024_512_8192", "zfnet_512_1024_512")]
)
def test_units_of_layers_6_and_7(larger, net):
    inputs = {"zfnet": 256 * 36, "zfnet_512_1024_512": 512 * 36}[net]
    more = (inputs + 1) * 4096 + 8193 * 8192 - 4097 * 4096 + 4096 * 1000
    assert parameters(weightless(larger)) == parameters(weightless(net)) + more


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("alexnet", 62_378_344),
        ("alexnet_2012", 60_965_224),
        ("zfnet", 62_357_608),
        ("zfnet_512_1024_512", 107_627_624),
    ],
)
def test_parameters_equal_the_published_counts(name, count):
    assert parameters(weightless(name)) == count


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vgg11", 133), ("vgg11_lrn", 133), ("vgg13", 133), ("vgg16_c", 134), ("vgg16", 138), ("vgg19", 144)],
)
def test_vgg_has_the_millions_of_table_2(name, millions):
    assert round(parameters(weightless(name)) / 1e6) == millions


@pytest.mark.parametrize("theirs", [vgg11, vgg13, vgg16, vgg19])
def test_vgg_has_exactly_the_weights_of_torchvision(theirs):
    with torch.device("meta"):
        expected = [weight.shape for weight in theirs().parameters()]
    assert [weight.shape for weight in weightless(theirs.__name__).parameters()] == expected


def test_vgg_c_has_three_one_by_one_convolutions_in_sixteen_layers():
    net = weightless("vgg16_c")
    ones = [name for name, row in net.rows.items() if getattr(row, "kernel", 0) == 1]
    assert ones == ["conv3_3", "conv4_3", "conv5_3"]
    assert sum(name.endswith("weight") for name, _ in net.named_parameters()) == 16


def test_zfnet_has_the_maps_of_figure_3():
    sizes = map_sizes(weightless("zfnet").rows, 224)
    sides = [sizes[name][1] for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")]
    assert sides == [110, 55, 26, 13, 13, 13, 13, 6]
    assert [sizes[f"conv{n}"][0] for n in range(1, 6)] == [96, 256, 384, 384, 256]


@pytest.mark.parametrize(("image_size", "padding"), [(224, 2), (227, 0)])
def test_alexnet_has_its_maps_at_224_and_at_227(image_size, padding):
    net = weightless("alexnet", f"model.layers.conv1.padding={padding}", image_size=image_size)
    sides = [side for _, side in map_sizes(net.rows, image_size).values()]
    assert sides == [55, 55, 27, 27, 27, 13, 13, 13, 13, 6, 1, 1, 1]


@pytest.mark.parametrize("name", ["alexnet_2012", "alexnet_six"])
def test_the_published_alexnet_has_towers_and_ones_where_krizhevsky_has_them(name):
    rows = weightless(name).rows
    assert [row for row in rows if getattr(rows[row], "groups", 1) == 2] == ["conv2", "conv4", "conv5"]
    ones = [row for row in rows if getattr(rows[row], "bias", 0) == 1.0]
    assert ones == ["conv2", "conv4", "conv5", *(["fc6", "fc7"] if name == "alexnet_2012" else ["conv6", "fc7", "fc8"])]


@pytest.mark.parametrize("name", ROW_NETS)
def test_every_net_runs_narrow_and_backwards(name):
    settings = model(name)
    net = build(settings["layers"], 80, 10, width=0.05)
    net(torch.randn(2, 3, 80, 80)).logsumexp(1).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())
    assert settings["name"] == name


@pytest.mark.parametrize("name", [path.stem for path in (CONF / "model").glob("*.yaml")])
def test_every_model_file_starts_with_its_line_for_help(name):
    first = (CONF / f"model/{name}.yaml").read_text().removeprefix("# @package _global_\n").splitlines()[0]
    assert first.startswith("# ") and len(first) > 20


REMOVED = {  # Table 3
    "3,4": ["~model.layers.conv3", "~model.layers.conv4"],
    "7": ["~model.layers.fc7"],
    "6,7": ["model.layers.fc6=null", "model.layers.fc7=null"],
    "3,4,6,7": [f"model.layers.{row}=null" for row in ("conv3", "conv4", "fc6", "fc7")],
    "2048": ["model.layers.fc6.units=2048", "model.layers.fc7.units=2048"],
    "8192": ["model.layers.fc6.units=8192", "model.layers.fc7.units=8192"],
}


@pytest.mark.parametrize("name", ["alexnet", "zfnet"])
@pytest.mark.parametrize("change", REMOVED)
def test_the_changes_of_table_3_are_overrides(name, change):
    net, whole = weightless(name, *REMOVED[change]), weightless(name)
    removed = [row for row in whole.rows if row not in net.rows]
    overridden = [override.split(".")[2].removesuffix("=null") for override in REMOVED[change]]
    assert removed == [row for row in overridden if not change.endswith(("2048", "8192"))]
    above = {"3,4": 256, "7": 4096, "6,7": 9216, "3,4,6,7": 9216, "2048": 2048, "8192": 8192}[change]
    if change == "3,4":
        assert net.conv5.in_channels == above
    else:
        assert net.fc8.in_features == above


def test_width_scales_all_but_the_classes_to_multiples_of_eight():
    settings = model("alexnet_2012")
    net = build(settings["layers"], 224, 7, width=0.11)
    counts = [row.maps if isinstance(row, ConvRow) else row.units for row in net.rows.values() if hasattr(row, "bias")]
    assert counts == [8, 32, 40, 40, 32, 448, 448, 7]
