"""Chance against answers that are the same for every image, made as good as they can be; the best epoch."""

import math

import pytest
import torch
from sklearn.metrics import average_precision_score

from convscope.data.batches import Batch
from convscope.metrics.goals import GOALS, Chance, Goal
from convscope.training.classifier import loss_of

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 0, 1])  # not balanced
TARGETS = torch.tensor(
    [[1, -1, 0], [1, 1, -1], [-1, 1, -1], [-1, 0, -1], [1, -1, -1], [1, 0, -1], [0, -1, -1], [-1, -1, 1]],
    dtype=torch.int8,
)


def least(loss, labels, targets):
    """The lowest loss of logits that do not depend on the image, found by going downhill."""
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    batch = Batch(torch.zeros(len(labels), 3, 1, 1), labels, torch.arange(len(labels)), targets)
    downhill = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure():
        downhill.zero_grad()
        value = loss_of(logits.expand(len(labels), 3), batch, loss)
        value.backward()
        return value

    downhill.step(closure)
    return closure().item()


@pytest.mark.parametrize("targets", [None, TARGETS], ids=["one_class", "several"])
def test_chance_of_a_softmax(targets):
    chance = GOALS["softmax"].chance(LABELS, targets, 3)
    assert chance.loss == pytest.approx(least("softmax", LABELS, targets), abs=1e-6)
    assert chance.metric == (0.5 if targets is None else 5 / 8)  # class 0, also where it is all there is, if difficult


def test_chance_of_classes_of_equal_size():
    chance = GOALS["softmax"].chance(torch.arange(20) % 5, None, 5)
    assert chance == pytest.approx((1 / 5, math.log(5)))


def test_chance_of_each_class_by_itself():
    chance = GOALS["multilabel"].chance(LABELS, TARGETS, 3)
    assert chance.loss == pytest.approx(least("multilabel", LABELS, TARGETS), abs=1e-6)
    columns = [column[column != 0] > 0 for column in TARGETS.T]
    precisions = [average_precision_score(positive, torch.zeros(len(positive))) for positive in columns]
    assert chance.metric == pytest.approx(sum(precisions) / 3)


def test_a_class_that_no_image_shows_has_no_part_in_chance():
    never = torch.cat([TARGETS, -torch.ones(8, 1, dtype=torch.int8)], 1)
    chance = GOALS["multilabel"].chance(LABELS, TARGETS, 3)
    assert chance == pytest.approx(GOALS["multilabel"].chance(LABELS, never, 4))


def test_what_chance_explains():
    chance = Chance(0.1, 2.3)
    assert chance.explains(0.14, 2.3) and not chance.explains(0.16, 2.3) and not chance.explains(0.1, 2.0)
    assert not chance.explains(math.nan, 2.3)
    assert Chance(0.1, math.nan).explains(0.14, 1.0) and chance.explains(0.14, math.nan)  # the metric alone


def test_the_best_row_is_the_first_of_the_highest():
    goal = GOALS["multilabel"]
    values = (0.2, math.nan, 0.4, 0.4, 0.3)
    rows = [{"epoch": epoch, "val/mean_ap": value, "val/top1": -epoch} for epoch, value in enumerate(values)]
    assert goal.best(rows)["epoch"] == 2 and goal.best([*rows[1:2], {"epoch": 7}]) == {} == goal.best([])
    assert Goal("val/mean_ap", "", "min", goal.chance).best(rows)["epoch"] == 0
