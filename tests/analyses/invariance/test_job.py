"""The job from its settings to its run folder, and what cannot be asked of it."""

import csv
import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

from convscope.analyses.invariance.about import InvarianceConfig
from convscope.analyses.invariance.job import compared_layers
from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.models.build import build

CONF = Path(__file__).resolve().parents[3] / "conf"
FAST = ["invariance.images=2", "invariance.scored=6", "trainer.accelerator=cpu"]


def run(words, folder):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = OmegaConf.to_container(compose("config", overrides=["job=invariance", *FAST, *words]), resolve=True)
    JOBS["invariance"](chosen, folder)
    return folder


def table(folder, name):
    return list(csv.DictReader((folder / f"tables/invariance/{name}.csv").read_text().splitlines()))


def plan(**changes):
    return InvarianceConfig(**{"images": 2, "scored": 6, "split": "val", "layers": None, "fill": "gray"} | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trained):
    return run([f"ckpt={trained}/checkpoints/last.ckpt"], tmp_path_factory.mktemp("invariance") / "run")


def test_the_run_folder_has_the_figure_and_the_tables(folder):
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["finished"] and (folder / "report/index.html").is_file()
    assert Image.open(folder / "pictures/invariance/curves.png").width > 1000
    rows = table(folder, "tolerance")
    assert [(row["transform"].split(",")[0], row["layer"]) for row in rows] == [
        (transform, layer) for transform in ("translation", "scale", "rotation") for layer in ("conv1", "fc7")
    ]
    assert [row["transform"] for row in table(folder, "difference")] == [
        "translation, px", "scale, ratio-1", "rotation, degrees",
    ]  # fmt: skip
    kinds = [json.loads(line)["kind"] for line in (folder / "index.jsonl").read_text().splitlines()]
    assert kinds.count("picture") == 1 and kinds.count("table") == 3


def test_numbers_are_those_of_the_saved_curves(folder):
    """At 64 pixels the shifts are -17 .. 17."""
    numbers = json.loads((folder / "summary.json").read_text())["numbers"]
    arrays = load_file(folder / "invariance/sweeps.safetensors")
    assert arrays["translation.values"].min() == -17 and len(arrays["images"]) == 6
    ends = arrays["rotation.probability"][:, arrays["rotation.values"] == 180].mean()
    assert numbers["invariance/rotation/probability_farthest"] == pytest.approx(ends.item())
    start = arrays["scale.probability"][:, 0].mean()
    assert numbers["invariance/scale/probability_unchanged"] == pytest.approx(start.item())
    for transform in ("translation", "scale", "rotation"):
        for field in ("half", "relative", "far"):
            upper, lower = (numbers[f"invariance/{transform}/{layer}/{field}"] for layer in ("fc7", "conv1"))
            difference = numbers[f"invariance/{transform}/difference/{field}"]
            assert difference == pytest.approx(upper - lower, abs=1e-6)
    curves = [row for row in table(folder, "curves") if row["transform"] == "scale"]
    assert [float(row["value"]) for row in curves] == pytest.approx([1 + step / 20 for step in range(17)])
    assert float(curves[-1]["conv1"]) == pytest.approx(arrays["scale.conv1"][:, -1].mean().item(), rel=1e-5)


def test_named_images_and_layers_add_columns(tmp_path, trained):
    words = ["invariance.images=[3,1]", "invariance.layers=[fc7,conv3,conv1]", "invariance.fill=edge"]
    folder = run([f"ckpt={trained}/checkpoints/last.ckpt", *words], tmp_path / "run")
    assert [row["layer"] for row in table(folder, "tolerance")][:3] == ["conv1", "conv3", "fc7"]
    caption = next(
        row for row in map(json.loads, (folder / "index.jsonl").open()) if row["name"].endswith("difference")
    )
    assert caption["caption"].startswith("fc7 minus conv1, image by image")


def test_one_image_and_one_layer(tmp_path, trained):
    words = ["invariance.images=1", "invariance.scored=1", "invariance.layers=[conv2]"]
    folder = run([f"ckpt={trained}/checkpoints/last.ckpt", *words], tmp_path / "run")
    numbers = json.loads((folder / "summary.json").read_text())["numbers"]
    assert numbers["invariance/scale/conv2/relative"] is None  # no other image
    assert 0 < numbers["invariance/scale/conv2/half"] < 0.8
    assert not (folder / "tables/invariance/difference.csv").exists()


def test_a_foreign_net(tmp_path, cache):
    words = ["model=torchvision", "model.name=resnet18", "data.image_size=64", "data.train=20", "data.val=20"]
    folder = run([*words, "invariance.scored=2", f"data.cache_dir={cache}"], tmp_path / "run")
    assert {row["layer"] for row in table(folder, "tolerance")} == {"relu", "avgpool"}


def test_what_cannot_be_asked_is_told(tmp_path, trained):
    ckpt = f"ckpt={trained}/checkpoints/last.ckpt"
    with pytest.raises(UserError, match=r"no layer conv9 in this net .did you mean conv5\?.; its layers: conv1, pool1"):
        run([ckpt, "invariance.layers=[conv1,conv9]"], tmp_path / "layer")
    with pytest.raises(UserError, match="no image 40 in val; its images are 0 to 39"):
        run([ckpt, "invariance.images=[0,40]"], tmp_path / "image")
    with pytest.raises(UserError, match="invariance.scored=0 is too small; it is 1 or more"):
        run([ckpt, "invariance.scored=0"], tmp_path / "none")
    with pytest.raises(UserError, match="invariance.fill=black is unknown; possible: gray, edge, reflect"):
        run([ckpt, "invariance.fill=black"], tmp_path / "fill")
    with pytest.raises(UserError, match="invariance.split=dev is unknown; possible: val, train, test"):
        plan(split="dev")
    with pytest.raises(UserError, match=r"invariance.layers=\[\] has 0 values; it needs 1 or more"):
        plan(layers=[])


def test_layers_come_in_the_nets_order():
    rows = {"conv1": {"kind": "conv", "maps": 4, "kernel": 3}, "conv2": {"kind": "conv", "maps": 4, "kernel": 3}}
    net = build(rows | {"fc3": {"kind": "full", "units": "classes"}}, 16, 3)
    assert compared_layers(["fc3", "conv1", "conv2"], net, 16) == ["conv1", "conv2", "fc3"]
    assert compared_layers(None, net, 16) == ["conv1", "conv2"]
