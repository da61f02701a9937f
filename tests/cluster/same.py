"""Words that make a run of seconds, and whether one of several processes leaves what one of one process leaves."""

import csv
import json

import pytest
from safetensors.torch import load_file

TINY = [
    "data.train=40", "data.val=20", "data.image_size=64", "model.width=0.05", "trainer.accelerator=cpu",
    "trainer.max_epochs=1", "data.workers=0", "model.layers.fc6.dropout=0", "model.layers.fc7.dropout=0",
]  # fmt: skip
TWO = ["optim.batch_size=10", "evolution.maps=2"]  # of each of two processes
APART = {"seconds", "images_per_second"}


def row(folder):
    (found,) = csv.DictReader((folder / "metrics.csv").open())
    return {key: float(value) for key, value in found.items() if key not in APART}


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def assert_same(folder, one):
    """Files by name; top-9 images exactly; metrics to 1e-3: sums of 20 images and of 2 x 10 round differently."""
    files = [{path.relative_to(place) for path in place.rglob("*") if path.is_file()} for place in (folder, one)]
    assert files[0] == files[1]
    assert row(folder) == pytest.approx(row(one), rel=1e-3, abs=1e-3)
    found, expected = (load_file(place / "top9/epoch_001.safetensors") for place in (folder, one))
    images = [key for key in expected if key.endswith("image")]
    assert len(images) >= 5
    assert all(found[key].equal(expected[key]) for key in images)
    assert summary(folder)["finished"]
