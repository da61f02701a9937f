"""Real runs whose top-1 and mean AP disagree about which epoch is best: whatever goes by one goes by the same."""

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.runs.record import Record
from convscope.training.classifier import Classifier
from convscope.training.job import TrainingPlan, goal_facts, train, written_volume
from convscope.training.recipe import Recipe

TARGETS = np.array([[1, 1, -1], [1, -1, -1], [1, -1, 1], [-1, 1, -1], [-1, -1, 1], [1, -1, -1]], np.int8)
SURE = [[9, -9, -9], [8, -9, -9], [7, -9, -9], [6, -7, -9], [5, -8, -9], [4, -9, -9]]  # of class 0 alone
RIGHT = [[5, 2, 11], [5, -9, 11], [5, -9, 20], [-9, 3, 11], [-9, -9, 21], [5, -9, 11]]  # but always class 2
ROWS = {"a right ranking": RIGHT, "always the same": [[0, 0, 0]] * 6, "sure of one class": SURE}

DESCRIPTION = {"source": "torchvision", "name": "scripted", "image_size": 16, "classes": 3}


class Scripted(nn.Module):
    """Answers the six validation images as the entry of the epoch says; trains a weight that changes nothing."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.weight, self.epoch = answers, nn.Parameter(torch.zeros(3)), 0

    def forward(self, image):
        if self.training:  # the one step of an epoch
            self.epoch += 1
            return self.weight.expand(len(image), 3)
        return torch.tensor(self.answers[self.epoch - 1], dtype=torch.float32)


@pytest.fixture
def data(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 18, 18, 3), np.uint8)
    split = Pixels(images, TARGETS.argmax(1), TARGETS)
    settings = DataSettings(image_size=16, batch_size=6, cache_dir=str(tmp_path / "cache"))
    return ImageData(Source(["a", "b", "c"], split, split), settings)


def run(data, place, epochs, loss, trained=0):
    """Trains through these epochs, of which the first `trained` are over; returns the summary and the record."""
    recipe = Recipe("sgd", 0.1, 0.9, 0.0, 6, "plateau", 0, 0.0, "he", 0.01, [], None, loss)
    settings = {"max_epochs": len(epochs), "accelerator": "cpu", "devices": 1}
    record = Record(place)
    net = Scripted([ROWS[epoch] for epoch in epochs[trained:]])
    plan = TrainingPlan(settings, FeatureConfig(None, 1, [], "val"), 0, {"net": DESCRIPTION})
    return train(Classifier(net, recipe, 3), data, plan, record), record


def rates(record):
    lines = [line.split(",") for line in (record.folder / "metrics.csv").read_text().splitlines()]
    return [float(line[lines[0].index("lr")]) for line in lines[1:]]


def best_epoch(record):
    return torch.load(record.folder / "checkpoints/best.ckpt", weights_only=True)["convscope"]["epoch"]


EPOCHS = ["sure of one class", "a right ranking", "sure of one class", "sure of one class"]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "best"), [("multilabel", 2), ("softmax", 1)])
def test_best_checkpoint_plateau_and_summary_go_by_the_same(loss, best, data, tmp_path):
    outcome, record = run(data, tmp_path / "run", EPOCHS, loss)
    assert outcome["best"]["epoch"] == best_epoch(record) == best
    # a step by ten after each epoch that is no better than the best so far, told in the row of the next
    assert rates(record) == pytest.approx([0.1, 0.1, 0.1, 0.01] if loss == "multilabel" else [0.1, 0.1, 0.01, 0.001])
    answers = np.array(ROWS[EPOCHS[best - 1]])
    precisions = [average_precision_score(TARGETS[:, k] > 0, answers[:, k]) for k in range(3)]
    assert loss == "softmax" or outcome["best"]["val/mean_ap"] == pytest.approx(np.mean(precisions))


@pytest.mark.slow
def test_chance_is_that_of_the_loss(data, tmp_path, capsys):
    """Four of the six images show the first class: top-1 stands at 67 % whatever the net has learned."""
    outcome, _ = run(data, tmp_path / "run", ["always the same"] * 4, "multilabel")
    (warning,) = outcome["warnings"]
    chance = goal_facts(data, "multilabel")["chance"]
    assert outcome["final"]["val/mean_ap"] == pytest.approx(chance) and f"chance is {chance:.1%}" in warning
    assert warning.startswith(f"epoch 3: the net has stood at chance for 3 epochs (val mean AP {chance:.1%}, loss")
    outcome, _ = run(data, tmp_path / "other", ["a right ranking"] * 4, "multilabel")
    assert outcome["warnings"] == []


@pytest.mark.slow
def test_a_run_of_0_1_goes_on_by_mean_ap_from_a_plateau_that_waited_for_top1(data, tmp_path):
    """Its best top-1, .67, is above any mean AP to come."""
    path = tmp_path / "run/checkpoints/last.ckpt"
    run(data, tmp_path / "run", ["sure of one class"], "multilabel")
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["convscope"]["goal"]
    checkpoint["lr_schedulers"][0] |= {"best": 1.0, "num_bad_epochs": 0}
    torch.save(checkpoint, path)
    _, record = run(data, tmp_path / "run", ["sure of one class", *["a right ranking"] * 3], "multilabel", trained=1)
    assert rates(record) == pytest.approx([0.1, 0.1, 0.1, 0.01])


def written(config, epochs=20):
    """The megabytes of pictures and of a checkpoint that are announced for a net of two layers of 64 maps."""
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    net(torch.zeros(1, 3, 16, 16))
    line = written_volume(config, epochs, net, 16)
    return [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) MB", line)], line


def test_a_run_says_what_it_will_write():
    maps = {"0": list(range(64)), "2": list(range(64))}
    (pictures, checkpoint), line = written(FeatureConfig(["0", "2"], maps, None, "val"))
    assert 10 < pictures < 2 / 5 * 60 and checkpoint == 1 and "128 maps of 2 layers at 20 epochs" in line
    (larger, _), _ = written(FeatureConfig(["0", "2"], maps, None, "val", tile=224))
    (fewer, _), _ = written(FeatureConfig(["0", "2"], maps, [5, 10], "val"))
    assert "of 2 layers at 1 epoch)" in written(FeatureConfig(["0", "2"], maps, [5], "val"))[1]
    assert larger > 8 * pictures and fewer == pytest.approx(pictures / 10, abs=1)
    assert "no pictures" in written(FeatureConfig(["0", "2"], maps, [], "val"))[1]
