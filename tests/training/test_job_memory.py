"""The short version of benchmarks/reliability_soak.py: what a process holds does not grow with its epochs and runs."""

import gc
import os
import threading
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.models.build import build
from convscope.runs.record import Record
from convscope.training.classifier import Classifier
from convscope.training.job import TrainingPlan, train
from convscope.training.recipe import Recipe, initialize_

pytestmark = pytest.mark.slow

ROWS = {"conv1": {"kind": "conv", "maps": 4, "kernel": 3}, "fc2": {"kind": "full", "units": "classes"}}
RECIPE = Recipe("sgd", 1e-4, 0.9, 0.0, 10, "constant", 0, 0.0, "he", 0.01, [], None)
HELD = (torch.Tensor, matplotlib.figure.Figure, pl.Trainer, np.memmap)


@pytest.fixture(autouse=True)
def nothing_older():
    """Leaves what earlier tests hold out of the counts, and out of what is searched for garbage."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def held():
    """Open files, threads, and how many living objects of the kinds that leak."""
    gc.collect()
    living = gc.get_objects()
    alive = [sum(isinstance(value, kind) for value in living) for kind in HELD]
    files = len(list(Path("/proc/self/fd").iterdir())) if os.path.isdir("/proc/self/fd") else 0
    return [files, threading.active_count(), *alive]


class Counting(Record):
    """Counts what the process holds at the end of some epochs."""

    def row(self, epoch, *values):
        super().row(epoch, *values)
        if epoch in (10, 20, 30):
            self.seen = [*getattr(self, "seen", []), held()]


def run(place, epochs):
    torch.manual_seed(0)
    draw, label = np.random.default_rng(0), np.arange(20) % 2
    images = Pixels(draw.integers(0, 256, (20, 18, 18, 3), np.uint8), label)
    settings = DataSettings(image_size=16, batch_size=10, cache_dir=str(place / "cache"))
    net = build(ROWS, image_size=16, classes=2)
    initialize_(net, RECIPE)
    plan = TrainingPlan(
        {"max_epochs": epochs, "accelerator": "cpu", "devices": 1}, FeatureConfig(None, 2, None, "val"), 0, {}
    )
    record = Counting(place / "run")
    train(Classifier(net, RECIPE, 2), ImageData(Source(["a", "b"], images, images), settings), plan, record)
    return record


@pytest.mark.filterwarnings("ignore")
def test_thirty_epochs_hold_what_ten_hold(tmp_path):
    early, middle, late = run(tmp_path, 30).seen
    assert early == middle == late


@pytest.mark.filterwarnings("ignore")
def test_four_runs_in_one_process_hold_what_two_hold(tmp_path):
    counts = []
    for number in range(4):
        run(tmp_path / str(number), 2)
        counts.append(held())
    assert counts[1] == counts[-1]
