"""Numbers that went bad are named with their place; a net at chance is noticed."""

from types import SimpleNamespace

import pytest
import torch

from convscope.learn.guard import NoticeChance, first_bad_layer, scale_warning
from convscope.nets.build import build

ROWS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 3},
    "conv2": {"kind": "conv", "maps": 8, "kernel": 3},
    "fc3": {"kind": "full", "units": "classes"},
}


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc3"])
def test_the_first_bad_layer_is_the_one_that_was_broken(layer):
    net = build(ROWS, image_size=8, classes=3)
    images = torch.randn(2, 3, 8, 8)
    assert first_bad_layer(net, images) == "none in the forward pass: the loss itself"
    with torch.no_grad():
        net.get_submodule(layer).bias[0] = float("nan")
    assert first_bad_layer(net, images) == layer
    assert not any(module._forward_hooks for module in net.modules())
    assert first_bad_layer(net, images * float("inf")) == "the images themselves"


def epochs(callback, metrics):
    for epoch, (loss, top1) in enumerate(metrics):
        trainer = SimpleNamespace(
            callback_metrics={"val/loss": torch.tensor(loss), "val/top1": torch.tensor(top1)}, current_epoch=epoch,
            is_global_zero=True,
        )  # fmt: skip
        callback.on_train_epoch_end(trainer, None)
    return callback.warnings


def test_a_net_at_chance_is_noticed_once():
    stuck, learning = (2.3026, 0.1), (2.0, 0.3)
    assert epochs(NoticeChance(10), [stuck, learning, stuck, learning]) == []
    (warning,) = epochs(NoticeChance(10), [stuck] * 6)
    assert "epoch 3: the net has stood at chance for 3 epochs" in warning and "optim=quick" in warning


def test_a_scale_that_makes_the_radius_meaningless_is_told():
    assert scale_warning(0.1, pixel_std=60) is None and scale_warning(None, pixel_std=1) is None
    assert "pixels have a spread of 0.25" in scale_warning(0.1, pixel_std=0.25)
