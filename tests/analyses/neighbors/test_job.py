"""The job on a trained run, and on images of which every distance is known."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from convscope.analyses.neighbors.about import NeighborsConfig
from convscope.analyses.neighbors.job import neighbors
from convscope.analyses.subject import Subject
from convscope.cli.jobs import JOBS
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.errors import UserError
from convscope.models.build import build
from convscope.runs.record import Number, Picture, Record, Table

ROWS = {
    "conv1": {"kind": "conv", "maps": 6, "kernel": 5, "stride": 2},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2},
    "fc2": {"kind": "full", "units": 12},
    "fc3": {"kind": "full", "units": "classes"},
}
LABELS = np.array([0] * 20 + [1] * 10 + [2] * 10)


CONF = Path(__file__).resolve().parents[3] / "conf"


def build_subject(classes=("ant", "bee", "cow"), targets=(0, 1, 2)):
    """Noise; the validation images 0, 4 and 7 are the training images 33, 2 and 25."""
    draw = np.random.default_rng(0)
    train = draw.integers(0, 256, (40, 37, 37, 3), dtype=np.uint8)
    val = draw.integers(0, 256, (9, 37, 37, 3), dtype=np.uint8)
    val[[0, 4, 7]] = train[[33, 2, 25]]
    source = Source(["ant", "bee", "cow"], Pixels(train, LABELS), Pixels(val, np.array([2, 0, 1, 2, 0, 1, 2, 1, 0])))
    data = ImageData(source, DataSettings(32, 7, workers=0))
    torch.manual_seed(0)
    return Subject(build(ROWS, 32, len(classes)).eval(), data, list(classes), list(targets))


def results(of, seed=0, **plan):
    return {(type(result), result.name): result for result in neighbors(of, NeighborsConfig(**plan), seed)}


@pytest.mark.parametrize("pooled", [True, False])
def test_maps_are_compared_as_the_net_takes_them(pooled):
    """As means over the positions where a global pool follows, else position by position."""
    torch.manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)] if pooled else [nn.Flatten(), nn.Linear(1536, 3)]
    of = build_subject()._replace(net=nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), *head).eval())
    nearest = results(of, images=[3, 5], nearest=40, layer="1")[Table, "neighbors/nearest"].rows
    with torch.inference_mode():
        maps = {split: of.net[:2](of.data.images(split, range(of.data.size(split)))) for split in ("val", "train")}
    val, train = (maps[split].mean((2, 3)) if pooled else maps[split].flatten(1) for split in ("val", "train"))
    for row in nearest:
        distance = (val[row["index"]] - train[row["at"]]).double().norm()
        assert row["distance"] == pytest.approx(float(distance), rel=1e-4)


def brute_force(subject, layer, k):
    """[9, k] indices of the nearest training images, by one pass over all and numpy in float64."""

    def vectors(split, count):
        x = subject.data.images(split, range(count))
        for name, child in subject.net.named_children():
            x = child(x)
            if name == layer:
                return x.flatten(1).detach().numpy().astype(np.float64)

    train, val = vectors("train", 40), vectors("val", 9)
    distance = np.sqrt(((val[:, None] - train[None]) ** 2).sum(2))
    order = distance.argsort(axis=1)[:, :k]
    return order, np.take_along_axis(distance, order, 1)


@pytest.mark.parametrize("layer", [None, "pool1"])
def test_all_neighbors_by_brute_force(layer):
    subject = build_subject()
    index, distance = brute_force(subject, layer or "fc2", 5)  # fc2 is the last hidden layer
    by_name = results(subject, images=list(range(9))[::-1], nearest=5, layer=layer)
    rows = by_name[Table, "neighbors/nearest"].rows
    assert [row["index"] for row in rows[::5]] == list(range(9))[::-1]  # in the order asked for
    for row in rows:
        place = row["index"], row["rank"] - 1
        assert row["at"] == index[place] and np.isclose(row["distance"], distance[place], rtol=1e-4, atol=1e-3)
        assert row["shows"] == ["ant", "bee", "cow"][LABELS[row["at"]]]
    logits = subject.net(subject.data.images("val", range(9))).softmax(1)
    for row in by_name[Table, "neighbors/images"].rows:
        assert row["predicted"] == ["ant", "bee", "cow"][int(logits[row["index"]].argmax())]
        assert np.isclose(row["probability"], float(logits[row["index"]].max().detach()), atol=1e-5)


def test_agreement_chance_and_doubles_counted_by_hand():
    subject = build_subject()
    index, _ = brute_force(subject, "fc2", 4)
    labels = subject.data.labels("val", range(9)).numpy()
    by_name = results(subject, nearest=4, images=[1], scored=None)
    number = {name: result.value for (kind, name), result in by_name.items() if kind is Number}
    assert np.isclose(number["neighbors/agreement"], np.mean(LABELS[index] == labels[:, None]))
    assert number["neighbors/agreement_low"] <= number["neighbors/agreement"] <= number["neighbors/agreement_high"]
    assert np.isclose(number["neighbors/chance"], np.mean([[0.5, 0.25, 0.25][label] for label in labels]))
    assert number["neighbors/doubles"] == 3


def test_an_image_of_both_splits_is_its_own_neighbor():
    by_name = results(build_subject(), images=[0, 4, 7], nearest=1)
    rows = by_name[Table, "neighbors/nearest"].rows
    assert [row["at"] for row in rows] == [33, 2, 25] and all(row["distance"] < 1e-3 for row in rows)


def test_a_net_that_knows_other_classes():
    names = ["ox", "ant", "asp", "fly", "gnat", "moth", "wasp"]
    subject = build_subject(names, (1, -1, -1))
    by_name = results(subject, images=[1, 2], nearest=2)
    assert {row["predicted"] for row in by_name[Table, "neighbors/images"].rows} <= set(names)
    assert by_name[Picture, "neighbors/nearest"].image.width > 600


def test_many_images_make_several_pictures():
    by_name = results(build_subject(), images=[0, 1, 2] * 4, nearest=1)
    heights = [by_name[Picture, f"neighbors/nearest{end}"].image.height for end in ("", "_2")]
    assert heights[0] > heights[1] and by_name[Picture, "neighbors/nearest_2"].caption.endswith("(2 of 2)")


def test_one_image_has_no_interval(tmp_path):
    record = Record(tmp_path)
    for result in neighbors(build_subject(), NeighborsConfig(images=1, nearest=3, scored=1), seed=0):
        record.add(result)
    lines = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    value = {line["name"]: line.get("value") for line in lines}
    assert value["neighbors/agreement_low"] is None and value["neighbors/agreement"] is not None


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"nearest": 0}, "neighbors.nearest=0 is too small; it is 1 or more"),
        ({"nearest": 41}, "neighbors.nearest=41 is more than the 40 training images; ask for fewer"),
        ({"scored": 0}, "neighbors.scored=0 is too small; it is 1 or more, or null"),
        ({"layer": "fc9"}, r"no layer fc9 in this net .did you mean fc3\?.; its layers: conv1, pool1, fc2, fc3"),
        ({"images": [3, 9]}, "no image 9 in val; its images are 0 to 8"),
        ({"images": 0}, "neighbors.images=0 is too small; it is 1 or more"),
        ({"images": []}, "an empty list of images; name some of 0 to 8"),
    ],
)
def test_what_cannot_be_asked(plan, message):
    with pytest.raises(UserError, match=message):
        results(build_subject(), **plan)


def test_features_that_are_no_numbers_are_told():
    subject = build_subject()
    subject.net.fc2.weight.data[0, 0] = torch.inf
    with pytest.raises(UserError, match="layer fc2 puts out values that are not finite, so nothing is near"):
        results(subject)


def test_a_trained_run_end_to_end(trained, tmp_path):
    words = ["job=neighbors", f"ckpt={trained}/checkpoints/last.ckpt", "neighbors.images=3", "neighbors.nearest=4"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    run = tmp_path / "run"
    JOBS["neighbors"](settings, run)
    index = [json.loads(line) for line in (run / "index.jsonl").read_text().splitlines()]
    paths = [line["path"] for line in index if "path" in line]
    assert "pictures/neighbors/nearest.jpg" in paths and all((run / path).is_file() for path in paths)
    with open(run / "tables/neighbors/nearest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and {row["rank"] for row in rows} == {"1", "2", "3", "4"}
    numbers = json.loads((run / "summary.json").read_text())["numbers"]
    assert 0 <= numbers["neighbors/agreement"] <= 1 and np.isclose(numbers["neighbors/chance"], 0.1)
