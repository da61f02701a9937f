"""Rows with batch norm, average pools and other activations, against the same net written in torch's own modules."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from convscope.engine.dense import dense_features, dense_probabilities
from convscope.errors import UserError
from convscope.models.build import build, he_, normal_
from convscope.models.checkpoints import describe, inherit_, load_weights_, net_weights, read_checkpoint, rebuild
from convscope.models.row_sizes import map_sizes, statistic_counts, unit_counts, weight_counts
from convscope.models.rows import plain_rows, read_rows
from convscope.training.start import freeze_

LAYERS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 5, "stride": 2, "padding": 1, "batch_norm": True},
    "pool1": {"kind": "avg_pool", "kernel": 3, "stride": 2, "padding": 1},
    "conv2": {"kind": "conv", "maps": 12, "kernel": 3, "padding": 1, "towers": 2, "activation": "gelu"},
    "conv3": {"kind": "conv", "maps": 16, "kernel": 3, "batch_norm": True, "activation": "silu", "bias": 0.5},
    "pool3": {"kind": "pool", "kernel": 2, "stride": 2},
    "conv4": {"kind": "conv", "maps": 20, "kernel": 2, "batch_norm": True, "activation": "leaky_relu"},
    "mean5": {"kind": "global_avg_pool"},
    "fc6": {"kind": "full", "units": 24, "activation": "silu"},
    "fc7": {"kind": "full", "units": "classes"},
}
LABELS = torch.tensor([0, 1, 2, 6])


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = build(LAYERS, 32, 7)
    he_(net, pixel_std=1.0)
    return net


def of_torch(net):
    """The net in torch's modules, with the same weights and statistics."""
    modules = {
        "conv1": nn.Conv2d(3, 8, 5, 2, 1, bias=False), "conv1.norm": nn.BatchNorm2d(8), "relu1": nn.ReLU(),
        "pool1": nn.AvgPool2d(3, 2, 1), "conv2": nn.Conv2d(8, 12, 3, padding=1, groups=2), "gelu2": nn.GELU(),
        "conv3": nn.Conv2d(12, 16, 3, bias=False), "conv3.norm": nn.BatchNorm2d(16), "silu3": nn.SiLU(),
        "pool3": nn.MaxPool2d(2), "conv4": nn.Conv2d(16, 20, 2, bias=False), "conv4.norm": nn.BatchNorm2d(20),
        "leaky4": nn.LeakyReLU(), "mean5": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "fc6": nn.Linear(20, 24),
        "silu6": nn.SiLU(), "fc7": nn.Linear(24, 7),
    }  # fmt: skip
    state = net.state_dict()
    for name, module in modules.items():
        module.load_state_dict({key: state[f"{name}.{key}"] for key in module.state_dict()})
    return nn.Sequential(OrderedDict((name.replace(".", "_"), module) for name, module in modules.items()))


def as_rows(stock):
    """The state of torch's net under the names of the rows."""
    return {name.replace("_norm.", ".norm."): value for name, value in stock.state_dict().items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_logits_weights_and_statistics_are_those_of_torchs_modules_step_by_step(net, dtype, tolerance):
    stock = of_torch(net).to(dtype)
    net = net.to(dtype)
    optimizers = [torch.optim.SGD(model.parameters(), 0.05, momentum=0.9) for model in (net, stock)]
    for _ in range(3):
        images = torch.randn(4, 3, 32, 32, dtype=dtype)
        outputs = [model.train()(images) for model in (net, stock)]
        torch.testing.assert_close(*outputs, rtol=tolerance, atol=tolerance)
        for logits, optimizer in zip(outputs, optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, LABELS).backward()
            optimizer.step()
    expected = as_rows(stock)
    assert net.state_dict().keys() == expected.keys()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance, msg=name)
    torch.testing.assert_close(net.eval()(images), stock.eval()(images), rtol=tolerance, atol=tolerance)
    assert (net.conv3.norm.running_var - 1).abs().max() > 0.01 and net.conv3.norm.num_batches_tracked == 3


def test_sizes_and_weights_counted_by_hand(net):
    rows, images = net.rows, torch.zeros(2, 3, 32, 32)
    assert weight_counts(rows, 32) == {
        "conv1": 8 * 3 * 25 + 16, "conv2": 12 * 4 * 9 + 12, "conv3": 16 * 12 * 9 + 32, "conv4": 20 * 16 * 4 + 40,
        "fc6": 24 * 20 + 24, "fc7": 7 * 24 + 7,
    }  # fmt: skip
    assert sum(weight_counts(rows, 32).values()) == sum(weight.numel() for weight in net.parameters())
    assert statistic_counts(rows) == {"conv1": 17, "conv3": 33, "conv4": 41}
    assert sum(statistic_counts(rows).values()) == sum(buffer.numel() for buffer in net.buffers())
    x = images
    for name, layer in net.eval().named_children():
        x = layer(x)
        assert map_sizes(rows, 32)[name] == (x.shape[1], x.shape[2] if x.dim() == 4 else 1), name
        assert unit_counts(rows, 32)[name] == x[0].numel()


def test_rows_come_back_from_their_plain_values_and_defaults_are_not_among_these():
    rows = read_rows(LAYERS, 7)
    plain = plain_rows(rows)
    assert read_rows(plain, 7) == rows and plain["mean5"] == {"kind": "global_avg_pool"}
    assert plain["conv2"] == LAYERS["conv2"] and plain["fc6"] == LAYERS["fc6"]
    assert plain_rows(read_rows({**LAYERS, "conv2": {**LAYERS["conv2"], "batch_norm": False}}, 7)) == plain
    narrow = read_rows({**LAYERS, "fc6": {**LAYERS["fc6"], "units": 64}}, 7, 0.5)
    assert narrow["fc6"].units == 32 and narrow["pool1"] == rows["pool1"] and narrow["conv3"].batch_norm


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"kind": "conv", "maps": 4, "kernel": 3, "batch_norm": 1}, "batch_norm is 1; it must be true or false"),
        (
            {"kind": "conv", "maps": 4, "kernel": 3, "activation": "rely"},
            "activation is rely; it must be one of relu, leaky_relu, silu, gelu (did you mean relu?)",
        ),
        (
            {"kind": "conv", "maps": 4, "kernel": 3, "activation": ["relu"]},
            "activation is ['relu']; it must be one of relu, leaky_relu, silu, gelu",
        ),
        ({"kind": "global_avg_pool", "kernel": 2}, "unknown kernel; a global_avg_pool row has no fields"),
        ({"kind": "avg_pool", "kernel": 2}, "missing stride; an avg_pool row has kernel, stride, padding"),
        ({"kind": "avg_pool", "kernel": 2, "stride": 2, "padding": 2}, "padding 2 is more than half the window of 2"),
        ({"kind": "full", "units": 8, "batch_norm": True}, "unknown batch_norm; a full row has units, dropout, bias"),
        ({"kind": "avgpool", "kernel": 2, "stride": 2}, "kind avgpool is unknown (did you mean avg_pool?)"),
    ],
)
def test_a_bad_row_is_refused_in_one_line(row, message):
    with pytest.raises(UserError) as problem:
        read_rows({"row1": row, "fc2": {"kind": "full", "units": "classes"}}, 4)
    assert f"row1: {message}" in str(problem.value) and "\n" not in str(problem.value)


def test_a_last_row_with_an_activation_and_a_window_larger_than_its_map_are_refused():
    with pytest.raises(UserError, match="fc7: the last row gives the classes, without activation; remove its"):
        read_rows({**LAYERS, "fc7": {**LAYERS["fc7"], "activation": "silu"}}, 7)
    with pytest.raises(UserError, match=r"pool1: a window of 9 is larger than the 15 x 15|needs data.image_size="):
        build({**LAYERS, "pool1": {"kind": "avg_pool", "kernel": 19, "stride": 2}}, 32, 7)


def test_initial_values_of_norms(net):
    for initialize in (he_, lambda net: normal_(net, ones=("conv1", "conv2"))):
        net.conv1.norm.bias.data.fill_(9)
        initialize(net)
        ones = initialize is not he_
        assert net.conv1.norm.bias.eq(ones).all() and net.conv2.bias.eq(ones).all() and net.conv1.bias is None
        assert net.conv3.norm.bias.eq(0.5).all() and net.conv3.norm.weight.eq(1).all()  # the row's own bias wins


def checkpoint_of(net, path):
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"convscope": {"net": describe(net), "epoch": 3}, "state_dict": state}, path)
    return path


def test_a_checkpoint_brings_the_statistics_back_and_a_damaged_one_is_refused(net, tmp_path):
    net.train()(torch.randn(4, 3, 32, 32))
    checkpoint = read_checkpoint(checkpoint_of(net, tmp_path / "last.ckpt"))
    again = rebuild(checkpoint["convscope"]["net"])
    load_weights_(again, net_weights(checkpoint))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.eval()(images), net.eval()(images)) and again.layers == net.layers
    state = net.state_dict()
    del state["conv3.norm.running_var"]
    net.state_dict = lambda: state
    with pytest.raises(UserError, match="describes a net of 4,910 weights and holds 4,894; it is damaged"):
        read_checkpoint(checkpoint_of(net, tmp_path / "damaged.ckpt"))


def test_a_row_is_taken_and_frozen_with_its_norm(net):
    net.train()(torch.randn(4, 3, 32, 32))
    plain = {**LAYERS, "conv3": {**LAYERS["conv3"], "batch_norm": False}}
    child = build(plain, 32, 7)
    inherited = inherit_(child, net.state_dict(), {"fc7": "other classes"})
    assert inherited.taken == ["conv1", "conv2", "conv4", "fc6"]
    assert inherited.new["conv3"] == "it has weight and bias, in the checkpoint weight and norm.weight and norm.bias"
    assert torch.equal(child.conv1.norm.running_mean, net.conv1.norm.running_mean)
    assert freeze_(child.train(), ["conv1"]) == ["conv1"]
    before = child.conv1.norm.running_mean.clone()
    child(torch.randn(4, 3, 32, 32))
    assert torch.equal(child.conv1.norm.running_mean, before) and not child.conv1.norm.weight.requires_grad


def test_a_net_that_ends_in_a_mean_takes_larger_images_and_slides_over_them(net):
    images = torch.randn(2, 3, 48, 40)
    torch.testing.assert_close(net.eval()(images), of_torch(net).eval()(images), rtol=1e-5, atol=1e-6)
    for shape in ((2, 3, 31, 40), (2, 1, 32, 32), (2, 3, 32)):
        with pytest.raises(UserError, match="for a net built for 3 x 32 x 32"):
            net(torch.zeros(shape))
    stock, whole = of_torch(net).eval(), torch.randn(2, 3, 40, 40)
    both = torch.stack([stock(whole).softmax(1), stock(whole.flip(3)).softmax(1)]).mean(0)
    torch.testing.assert_close(dense_probabilities(net, 32, 40)(whole), both, rtol=1e-5, atol=1e-6)
    below = stock[:-1]
    features = (below(whole) + below(whole.flip(3))) / 2
    torch.testing.assert_close(dense_features(net, 32, 40)(whole), features, rtol=1e-4, atol=1e-5)
