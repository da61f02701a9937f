import pytest
import torch

from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.row_sizes import map_sizes
from convscope.models.rows import ConvRow, LinearRow, PoolRow, plain_rows, read_rows

CONV = {"kind": "conv", "maps": 16, "kernel": 3}
POOL = {"kind": "pool", "kernel": 3, "stride": 2}
LAST = {"kind": "full", "units": "classes"}


def test_rows_come_back_from_the_plain_values_that_they_give():
    rows = read_rows({"conv1": {**CONV, "bias": 1}, "gone": None, "pool1": {**POOL, "ceil": True}, "fc2": LAST}, 5)
    assert rows == {"conv1": ConvRow(16, 3, bias=1.0), "pool1": PoolRow(3, 2, ceil=True), "fc2": LinearRow(5)}
    assert read_rows(plain_rows(rows), 5) == rows


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("image_size", range(5, 24))
def test_map_sizes_are_those_that_torch_gives(image_size, ceil):
    layers = {"conv1": {**CONV, "stride": 2, "padding": 1}, "pool1": {**POOL, "padding": 1, "ceil": ceil}, "fc2": LAST}
    net = build(layers, image_size, 3)
    maps = net.conv1(torch.zeros(1, 3, image_size, image_size))
    assert map_sizes(net.rows, image_size)["conv1"] == (16, maps.shape[-1])
    assert map_sizes(net.rows, image_size)["pool1"] == (16, net.pool1(maps).shape[-1])


def test_a_null_field_is_the_default():
    assert read_rows({"conv1": {**CONV, "stride": None}, "fc2": LAST}, 2)["conv1"] == ConvRow(16, 3)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            {"conv1": {"kind": "cnv"}, "fc2": LAST},
            "conv1: kind cnv is unknown (did you mean conv?); a row has kind: conv, pool, avg_pool, ",
        ),
        ({"conv1": {"maps": 3}, "fc2": LAST}, "conv1: kind None is unknown"),
        ({"conv1": 7, "fc2": LAST}, "conv1: 7 is unknown; a row has kind"),
        (
            {"conv1": {**CONV, "map": 3}, "fc2": LAST},
            "conv1: unknown map (did you mean maps?); a conv row has maps, kernel, stride, padding, towers, bias, "
            "batch_norm, activation",
        ),
        ({"conv1": {"kind": "conv", "maps": 3}, "fc2": LAST}, "conv1: missing kernel; a conv row has maps"),
        ({"conv1": {**CONV, "maps": 0}, "fc2": LAST}, "conv1: maps is 0; it must be a whole number from 1"),
        ({"conv1": {**CONV, "kernel": 2.5}, "fc2": LAST}, "conv1: kernel is 2.5; it must be a whole number from 1"),
        ({"conv1": {**CONV, "padding": -1}, "fc2": LAST}, "conv1: padding is -1; it must be a whole number from 0"),
        ({"conv1": {**CONV, "bias": "one"}, "fc2": LAST}, "conv1: bias is one; it must be a number"),
        ({"conv1": CONV, "pool1": {**POOL, "ceil": 1}, "fc2": LAST}, "pool1: ceil is 1; it must be true or false"),
        (
            {"conv1": CONV, "fc2": {"kind": "full", "units": 9, "dropout": 1.0}, "fc3": LAST},
            "fc2: dropout is 1.0; it must be from 0 to below 1",
        ),
        (
            {"conv1": CONV, "pool1": {**POOL, "padding": 2}, "fc2": LAST},
            "pool1: padding 2 is more than half",
        ),
        ({"fc1": {"kind": "full", "units": 8}, "conv2": CONV, "fc3": LAST}, "conv2 comes after fc1; rows of maps come"),
        (
            {"conv1": CONV},
            "the last row, conv1, is no full row; the last one gives the 4 classes",
        ),
        ({"fc1": {"kind": "full", "units": 9}}, "fc1: 9 units for 4 classes; the last row has units: classes"),
        ({"fc1": {**LAST, "dropout": 0.5}}, "fc1: the last row gives the classes and drops none"),
        ({}, "the net has no rows; the last one gives the 4 classes: {kind: full, units: classes}"),
    ],
)
def test_a_bad_row_is_refused(layers, message):
    with pytest.raises(UserError) as problem:
        read_rows(layers, 4)
    assert message in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize("width", [0, -1.0])
def test_a_width_of_nothing_is_refused(width):
    with pytest.raises(UserError, match=rf"model.width={width} must be positive"):
        read_rows({"fc1": LAST}, 4, width)


def test_towers_that_do_not_divide_are_refused():
    rows = read_rows({"conv1": {**CONV, "maps": 9}, "conv2": {**CONV, "towers": 2}, "fc3": LAST}, 4)
    with pytest.raises(UserError, match="conv2: 2 towers cannot share 9 maps below and 16 of its own"):
        map_sizes(rows, 32)


def test_the_message_of_a_window_larger_than_its_map_has_an_image_size_that_is_enough():
    rows = read_rows({"conv1": CONV, "pool1": POOL, "pool2": POOL, "fc3": LAST}, 4)
    with pytest.raises(UserError) as problem:
        map_sizes(rows, 6)
    message = "pool2: a window of 3 is larger than the 1 x 1 map that pool1 leaves; "
    assert str(problem.value) == message + "this net needs data.image_size=9 or more"
    map_sizes(rows, 9)
    with pytest.raises(UserError, match="conv1: a window of 3 is larger than the 2 x 2 image"):
        map_sizes(rows, 2)
