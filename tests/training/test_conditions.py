"""What makes training harder than validation, read off the net, the recipe and the images of a run."""

from types import SimpleNamespace

import pytest
from torch import nn

from convscope.models.build import HiddenLayer
from convscope.models.rows import LinearRow
from convscope.training.job import conditions


def of(net, loss="softmax", smoothing=0.0, stored=36):
    images = SimpleNamespace(image_size=32, stored_size=stored, color_noise=0.0)
    recipe = SimpleNamespace(loss=loss, label_smoothing=smoothing)
    return conditions(SimpleNamespace(net=net, recipe=recipe), SimpleNamespace(settings=images, classes=["a", "b"]))


@pytest.mark.parametrize(("rate", "drops"), [(0.5, True), (0.0, False)])
def test_dropout_is_found_wherever_a_net_has_it(rate, drops):
    nets = nn.Sequential(nn.Linear(3, 3), nn.Dropout(rate)), HiddenLayer(3, LinearRow(3, dropout=rate))
    assert all(("dropout" in of(net)) is drops for net in nets)


def test_crops_and_smoothing_where_they_are():
    plain = nn.Conv2d(3, 4, 3)
    assert of(plain) == ["random crops and mirror images"] and of(plain, stored=32) == ["mirror images"]
    assert any("smoothing of 0.1" in words for words in of(plain, smoothing=0.1))
    assert not any("smoothing" in words for words in of(plain, loss="multilabel", smoothing=0.1))
