"""The losses: softmax over the classes, or each class by itself (Table 6 and section 5.2)."""

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
    """Mean over images, from means over batches. Values that are not finite count.

    torchmetrics' MeanMetric either drops nan or, with nan_strategy "disable", ignores the sizes of batches. The sums
    stay float32 when the net is cast to 16 bits: a bfloat16 cannot count beyond a few thousand images.
    """

    def update(self, value: float | Tensor, weight: float | Tensor | None = None) -> None:
        """value: mean over a batch. weight: its number of images, 1 by default."""
        images = 1.0 if weight is None else weight
        self.mean_value += torch.as_tensor(value, dtype=self.mean_value.dtype) * images
        self.weight += images

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Module:
        def without_cast(value: Tensor) -> Tensor:
            result = fn(value)
            return result if result.dtype == value.dtype else value.to(result.device)

        return super()._apply(without_cast, *args, **kwargs)


def loss_of(logits: Tensor, batch: Batch, loss: LossName, smoothing: float = 0.0) -> Tensor:
    """The mean loss over the images of a batch. logits: [N, K].

    softmax: cross-entropy; against `softmax_targets` where images show several classes. multilabel: see `multilabel`;
    needs the batch's targets.
    """
    if loss == "multilabel":
        assert batch.targets is not None
        return multilabel(logits, batch.targets, smoothing)
    aim = batch.label if batch.targets is None else softmax_targets(batch.targets)
    return F.cross_entropy(logits, aim, label_smoothing=smoothing)


def multilabel(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy of each class, summed over the classes and averaged over the images.

    The sum makes one learning rate suit this loss and the softmax. A class that is difficult to see in an image adds
    nothing. The paper mentions such a loss, but does not train with it.
    """
    aim = (targets > 0) * (1 - smoothing) + smoothing / 2
    total = F.binary_cross_entropy_with_logits(
        logits, aim.to(logits.dtype), (targets != 0).to(logits.dtype), reduction="sum"
    )
    return total / len(logits)
