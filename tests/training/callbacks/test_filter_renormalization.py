"""Where filters are not renormalized: nets that it would harm, by the recipe's own radius or by one that was typed."""

import json

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn
from torchvision import models

from conftest import ROOT
from convscope.analyses.visualize.about import FeatureConfig
from convscope.cli.jobs import JOBS
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.errors import UserError
from convscope.models.build import build
from convscope.models.checkpoints import describe
from convscope.models.library_nets import timm_net
from convscope.runs.record import Record
from convscope.training.callbacks.filter_renormalization import (
    pixel_scale_warning,
    reason_against_radius,
    reason_against_renorm,
)
from convscope.training.classifier import Classifier
from convscope.training.job import TrainingPlan, train
from convscope.training.recipe import Recipe, initialize_
from lite0 import lite0_weights

ROWS = {"conv1": {"kind": "conv", "maps": 4, "kernel": 3}, "fc": {"kind": "full", "units": "classes"}}
GREY, COLORS = 1.0, (1 / 58, 1 / 57, 1 / 57)
TINY = [
    "trainer=smoke", "optim.batch_size=6", "evolution=off", "data.train=20", "data.val=20", "data.image_size=64",
    "model=torchvision", "model.name=squeezenet1_1",
]  # fmt: skip


def test_nets_that_no_radius_suits():
    assert reason_against_renorm(build(ROWS, 16, 3), GREY) == ""
    assert reason_against_renorm(build(ROWS, 16, 3), 0.0172) == ""  # pixels of experiment=first_layers
    assert "batch norm" in reason_against_renorm(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), GREY)
    assert "normalized" in reason_against_renorm(models.squeezenet1_1(), COLORS)


def test_learned_filters_beyond_the_radius():
    net = build(ROWS, 16, 3)
    with torch.no_grad():
        net.conv1.weight.fill_(0.05)
        net.conv1.weight[:3] = 0.2  # their RMS
    assert reason_against_radius(net, ["conv1", "fc"], 0.1).startswith("3 of 4 learned filters exceed it")
    assert reason_against_radius(net, ["conv1", "fc"], 0.2) == "" and reason_against_radius(net, ["conv1"], None) == ""
    assert reason_against_radius(net, ["fc"], 0.1) == "" and reason_against_radius(net, [], 0.1) == ""
    net.conv1.requires_grad_(False)
    assert reason_against_radius(net, ["conv1"], 0.1) == ""  # frozen filters stay as they are anyway


def test_the_radius_would_cut_down_a_quarter_of_a_real_nets_filters(tmp_path):
    net = timm_net("tf_efficientnet_lite0", str(lite0_weights(tmp_path / "net.pth")), None).net
    rows = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    assert reason_against_radius(net, rows, 0.1).startswith("5,538 of 21,008 learned filters exceed it")
    assert "batch norm" in reason_against_renorm(net, GREY)


def test_pixels_of_a_small_spread_get_a_warning():
    assert pixel_scale_warning(0.1, pixel_std=60) is None and pixel_scale_warning(None, pixel_std=1) is None
    assert "pixels have a spread of 0.25" in pixel_scale_warning(0.1, pixel_std=0.25)


def recipe_of(renorm):
    return Recipe("sgd", 1e-3, 0.9, 0.0, 4, "constant", 0, 0.0, "he", 0.01, [], renorm)


@pytest.mark.parametrize(("renorm", "frozen", "columns"), [(None, False, []), (0.1, True, []), (0.1, False, ["conv1"])])
def test_metrics_csv_has_columns_for_renormalized_layers_alone(renorm, frozen, columns, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 18, 18, 3), np.uint8)
    images = Pixels(pixels, np.arange(40) % 2)
    data = ImageData(Source(["a", "b"], images, images), DataSettings(16, 4, cache_dir=str(tmp_path / "cache")))
    net = build(ROWS, image_size=16, classes=2)
    initialize_(net, recipe_of(renorm))
    net.conv1.requires_grad_(not frozen)
    settings = {"max_epochs": 1, "accelerator": "cpu", "devices": 1}
    plan = TrainingPlan(settings, FeatureConfig(None, 1, [], "val"), 0, {"net": describe(net)})
    row = train(Classifier(net, recipe_of(renorm), 2), data, plan, Record(tmp_path / "run"))["final"]
    assert [name for name in row if name.startswith("renorm/")] == [f"renorm/{layer}" for layer in columns]
    header = (tmp_path / "run/metrics.csv").read_text().splitlines()[0]
    assert ("renorm" in header) is bool(columns) and (tmp_path / "run/report/index.html").is_file()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights whose filters are far beyond the radius of 0.1."""
    file = tmp_path_factory.mktemp("weights") / "net.pth"
    state = models.squeezenet1_1().state_dict()
    torch.save(state | {"features.0.weight": torch.full((64, 3, 3, 3), 0.3)}, file)
    return file


def trained(words, folder, cache):
    words = [*TINY, f"data.cache_dir={cache}", *words]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    JOBS["train"]({**settings, "words": words}, folder)
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return saved["net.features.0.weight"], json.loads((folder / "summary.json").read_text())["warnings"]


def test_learned_filters_are_not_cut_down(weights, tmp_path, cache, capsys):
    filters, _ = trained([f"model.weights={weights}", "optim=finetune"], tmp_path / "a", cache)
    assert (filters.abs() > 0.25).all()
    assert "switched off" not in capsys.readouterr().out
    filters, warnings = trained([f"model.weights={weights}"], tmp_path / "b", cache)  # optim=quick has a radius
    assert (filters.abs() > 0.25).all()
    line = "optim.renorm=0.1 of the recipe is switched off: the net's pixels are normalized"
    assert any(line in text for text in warnings) and line in capsys.readouterr().out


def test_a_radius_that_was_typed_is_refused(weights, tmp_path, cache):
    with pytest.raises(UserError, match="optim.renorm=0.2 cannot be: the net's pixels are .*; type optim.renorm=null"):
        trained([f"model.weights={weights}", "optim=finetune", "optim.renorm=0.2"], tmp_path / "a", cache)
    assert not (tmp_path / "a").exists()


def test_a_run_of_version_0_1_ends_by_the_recipe_it_began_with(weights, tmp_path, cache):
    """Which held nets of libraries at the radius, too; its about.json has fewer keys."""
    words = [f"model.weights={weights}", "optim=paper", "optim.lr=1e-6"]
    filters, warnings = trained([*words, "optim.renorm=null", "trainer.max_epochs=1"], tmp_path / "run", cache)
    assert (filters.abs() > 0.25).all()
    about = json.loads((tmp_path / "run/about.json").read_text())
    earlier = json.loads((ROOT / "tests/runs_of_0_1/whole/about.json").read_text())
    (tmp_path / "run/about.json").write_text(json.dumps({key: about[key] for key in earlier}))
    filters, warnings = trained([*words, "optim.renorm=0.1", "trainer.max_epochs=2"], tmp_path / "run", cache)
    assert filters.square().mean((1, 2, 3)).sqrt().max() < 0.1001
    assert not any("switched off" in text for text in warnings)
