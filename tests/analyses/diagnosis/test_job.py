"""job=diagnose end to end: a trained run and nets of torchvision and timm, read back from the run folder."""

import csv
import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from convscope.analyses.diagnosis.about import DiagnosisConfig
from convscope.cli.jobs import JOBS
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"


def diagnosed(words, folder):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(
            compose("config", overrides=["job=diagnose", "diagnose.images=20", "diagnose.maps=6", *words]), resolve=True
        )
    JOBS["diagnose"]({**settings, "words": words}, folder)
    return folder


def rows(folder, name):
    return list(csv.DictReader((folder / f"tables/diagnosis/{name}.csv").open()))


def numbers(folder):
    return json.loads((folder / "summary.json").read_text())["numbers"]


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return diagnosed([f"ckpt={trained}/checkpoints/last.ckpt"], tmp_path_factory.mktemp("seen") / "run")


def test_the_folder_holds_what_the_index_promises(folder):
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    names = [line["name"] for line in lines]
    for name in ("filters_common_scale", "filters_own_scale", "frequencies", "second_layer", "layers", "findings"):
        assert f"diagnosis/{name}" in names
    assert all(line.get("caption") for line in lines)
    for line in lines:
        if line["kind"] == "picture":
            Image.open(folder / line["path"]).verify()
    assert json.loads((folder / "summary.json").read_text())["finished"]


def test_the_numbers_are_those_of_the_checkpoint(folder, trained):
    weights = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    rms = weights["net.conv1.weight"].square().mean((1, 2, 3)).sqrt().sort().values
    values = numbers(folder)
    assert values["diagnosis/dominance/conv1"] == pytest.approx(float(rms[-1] / rms[(len(rms) - 1) // 2]), rel=1e-4)
    assert values["diagnosis/held/conv1"] == float((rms > 0.099).float().mean())
    assert sum(values[f"diagnosis/{band}"] for band in ("low", "mid", "high")) == pytest.approx(1, abs=1e-4)
    assert [row["layer"] for row in rows(folder, "layers")] == ["conv1", "conv2", "conv3", "conv4", "conv5"]


def test_each_finding_has_a_verdict(folder):
    findings = rows(folder, "findings")
    assert list(findings[0]) == ["what", "layer", "found", "verdict", "what the paper did"]
    assert all(row["verdict"] for row in findings)
    kinds = {row["what"] for row in findings}
    assert kinds >= {"dead filters", "double filters", "frequencies", "filter norms", "dead maps", "aliasing", "units"}


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["model=torchvision", "model.name=alexnet"], "features.0"),
        (["model=timm", "model.name=mobilenetv3_small_050"], "conv_stem"),
    ],
)
def test_a_net_that_never_learned_is_noise(words, first, tmp_path, cache):
    data = ["data.train=20", "data.val=20", "data.image_size=96", f"data.cache_dir={cache}"]
    folder = diagnosed([*words, *data], tmp_path / "run")
    count = int(next(row for row in rows(folder, "layers") if row["layer"] == first)["maps"])
    values = numbers(folder)
    if first == "features.0":
        assert values["diagnosis/noise_filters"] >= 0.95 * count and values["diagnosis/double_filters"] == 0
        assert values["diagnosis/high"] == pytest.approx(0.65, abs=0.03)
        assert [row["verdict"] for row in rows(folder, "findings")][0] == "too many dead filters"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "dev"}, "diagnose.split=dev is unknown; possible: val, train, test"),
        ({"images": 0}, "diagnose.images=0 is too small; it is 1 or more"),
        ({"maps": 2.5}, "diagnose.maps=2.5 is not a whole number"),
        ({"radius": -0.1}, "diagnose.radius=-0.1 is too small; it is above 0, or null"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    plan = {"images": 10, "split": "val", "radius": 0.1, "maps": 4}
    with pytest.raises(UserError, match=message):
        DiagnosisConfig(**(plan | changes))
