"""What a net is trained to say: a softmax over the classes, or each class by itself (Table 6 and section 5.2)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module
from torchmetrics import MeanMetric

from convscope.data.batches import Batch
from convscope.metrics.multilabel import LossName, softmax_targets

__all__ = ["LossName", "MeanLoss", "loss_of"]


class MeanLoss(MeanMetric):
    """Mean over images of losses that are means over batches. A loss that is not finite stays in it.

    MeanMetric with its check for NaN switched off takes every batch for as large as the others. The sums stay float32
    where the net around them goes to 16 bits: counted in bfloat16, images come to an end at a few thousands.
    """

    def update(self, value: float | Tensor, weight: float | Tensor | None = None) -> None:
        """value: mean over a batch, weight: its images, 1 where nothing is said."""
        images = 1.0 if weight is None else weight
        self.mean_value += torch.as_tensor(value, dtype=self.mean_value.dtype) * images
        self.weight += images

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Module:
        def moved(value: Tensor) -> Tensor:
            result = fn(value)
            return result if result.dtype == value.dtype else value.to(result.device)

        return super()._apply(moved, *args, **kwargs)


def loss_of(logits: Tensor, batch: Batch, loss: LossName, smoothing: float = 0.0) -> Tensor:
    """Mean over the images. softmax: cross-entropy, of several classes against the same share of each.

    multilabel needs the batch's targets.
    """
    if loss == "multilabel":
        assert batch.targets is not None
        return multilabel(logits, batch.targets, smoothing)
    aim = batch.label if batch.targets is None else softmax_targets(batch.targets)
    return F.cross_entropy(logits, aim, label_smoothing=smoothing)


def multilabel(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy of each class, summed over the classes, so that one learning rate suits it and the softmax.

    A class that is difficult to see in an image adds nothing for it. The paper thinks of such a loss and trains none.
    """
    aim = (targets > 0) * (1 - smoothing) + smoothing / 2
    each = F.binary_cross_entropy_with_logits(
        logits, aim.to(logits.dtype), (targets != 0).to(logits.dtype), reduction="sum"
    )
    return each / len(logits)
