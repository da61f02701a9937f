"""Measures of an epoch of training by torchmetrics, over all batches and processes."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.utilities import dim_zero_cat

from convscope.metrics.multilabel import average_precisions, class_rankings


def accuracies(classes: int) -> MetricCollection:
    """Metrics top1, top5 (top-K where there are fewer classes) and class_mean (mean accuracy of the classes), in 0..1.

    Update them with logits [N, K] and labels [N]. The papers' tables print errors, 100 * (1 - top1).
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
    """Mean over the classes that have images; torchmetrics would count a class that was only guessed as accuracy 0."""

    def compute(self) -> Tensor:
        right, missed = (torch.as_tensor(count) for count in (self.tp, self.fn))  # [K]
        images = right + missed
        return (right[images > 0] / images[images > 0]).mean()


class MeanAveragePrecision(Metric):
    """Mean average precision over the classes that some image shows, of all images of an epoch and all processes."""

    full_state_update = False
    scores: list[Tensor]
    targets: list[Tensor]

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Takes a batch, [n, K] each."""
        self.scores.append(scores)
        self.targets.append(targets)

    def compute(self) -> Tensor:
        scores, targets = dim_zero_cat(self.scores), dim_zero_cat(self.targets)
        rankings = class_rankings(scores.float().cpu().numpy(), targets.cpu().numpy())
        precisions = average_precisions(rankings, len(scores))
        mean = float(np.nanmean(precisions)) if not np.isnan(precisions).all() else math.nan
        return torch.tensor(mean, dtype=torch.float32, device=scores.device)  # not every GPU has float64
