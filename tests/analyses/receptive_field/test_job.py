"""The job from its settings to its run folder, on nets of rows and of a library, and what cannot be asked of it."""

import csv
import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import nn
from torchvision import models

from convscope.analyses.receptive_field.compute import effective_fields
from convscope.analyses.receptive_field.job import measured_layers
from convscope.api.opening import load
from convscope.cli.jobs import JOBS
from convscope.errors import UserError
from convscope.models.build import build

CONF = Path(__file__).resolve().parents[3] / "conf"


def run(words, folder):
    overrides = ["job=receptive", "receptive.images=6", "trainer.accelerator=cpu", *words]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)
    JOBS["receptive"](chosen, folder)
    return folder


def test_the_run_folder_has_the_fields_beside_those_of_random_weights(trained, tmp_path):
    folder = run([f"ckpt={trained}/checkpoints/last.ckpt", "receptive.layers=[conv2,conv5]"], tmp_path / "run")
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    pictures = {line["name"]: line["caption"] for line in lines if line["kind"] == "picture"}
    assert list(pictures) == ["receptive/effective", "receptive/sides", "receptive"]
    rows = list(csv.DictReader((folder / "tables/receptive/layers.csv").read_text().splitlines()))
    numbers = json.loads((folder / "summary.json").read_text())["numbers"]
    stored = load_file(folder / "receptive/energy.safetensors")
    subject = load(trained)
    chosen = subject.examples("val", 6, seed=0)
    fields = effective_fields(subject.net, chosen.image, ["conv2", "conv5"], 0)
    for row, (layer, field) in zip(rows, fields.items(), strict=True):
        assert row["layer"] == layer and float(row["side"]) == field.side <= float(row["visible"])
        assert numbers[f"receptive/{layer}"] == pytest.approx(field.share)
        fresh = float(row["untrained side"]) / float(row["visible"])
        assert numbers[f"receptive/{layer}/untrained"] == pytest.approx(fresh)
        assert float(row["side_low"]) <= field.side <= float(row["side_high"])
        assert torch.equal(stored[layer], torch.from_numpy(field.heat).float())
    last = fields["conv5"]
    assert (lines[0]["kind"], lines[0]["name"]) == ("conclusion", "receptive")
    assert f"a square of {last.side:.3g}" in lines[0]["caption"] and "with random weights from " in lines[0]["caption"]
    assert f"whole image of {' x '.join(map(str, last.heat.shape))}" in lines[0]["caption"]
    page = (folder / "report/index.html").read_text()
    assert page.count('<section id="receptive"') == 1 and page.index("effective.png") < page.index("receptive.png")


def test_all_means_every_row_or_every_convolution_that_runs_once():
    rows = {"conv1": {"kind": "conv", "maps": 2, "kernel": 3}, "fc2": {"kind": "full", "units": "classes"}}
    assert measured_layers("all", build(rows, 16, 3), 16) == ["conv1", "fc2"]
    net = models.squeezenet1_0(num_classes=3)
    layers = measured_layers("all", net, 64)
    convolutions = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    assert set(convolutions) < set(layers) and "features.2" in layers


@pytest.mark.parametrize(
    "word, message",
    [
        ("receptive.layers=[conv9]", "no layer conv9"),
        ("receptive.layers=some", "receptive.layers=some"),
        ("receptive.layers=[]", "receptive.layers"),
        ("receptive.images=0", "receptive.images=0"),
        ("receptive.images=[100000]", "100000"),
        ("receptive.split=both", "receptive.split=both"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(word, message, trained, tmp_path):
    with pytest.raises(UserError) as refused:
        run([f"ckpt={trained}/checkpoints/last.ckpt", word], tmp_path / "run")
    assert message in str(refused.value) and "\n" not in str(refused.value)
