"""The losses against their definitions, one image and one class at a time."""

import math

import pytest
import torch
from torch import nn

from convscope.data.batches import Batch
from convscope.training.classifier import MeanLoss, loss_of

LOGITS = torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.2, -0.3]], dtype=torch.float64)
TARGETS = torch.tensor([[1, 0, 1], [-1, 1, -1]], dtype=torch.int8)
LABELS = torch.tensor([2, 1])


def batch(targets=TARGETS):
    return Batch(torch.zeros(2, 3, 1, 1), LABELS, torch.arange(2), targets)


def log_softmax(row, k):
    return float(row[k]) - math.log(sum(math.exp(float(value)) for value in row))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_aims_at_the_same_share_of_each_class(smoothing):
    shares = [[0.5, 0, 0.5], [0, 1, 0]]
    aims = [[(1 - smoothing) * share + smoothing / 3 for share in row] for row in shares]
    losses = [
        -sum(aim * log_softmax(row, k) for k, aim in enumerate(targets))
        for row, targets in zip(LOGITS, aims, strict=True)
    ]
    assert float(loss_of(LOGITS, batch(), "softmax", smoothing)) == pytest.approx(sum(losses) / 2, abs=1e-7)


def test_images_of_one_class_have_the_cross_entropy_of_their_labels():
    expected = -(log_softmax(LOGITS[0], 2) + log_softmax(LOGITS[1], 1)) / 2
    assert float(loss_of(LOGITS, batch(None), "softmax")) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_multilabel_is_a_coin_for_each_class_that_is_not_difficult(smoothing):
    total = 0.0
    for row, targets in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        for logit, target in zip(row, targets, strict=True):
            aim, sure = (target == 1) * (1 - smoothing) + smoothing / 2, 1 / (1 + math.exp(-logit))
            total -= (target != 0) * (aim * math.log(sure) + (1 - aim) * math.log(1 - sure))
    assert float(loss_of(LOGITS, batch(), "multilabel", smoothing)) == pytest.approx(total / 2, abs=1e-7)


def test_a_difficult_class_has_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    loss_of(logits, batch(), "multilabel").backward()
    assert logits.grad[0, 1] == 0 and (logits.grad[0, [0, 2]] < 0).all() and logits.grad[1, 0] > 0


def test_the_mean_loss_is_over_images_and_keeps_what_is_not_finite():
    mean = MeanLoss()
    mean.update(torch.tensor(1.0), 3)
    mean.update(torch.tensor(2.0), 1)
    assert mean.compute() == 1.25
    mean.update(torch.tensor(math.nan), 1)
    assert mean.compute().isnan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_mean_within_a_net_of_other_numbers_still_counts_every_image(dtype):
    """In bfloat16 a sum of 256 ones stays 256, whatever is added."""
    around = nn.ModuleDict({"mean": MeanLoss(), "layer": nn.Linear(2, 2)}).to(dtype)
    assert around["layer"].weight.dtype == dtype
    losses = torch.linspace(1, 3, 700, dtype=torch.float64)
    for _ in range(2):
        for loss in losses:
            around["mean"].update(loss.to(dtype), 64)
        exact = float(losses.to(dtype).double().mean())
        assert around["mean"].compute().dtype == torch.float32
        assert float(around["mean"].compute()) == pytest.approx(exact, rel=1e-5)
        around["mean"].reset()


@pytest.mark.parametrize("loss", ["softmax", "multilabel"])
@pytest.mark.parametrize(("dtype", "wide"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_losses_are_float32_or_wider(loss, dtype, wide):
    """300 bfloat16 summed in bfloat16 would stick at 256."""
    logits = torch.full((2, 300), 3.0, dtype=dtype)
    shown = batch(torch.full((2, 300), -1, dtype=torch.int8).index_fill_(1, torch.tensor([1]), 1))
    result, expected = loss_of(logits, shown, loss), loss_of(logits.double(), shown, loss)
    assert result.dtype == wide and float(result) == pytest.approx(float(expected), rel=1e-6)
