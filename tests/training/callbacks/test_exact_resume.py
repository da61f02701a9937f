"""Dropout masks: no two batches have one mask, and a resumed run draws those of an unbroken one."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.runs.record import Record
from convscope.training.callbacks.checkpoints import Within
from convscope.training.callbacks.exact_resume import step_seed
from convscope.training.classifier import Classifier
from convscope.training.job import TrainingPlan, train
from convscope.training.recipe import Recipe

DESCRIPTION = {"source": "torchvision", "name": "masked", "image_size": 16, "classes": 2}


class Masked(nn.Module):
    """Remembers the mask of dropout of every training batch, until the batch at which it ends."""

    def __init__(self, end=None):
        super().__init__()
        self.weight, self.dropout = nn.Parameter(torch.full((64, 2), 0.1)), nn.Dropout(0.5)
        self.masks, self.end = [], end

    def forward(self, image):
        units = self.dropout(torch.ones(len(image), 64))
        if self.training:
            if len(self.masks) == self.end:
                raise KeyboardInterrupt
            self.masks.append(units > 0)
        return units @ self.weight


def run(net, place, accumulate=1, within=None):
    """Two epochs of ten batches of four images. within: steps between two checkpoints."""
    draw, label = np.random.default_rng(0), np.arange(40) % 2
    images = Pixels(draw.integers(0, 256, (40, 18, 18, 3), np.uint8), label)
    data = ImageData(Source(["a", "b"], images, images), DataSettings(16, 4, cache_dir=str(place / "cache")))
    recipe = Recipe("sgd", 1e-3, 0.9, 0.0, 4, "constant", 0, 0.0, "he", 0.01, [], None)
    settings = {"max_epochs": 2, "accelerator": "cpu", "devices": 1, "accumulate_grad_batches": accumulate}
    plan = TrainingPlan(settings, FeatureConfig(None, 1, [], "val"), 0, {"net": DESCRIPTION}, Within(None, within))
    train(Classifier(net, recipe, 2), data, plan, Record(place / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 3, 10])
def test_no_two_batches_have_one_mask_of_dropout(accumulate, tmp_path):
    net = Masked()
    run(net, tmp_path, accumulate)
    assert len(net.masks) == 20
    assert not any(torch.equal(first, second) for first, second in itertools.combinations(net.masks, 2))


@pytest.mark.slow
def test_a_run_cut_off_within_an_accumulated_step_draws_the_same_masks(tmp_path):
    """The step of batches 6, 7 and 8 is begun anew: the last checkpoint stands between 5 and 6."""
    whole, cut, rest = Masked(), Masked(end=8), Masked()
    run(whole, tmp_path / "whole", 3)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(cut, tmp_path, 3, within=1)
    run(rest, tmp_path, 3)
    assert len(cut.masks) == 8 and len(rest.masks) == 14
    assert all(torch.equal(*pair) for pair in zip([*cut.masks[:6], *rest.masks], whole.masks, strict=True))
    assert torch.equal(rest.weight, whole.weight)


def test_seeds_of_micro_batches_differ_in_the_32_bits_that_a_cpu_takes():
    seeds = [step_seed(7, step, micro, rank) for step in range(300) for micro in range(64) for rank in range(4)]
    assert len({seed % 2**32 for seed in seeds}) == len(seeds)
    torch.manual_seed(step_seed(2**32 - 1, 10**7, 511, 63))  # not too large for torch
