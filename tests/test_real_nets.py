"""Pictures of nets that learned ImageNet: what they show must not be the same blot nine times."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from conftest import ROOT
from convscope.analyses.subject import new_subject
from convscope.analyses.visualize.compute import SplitPixels, feature_view, search_top9
from convscope.analyses.visualize.figure import map_tiles
from convscope.engine.blocks import default_layers
from lite0 import lite0_weights

pytestmark = pytest.mark.slow


def subject(words):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    one = new_subject({**settings, "words": words}, keep_classes=True)
    one.net.eval()
    return one


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    """EfficientNet-Lite0 of ImageNet on twelve drawn images."""
    folder = tmp_path_factory.mktemp("lite0")
    file = lite0_weights(folder / "net.pth")
    words = ["model=timm", "model.name=tf_efficientnet_lite0", f"model.weights={file}", f"data.cache_dir={folder}",
             "data.train=12", "data.val=12", "data.image_size=128", "data.workers=0"]  # fmt: skip
    return subject(words)


def test_the_deconvnets_blot_on_a_net_without_switches_is_not_shown(lite0):
    """Through strided, depthwise convolutions the deconvnet projects nine images to one picture, guided does not."""
    top = search_top9(lite0.net, lite0.data, "val", ["conv_head"])["conv_head"]
    images, maps = SplitPixels(lite0.data, "val"), [int(top.score[:, 8].argmax())]
    blot, auto = (feature_view(lite0.net, images, "conv_head", top, maps, rule) for rule in ("deconvnet", "auto"))
    flat = blot.projections[0].flatten(1).double()
    cosines = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], 2)
    assert cosines.min() > 0.9 and auto.rule.rule == "guided"
    assert "hardly depend on the image" in auto.rule.words
    shapes = auto.projections[0].mean(1).flatten(1).double()
    assert (
        torch.nn.functional.cosine_similarity(shapes[:, None], shapes[None], 2)[~torch.eye(9, dtype=bool)].max() < 0.7
    )


def test_no_tile_of_a_map_at_its_upper_bound_is_blank(lite0):
    """ReLU6 ends at 6, where a slope is 0: what a unit there answers to is shown all the same."""
    layer = "bn2"
    top = search_top9(lite0.net, lite0.data, "val", [layer])[layer]
    full = (top.score[:, :3] == 6).all(1).nonzero()[:4, 0].tolist()
    assert full  # maps with several scores of exactly 6
    view = feature_view(lite0.net, SplitPixels(lite0.data, "val"), layer, top, full, "guided")
    for position in range(len(full)):
        assert all(np.ptp(tile) > 60 for tile in map_tiles(view, position).projections)


def test_squeezenets_upper_layers_are_drawn_guided_and_cut_to_a_part_of_their_fields():
    root = Path(os.environ.get("CONVSCOPE_DATA", "/nowhere"))
    if not (root / "squeezenet1_0-imagenet").is_dir():
        pytest.skip("CONVSCOPE_DATA names no folder with squeezenet1_0-imagenet and imagenette224")
    weights = root / "squeezenet1_0-imagenet" / "squeezenet1_0.safetensors"
    words = ["model=torchvision", "model.name=squeezenet1_0", f"model.weights={weights}", "data=images",
             f"data.root={root}/imagenette224/val", "data.limit=30", "data.workers=0"]  # fmt: skip
    one = subject(words)
    layers = default_layers(one.net, 224)
    assert layers[-1] == "features.12"
    tops = search_top9(one.net, one.data, "val", layers[-2:])
    for layer, top in tops.items():
        view = feature_view(one.net, SplitPixels(one.data, "val"), layer, top, [int(top.score[:, 8].argmax())])
        assert view.rule.rule == "guided" and view.rule.guided.recovery > view.rule.deconvnet.recovery
        assert map_tiles(view, 0).cut[0] < view.projections.shape[-1] * 0.7
