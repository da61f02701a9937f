"""job=dissect from its settings to the run folder: drawn animals, photographs with masks, nets of other makers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import convscope
from convscope.analyses.dissection.about import DissectionConfig
from convscope.cli.jobs import JOBS
from convscope.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"


def settings(*words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=["job=dissect", "trainer.accelerator=cpu", *map(str, words)])
    return OmegaConf.to_container(config, resolve=True) | {"words": [str(word) for word in words]}


def table(folder, name):
    with open(folder / f"tables/dissection/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(trained, cache, tmp_path_factory):
    place = tmp_path_factory.mktemp("dissect") / "run"
    words = [f"ckpt={trained}/checkpoints/last.ckpt", f"data.cache_dir={cache}", "dissect.images=10",
             "dissect.threshold=0", "dissect.layers=[conv1,conv3]", "dissect.shuffles=2"]  # fmt: skip
    JOBS["dissect"](settings(*words), place)
    return place


def test_the_tables_agree_with_one_another_and_with_the_arrays(folder):
    maps, layers, parts = (table(folder, name) for name in ("maps", "layers", "parts"))
    arrays = load_file(next(folder.rglob("maps.safetensors")))
    assert [row["layer"] for row in layers] == ["conv1", "conv3"]
    for row in layers:
        name = row["layer"]
        of_layer = [cells for cells in maps if cells["layer"] == name]
        iou, shuffled, fresh = (arrays[f"{name}.{kind}"].double() for kind in ("iou", "shuffled", "untrained_iou"))
        assert len(of_layer) == int(row["maps"]) == len(iou)
        names = [cells["part"] for cells in parts if cells["layer"] == name]
        assert len(names) == 10 and len(set(names)) == 10
        for cells, values in zip(of_layer, iou, strict=True):
            best, number = float(cells["IoU"]), int(cells["map"])
            assert best == pytest.approx(float(values.max()), rel=1e-4)
            assert cells["part"] == (names[int(values.argmax())] if best else "")
            assert float(cells["IoU low"]) <= best <= float(cells["IoU high"])
            null = float(shuffled[:, number].max())
            assert float(cells["shuffled masks"]) == pytest.approx(null, rel=1e-4)
            assert float(cells["untrained"]) == pytest.approx(float(fresh[:, int(values.argmax())].max()), rel=1e-4)
            assert (cells["detector"] == "yes") == (float(values.max()) > null)
        detectors = [cells for cells in of_layer if cells["detector"]]
        assert int(row["detectors"].split()[0]) == len(detectors)
        assert int(row["parts with a detector"].split()[0]) == len({cells["part"] for cells in detectors})
        assert sum(int(cells["detectors"]) for cells in parts if cells["layer"] == name) == len(detectors)


def test_what_came_out_stands_first_and_pictures_are_of_layers_with_detectors(folder):
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    first, layers = lines[0], table(folder, "layers")
    counts = {row["layer"]: int(row["detectors"].split()[0]) for row in layers}
    assert first["kind"] == "conclusion" and first["name"] == "dissection"
    best = max(counts.values())
    assert first["caption"].startswith(f"{best} [") or not best
    assert any(line["name"] == "dissection/layers" and "10 images" in line["caption"] for line in lines)
    pictures = {line["layer"] for line in lines if line["kind"] == "picture" and line.get("layer")}
    assert pictures == {layer for layer, count in counts.items() if count}
    numbers = json.loads((folder / "summary.json").read_text())["numbers"]
    assert {layer: numbers[f"dissection/{layer}/detectors"] for layer in counts} == counts
    for picture in folder.glob("pictures/dissection/*"):
        with Image.open(picture) as image:
            assert np.asarray(image).std() > 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dissect.masks=/m", "dissect.parts=/p.csv"], "dissect.masks and dissect.parts both say"),
        (["dissect.images=[3,3]"], "names an image twice"),
        (["dissect.threshold=1"], "dissect.threshold"),
        (["dissect.layers=[conv9]"], "conv9"),
        (["dissect.layers=[fc6]"], "fc6 outputs .* no maps"),
        (["dissect.images=[7]"], "1 image: two or more"),
        (["dissect.masks=/nowhere"], "/nowhere is no folder of masks"),
    ],
)
def test_what_cannot_be_asked(words, message, trained, cache, tmp_path):
    common = [f"ckpt={trained}/checkpoints/last.ckpt", f"data.cache_dir={cache}", "dissect.images=4"]
    with pytest.raises(UserError, match=message):
        JOBS["dissect"](settings(*common, *words), tmp_path / "run")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))


def test_any_net_and_images_with_masks_of_their_own(net):
    images, masks = torch.rand(6, 3, 20, 24), torch.zeros(6, 20, 24)
    masks[:, 4:8, 6:9] = 1
    images[masks[:, None].expand_as(images) > 0] = 3.0
    weights = net[0].weight.clone()
    findings = convscope.dissect(net, images, masks={"spot": masks, "nothing": masks * 0}, quantile=0.95, shuffles=2)
    assert torch.equal(weights, net[0].weight)
    assert "No image shows its nothing" in findings.results[1].caption
    assert {row["part"] for row in findings.tables["dissection/maps"]} <= {"spot", ""}
    assert all("untrained" in row for row in findings.tables["dissection/maps"])
    alone = convscope.dissect(net, images, masks={"spot": masks}, quantile=0.95, shuffles=2, untrained=False)
    assert not any("untrained" in row for row in alone.tables["dissection/maps"])
    iou = [row["IoU"] for row in findings.tables["dissection/maps"]]
    assert [row["IoU"] for row in alone.tables["dissection/maps"]] == iou  # the other net changes nothing


class Scaled(nn.Sequential):
    """A net with a weight that no module knows how to draw."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.scale = nn.Parameter(torch.ones(1))


def test_a_net_that_cannot_draw_its_weights_anew_is_dissected_alone():
    images, masks = torch.rand(3, 3, 12, 12), torch.ones(3, 12, 12)
    with pytest.raises(UserError, match="Scaled.* cannot draw its weights anew; pass untrained=False"):
        convscope.dissect(Scaled(), images, masks={"all": masks})
    assert convscope.dissect(Scaled(), images, masks={"all": masks}, untrained=False).tables["dissection/maps"]


def test_photographs_without_masks_and_with_empty_ones(net, tmp_path):
    images = torch.rand(4, 3, 20, 20)
    with pytest.raises(UserError, match=r"not known; .*masks=<folder>.*parts=<csv"):
        convscope.dissect(net, images)
    with pytest.raises(UserError, match="none of the 4 images shows any of eye"):
        convscope.dissect(net, images, masks={"eye": torch.zeros(4, 20, 20)})
    with pytest.raises(UserError, match="eye is 3 x 20 x 20; needed is 4 x 20 x 20"):
        convscope.dissect(net, images, masks={"eye": torch.zeros(3, 20, 20)})


def test_a_net_near_chance_is_called_so():
    """Images whose brightest color is their class, for a net that knows it and one that answers 0 to all of them."""
    labels = torch.arange(30) % 3
    images = torch.rand(30, 3, 12, 12) * 0.1 + nn.functional.one_hot(labels, 3)[..., None, None]
    knows = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    knows[0].weight.data = torch.eye(3)[..., None, None]
    guesses = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    guesses[0].weight.data.zero_()
    guesses[0].bias.data = torch.tensor([1.0, 0.0, 0.0])
    captions = [
        convscope.dissect(net, (images, labels), masks={"all": torch.ones(30, 12, 12)}, images=4).results[1].caption
        for net in (knows, guesses)
    ]
    assert "hardly knows" not in captions[0]
    assert ". The net hardly knows these images: top-1 33.3%" in captions[1]
    assert "of 30 val images, chance is 33.3%" in captions[1]


def test_defaults_are_the_papers():
    assert (DissectionConfig().threshold, DissectionConfig().quantile) == (0.04, 0.995)
