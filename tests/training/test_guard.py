"""Numbers that went bad are named with their place, and no checkpoint holds them."""

import pytest
import torch

from convscope.models.build import build
from convscope.training.callbacks.failure_checks import first_bad_layer
from convscope.training.callbacks.filter_renormalization import pixel_scale_warning

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


def test_a_scale_that_makes_the_radius_meaningless_is_told():
    assert pixel_scale_warning(0.1, pixel_std=60) is None and pixel_scale_warning(None, pixel_std=1) is None
    assert "pixels have a spread of 0.25" in pixel_scale_warning(0.1, pixel_std=0.25)
