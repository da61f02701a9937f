"""Error measures of a classifier, by torchmetrics."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy


def accuracies(classes: int) -> MetricCollection:
    """Top-1, top-5 (top-K where there are fewer classes) and the mean of the classes' own accuracies, each in 0..1.

    Updated with logits [N, K] and labels [N]. Errors of the papers' tables are 100 * (1 - top1).
    """
    exact: dict[str, Any] = {"num_classes": classes, "validate_args": False}
    return MetricCollection(
        {
            "top1": MulticlassAccuracy(average="micro", **exact),
            "top5": MulticlassAccuracy(average="micro", top_k=min(5, classes), **exact),
            "class_mean": MeanClassAccuracy(average="macro", **exact),
        },
        compute_groups=False,
    )


class MeanClassAccuracy(MulticlassAccuracy):
    """Mean over the classes that have images; torchmetrics counts one that was only guessed as one of accuracy 0."""

    def compute(self) -> Tensor:
        right, missed = (torch.as_tensor(count) for count in (self.tp, self.fn))  # [K]
        images = right + missed
        return (right[images > 0] / images[images > 0]).mean()
