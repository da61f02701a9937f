"""Stages, strips, the untrained net and the columns of a training, on nets whose answers are known."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import convscope
from convscope.analyses.sanity.compute import (
    choose_maps,
    layer_sanity,
    measure_epoch,
    measured_rules,
    next_image,
    randomization_stages,
    untrained_dependence,
)
from convscope.analyses.visualize.compute import search_top9
from convscope.data.epoch_images import EpochImages
from convscope.engine.deconvnet import RULES, Units
from convscope.engine.projection import project_fields
from convscope.engine.randomization import WeightedLayer, randomized, weighted_layers
from convscope.engine.trace import trace
from convscope.errors import UserError


def photographs(count=12, side=32, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.randn(count, 3, side // 4, side // 4, generator=draw), side, mode="bicubic")


def pooled_net():
    torch.manual_seed(0)
    steps = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 6, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()


def subject_of(net, images=None):
    return convscope.subject(net, photographs() if images is None else images)


def chosen_maps(subject, layer, maps=4, images=3):
    index = torch.arange(subject.data.size("val"))
    return choose_maps(
        subject, "val", layer, search_top9(subject.net, subject.data, "val", [layer], index)[layer], maps, images
    )


def names(stages):
    return [(stage.name, [layer.name for layer in stage.layers]) for stage in stages]


def test_stages_are_blocks_from_the_layer_down():
    layers = [WeightedLayer(name, ()) for name in ("f.8.right", "f.8.left", "f.8.squeeze", "f.5.left", "f.4", "f.0")]
    assert names(randomization_stages("f.8", layers, 3)) == [
        ("f.8", ["f.8.right", "f.8.left", "f.8.squeeze"]),
        ("f.4", ["f.5.left", "f.4"]),
        ("f.0", ["f.0"]),
    ]
    assert [stage.name for stage in randomization_stages("f.8", layers, 9)] == ["f.8", "f.5", "f.4", "f.0"]
    assert names(randomization_stages("f.8", layers, 1)) == [("f.0", [layer.name for layer in layers])]
    assert names(randomization_stages("relu", layers[-1:], 4)) == [("f", ["f.0"])]
    assert randomization_stages("f.8", [], 4) == []


def test_the_next_image_of_the_same_map():
    maps = torch.tensor([3, 3, 3, 8, 8, 5])
    assert next_image(Units(maps, maps, maps, maps)).tolist() == [1, 2, 0, 4, 3, 5]


def test_a_layer_by_every_rule():
    """The last stage of the cascade is the measure itself; alone, the first stage is that of the cascade."""
    subject = subject_of(pooled_net())
    chosen = chosen_maps(subject, "4")
    measured = layer_sanity(subject.net, chosen, 4, 2, None, seed=5)
    plain = measured_rules(subject.net, chosen, RULES, seed=5)
    assert measured.stages == ["3", "0"] and list(measured.rules) == list(RULES)
    for rule, by_rule in measured.rules.items():
        for values, expected in zip(by_rule.measured[1:], plain[rule][1:], strict=True):
            assert torch.allclose(values, expected, equal_nan=True)
        assert by_rule.cascade.shape == by_rule.single.shape == (2, len(plain[rule].maps))
        assert torch.equal(by_rule.cascade[1], by_rule.measured.weights)
        assert torch.equal(by_rule.cascade[0], by_rule.single[0])
        assert by_rule.chance.mean() > 0.7  # of 32 x 32 pixels whose order is lost
    images = measured.rules["guided"].measured.image
    assert torch.equal(images, plain["guided"].image)


def test_a_strip_shows_what_is_compared():
    subject = subject_of(pooled_net())
    chosen = chosen_maps(subject, "4")
    rows = layer_sanity(subject.net, chosen, 4, 2, None, seed=0).rules["deconvnet"].strip
    assert [row.map for row in rows] == chosen.units.map.unique()[:2].tolist()
    learned = project_fields(subject.net, chosen.images, "4", chosen.units, "deconvnet").values
    for number, row in enumerate(rows):
        first = int((chosen.units.map == row.map).nonzero()[0])
        assert len(row.projections) == len(row.similarities) == 5  # learned, two stages, another unit, another image
        assert row.similarities[0] == 1 and row.patch.shape[1:] == row.projections.shape[2:]
        assert row.projections[0].square().sum() >= 0.9 * learned[first].square().sum()
        pair = F.cosine_similarity(learned[first].flatten(), learned[first + 1].flatten(), 0)
        assert row.similarities[4] == pytest.approx(float(pair), abs=1e-5), number


def test_the_untrained_net_is_that_of_other_random_weights_and_the_net_stays():
    subject = subject_of(pooled_net())
    before = {name: value.clone() for name, value in subject.net.state_dict().items()}
    index = torch.arange(12)
    null = untrained_dependence(subject, index, "val", ["4", "0"], 4, 3, seed=0)
    assert set(null) == {"4", "0"} and list(null["4"]) == list(RULES)
    assert all(torch.equal(value, before[name]) for name, value in subject.net.state_dict().items())
    layers = weighted_layers(subject.net, trace(subject.net, (3, 32, 32)), "4")
    with randomized(subject.net, layers, photographs(), 1):
        by_hand = measured_rules(subject.net, chosen_maps(subject, "4"), ["guided"], seed=0)["guided"]
    assert null["4"]["guided"].maps == by_hand.maps and torch.equal(null["4"]["guided"].image, by_hand.image)


def test_columns_of_a_training():
    """Layer 0 shows the same filter in all images. A dead layer has no columns; the net keeps its mode."""
    net, images = pooled_net(), photographs()
    zeros = torch.zeros(len(images), dtype=torch.int64)
    drawn = EpochImages(images, images.byte(), zeros, torch.arange(len(images)))
    columns, memory = measure_epoch(net, drawn, ["0", "4"], {})
    parts = [f"depends_on_{name}/{layer}" for layer in ("0", "4") for name in ("weights", "unit", "image")]
    assert list(columns) == parts and memory == {} and columns["depends_on_image/0"] == 0
    assert all(math.isfinite(value) for value in columns.values())
    assert measure_epoch(net, drawn, ["0", "4"], {})[0] == columns
    net[3].bias.data[:] = -1e4
    assert list(measure_epoch(net, drawn, ["0", "4"], {})[0]) == parts[:3]


def test_a_layer_without_weights_below_it():
    subject = subject_of(nn.Sequential(nn.MaxPool2d(2), *pooled_net()))
    with pytest.raises(
        UserError, match="no weights are at or below 0, so nothing can depend on any; name another layer"
    ):
        layer_sanity(subject.net, chosen_maps(subject, "0", 3), 4, 2, None, seed=0)
