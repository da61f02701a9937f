"""A training step never waits for its device: nothing in it asks for a value that the device has yet to compute."""

import traceback

import pytest
import torch
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from convscope.runs.record import Record
from convscope.training.classifier import Classifier
from convscope.training.job import TrainingPlan, train
from convscope.training.recipe import Recipe
from training.callbacks.test_failure_checks import OFF, images_in, made

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "is_nonzero"}


class Waits(TorchDispatchMode):
    """Notes operations of training steps whose result the host needs before it can go on, and what asked for them."""

    def __init__(self):
        super().__init__()
        self.in_step, self.steps, self.waits = False, 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.in_step and func.overloadpacket.__name__ in WAITING:
            self.waits.append((func, traceback.format_stack()[-8:-1]))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def waits(monkeypatch):
    """Over all that Lightning and the callbacks do for a batch; validation and checkpoints come outside of it."""
    seen, advance = Waits(), _TrainingEpochLoop.advance

    def watched(self, *args):
        seen.in_step, seen.steps = True, seen.steps + 1
        try:
            advance(self, *args)
        finally:
            seen.in_step = False

    monkeypatch.setattr(_TrainingEpochLoop, "advance", watched)
    with seen:
        yield seen


def with_norm():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("recipe", "net", "trainer"),
    [
        (("sgd", 0.01, 0.9, 0.0, 20, "plateau", 0, 0.0, "he", 0.01, [], 0.1), made, {}),
        (("adamw", 1e-3, 0.9, 0.1, 20, "cycle", 0, 0.1, "he", 0.01, [], None), with_norm, {"precision": "bf16-mixed"}),
        (("sgd", 0.01, 0.9, 0.0, 20, "constant", 0, 0.0, "he", 0.01, [], 0.1), made,
         {"precision": "bf16-true", "accumulate_grad_batches": 2, "gradient_clip_val": 1.0}),
    ],
)  # fmt: skip
def test_no_step_waits(recipe, net, trainer, waits, tmp_path):
    data, record = images_in(tmp_path), Record(tmp_path / "run")
    record.about({"job": "train"})
    plan = TrainingPlan({"max_epochs": 2, "accelerator": "cpu", "devices": 1, **trainer}, OFF, 0, {})
    train(Classifier(net(), Recipe(*recipe), 2), data, plan, record)
    assert waits.steps == 4
    assert not waits.waits, "\n".join(waits.waits[0][1])


def test_waiting_would_be_seen(waits):
    waits.in_step = True
    bool(torch.ones(()) > 0)
    assert len(waits.waits) == 1
