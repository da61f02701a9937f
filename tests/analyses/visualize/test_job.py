"""Several rules over one search, and the layers whose fields are drawn."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torchvision import models

from convscope.analyses.visualize.about import AUTO, RuleName, VisualizeConfig
from convscope.analyses.visualize.compute import SplitPixels, exciting_units, feature_view, search_top9, with_dependence
from convscope.analyses.visualize.figure import layers_to_draw, receptive_fields_plot
from convscope.analyses.visualize.job import visualize
from convscope.cli.jobs import JOBS
from convscope.config import read_config
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.engine.deconvnet import RULES, Units, project
from convscope.engine.dependence import measure
from convscope.engine.layers import layer_summaries
from convscope.engine.projection import project_fields
from convscope.engine.top9 import Top9
from convscope.errors import UserError
from convscope.models.build import build
from convscope.plots.receptive_fields import MAX_LAYERS
from convscope.runs.record import Record

CONF = Path(__file__).resolve().parents[3] / "conf"
ROWS = {
    "conv1": {"kind": "conv", "maps": 6, "kernel": 5, "stride": 2, "padding": 1},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2},
    "conv2": {"kind": "conv", "maps": 6, "kernel": 3},
    "fc3": {"kind": "full", "units": "classes"},
}
VALUES = {"layers": None, "maps": 3, "epochs": None, "images": "val"}
CHOICE = VisualizeConfig(None, 3, None, "val")


@pytest.fixture
def data():
    draw = np.random.default_rng(0)
    splits = [Pixels(draw.integers(0, 256, (20, 37, 37, 3), dtype=np.uint8), np.arange(20) % 2) for _ in range(2)]
    return ImageData(Source(["a", "b"], *splits), DataSettings(32, 7, workers=0))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build(ROWS, 32, 2).eval()


def run(folder, *arguments):
    record = Record(folder)
    for result in visualize(*arguments):
        record.add(result)
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def test_one_rule_draws_grids_several_draw_them_side_by_side_too(net, data, tmp_path):
    names = {line["name"] for line in run(tmp_path / "one", net, data, replace(CHOICE, rules="guided"), 0)}
    assert names == {"top9/conv1", "top9/conv2", "images/0", "filters/conv1", "layers", "receptive", "outcome"}
    lines = run(tmp_path / "all", net, data, replace(CHOICE, rules="all"), 0)
    assert {line["name"] for line in lines} == names | {"rules/conv1", "rules/conv2"}
    assert "projections by deconvnet" in next(line["caption"] for line in lines if line["name"] == "top9/conv2")
    assert all((tmp_path / "all" / line["path"]).is_file() for line in lines if line["kind"] != "conclusion")
    records = [load_file(tmp_path / name / "top9/top9.safetensors") for name in ("one", "all")]
    assert all(torch.equal(records[0][name], records[1][name]) for name in records[0])


def test_a_rule_that_auto_chooses_and_the_same_one_asked_for_are_drawn_once_with_the_reason(net, data, tmp_path):
    lines = run(tmp_path / "both", net, data, replace(CHOICE, rules=["auto", "deconvnet"]), 0)
    captions = {line["name"]: line["caption"] for line in lines}
    assert "deconvnet (a plain chain" in captions["top9/conv2"] and "rules/conv2" not in captions


def test_what_cannot_be_drawn_is_refused_before_a_folder_is_made(net, data):
    """Not at the first result that is asked for."""
    with pytest.raises(UserError, match="no layer conv9"):
        visualize(net, data, VisualizeConfig(["conv9"], 3, None, "val"), 0)


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
def test_each_rule_projects_the_same_unit_by_itself(rule, net, data):
    """The strongest unit of a map, cut to its field, against a projection of the whole image."""
    top = search_top9(net, data, CHOICE.images, ["conv2"])["conv2"]
    view = feature_view(net, SplitPixels(data, "val"), "conv2", top, [4], rule)
    image, row, col = (int(field[4, 0]) for field in (top.image, top.row, top.col))
    pick = Units(*(torch.tensor([number]) for number in (0, 4, row, col)))
    whole = project(net, data.images("val", [image]), "conv2", pick, rule)[0]
    assert np.isclose(float(view.projections[0, 0].norm()), float(whole.norm()), rtol=1e-4) and whole.norm() > 0


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("foo", "rule=foo is unknown; possible: auto, deconvnet, guided, gradient, all"),
        (["guided", "smooth"], "rule=.*smooth.* is unknown; possible: auto, deconvnet, guided, gradient"),
        ([], r"rule=\[\] is no rule; possible: auto, deconvnet, guided, gradient, a list of them, or all"),
    ],
)
def test_rules_that_there_are_not_are_refused(rules, message):
    with pytest.raises(UserError, match=message):
        read_config(VisualizeConfig, {"evolution": VALUES, "rule": rules})


def test_every_rule_of_the_settings_is_one_of_the_engine():
    assert set(get_args(RuleName)) == {AUTO, *RULES}


def test_layers_whose_fields_are_drawn(net):
    assert [layer.name for layer in layers_to_draw(layer_summaries(net, 32), 32)] == ["conv1", "pool1", "conv2", "fc3"]
    with torch.device("meta"):
        anatomy_layers = layer_summaries(models.resnet50(), 224)
    drawn = layers_to_draw(anatomy_layers, 224)
    sizes = [layer.field.rows.size for layer in drawn]
    assert len(drawn) == MAX_LAYERS and sizes == sorted(set(sizes))  # each once, from the pixels up
    assert drawn[0].name == "conv1" and sizes[-2] < 224 <= sizes[-1]  # up to the first that sees all
    assert [layer.name for layer in layers_to_draw(anatomy_layers, 6)] == ["conv1"]


def test_the_boxes_are_the_fields_nearest_to_the_middle(net):
    """conv1 has units every 2 pixels with fields of 5 from -1 on: the middle of 32 pixels, 15.5, lies in that of 15 or
    17."""
    figure = receptive_fields_plot(np.zeros((32, 32, 3), np.uint8), layer_summaries(net, 32))
    box = figure.axes[0].patches[0]
    assert (box.get_x() + 0.5, box.get_width()) == (13, 5) and (box.get_y() + 0.5, box.get_height()) == (13, 5)
    units = figure.axes[1].get_lines()[0].get_xdata()
    assert sorted(set(units)) == [1 + 2 * place for place in range(15)]


def test_a_trained_run_end_to_end(trained, tmp_path):
    words = ["job=visualize", "rule=[guided,gradient]", f"ckpt={trained}/checkpoints/last.ckpt", "evolution.maps=2"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    JOBS["visualize"](settings, tmp_path / "run")
    names = {json.loads(line)["name"] for line in (tmp_path / "run/index.jsonl").read_text().splitlines()}
    assert {"receptive", "layers", "rules/conv5", "top9/conv5", "images/0"} <= names
    atlas = json.loads((tmp_path / "run/report/data.js").read_text().removeprefix("window.DATA = ")[:-2])["atlas"]
    assert (atlas["epochs"], atlas["input"], len(atlas["classes"])) == ([None], 64, 10)
    assert [len(layer["shown"]) for layer in atlas["layers"]] == [2] * 5
    rows = json.loads((tmp_path / "run/summary.json").read_text())["net"]["rows"]
    assert [(row["side"], row["field"]) for row in rows if row["name"] in ("conv1", "fc8")] == [(30, 7), (1, "image")]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_the_line_below_a_grid_is_of_projections_made_anew(layer, rule, net, data):
    """Fields at the border and, of maps that few images excite, places without an image are among them."""
    top, maps = search_top9(net, data, "val", [layer])[layer], [5, 0, 3]
    top = Top9(*(field.clone() for field in top))
    top.score[0, 1:], top.score[3, 2:] = -1.0, 0.0
    images = SplitPixels(data, "val")
    view = with_dependence(net, images, feature_view(net, images, layer, top, maps, rule))
    units, inputs, _ = exciting_units(net, images, top, [5, 3], 3)  # a single image excites map 0
    expected = measure(net, inputs, layer, units, {rule: project_fields(net, inputs, layer, units, rule)})[rule].mean
    assert view.dependence == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert view.first_maps(2).corners.shape == (2, 9, 2)
