"""Images that show several classes: targets [N, K] of 1 (shown), 0 (difficult to see: no say) and -1 (not there)."""

from typing import Literal

import torch
from torch import Tensor

LossName = Literal["softmax", "multilabel"]


def spread(targets: Tensor) -> Tensor:
    """[N, K] float: what a softmax should say, the same share for each class that is shown, together 1.

    An image that shows nothing but what is difficult is spread over that. The paper, which trains its softmax on such
    images, does not say how; this is ours, and the classes' order or size has no part in it.
    """
    shown = targets > 0
    shown = torch.where(shown.any(1, keepdim=True), shown, targets == 0).float()
    return shown / shown.sum(1, keepdim=True)


def nearest(scores: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """[N]: of the classes that an image shows the one with the highest score [N, K], by `spread`'s meaning of shown.

    Measured against it, top-k is right where any of the image's classes is among the k first. Without targets: labels.
    """
    if targets is None:
        return labels
    return scores.masked_fill(spread(targets) == 0, -torch.inf).argmax(1)


def certainty(logits: Tensor, loss: LossName) -> Tensor:
    """[N, K]: how sure a net that was trained with this loss is of each class, by which images are ranked."""
    return logits.softmax(1) if loss == "softmax" else logits.sigmoid()
