"""The LightningModule: a net, a recipe, the loss and the error measures."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn import Module
from torchmetrics import MeanMetric

from convscope.data.batches import Batch
from convscope.metrics.epoch_metrics import MeanAveragePrecision, accuracies
from convscope.metrics.goals import GOALS, TOP1
from convscope.metrics.multilabel import (
    LossName,
    best_scored_label,
    class_certainty,
    softmax_targets,
)
from convscope.models.checkpoints import load_weights_, net_weights
from convscope.models.wrappers import explained_compiling
from convscope.training.recipe import Recipe, build_optimizer, build_schedule

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
    """The mean loss over the images of a batch, in float32 or wider. logits: [N, K].

    softmax: cross-entropy; against `softmax_targets` where images show several classes. multilabel: see `multilabel`;
    needs the batch's targets.
    """
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
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


class Classifier(pl.LightningModule):
    """Trains `net` (pixels [N, 3, H, W] to logits [N, K]) by `recipe`.

    Logs for each epoch train/loss, train/top1, val/loss, val/top1, val/top5 and val/class_mean; for images that may
    show several classes also train/mean_ap and val/mean_ap. For such images a top-k guess is right if it contains any
    class of the image. pixel_scale: the data's multiplier on grey levels (1 in the paper). about: what a later job
    needs to rebuild net and input, as plain values and tensors, stored in every checkpoint under "convscope".
    """

    def __init__(self, net: nn.Module, recipe: Recipe, classes: int, pixel_scale: float = 1.0):
        super().__init__()
        self.net, self.recipe, self.pixel_scale = net, recipe, pixel_scale
        # In a tuple, because a compiled net is a module with the same weights, which a checkpoint would hold twice.
        self._trained = (torch.compile(net) if recipe.compile else net,)
        self.about: dict[str, Any] = {}
        self.resumed = False
        self.train_loss = MeanLoss()  # a metric, so that a resumed run can restore its sum within an epoch
        self.train_hits = accuracies(classes)["top1"].clone()
        self.val_loss = MeanLoss()  # Lightning's mean over processes rounds their mean number of images down
        self.val_hits = accuracies(classes)
        self.train_precision, self.val_precision = MeanAveragePrecision(), MeanAveragePrecision()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.net(image)

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """The loss. Raises UserError where torch.compile cannot compile the net, or finds no compiler."""
        with explained_compiling():
            logits = self._trained[0](batch.image)
        loss = loss_of(logits, batch, self.recipe.loss, self.recipe.label_smoothing)
        self.train_hits.update(logits.detach(), best_scored_label(logits.detach(), batch.label, batch.targets))
        once: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch.label)}
        self.train_loss.update(loss.detach(), len(batch.label))
        self.log("train/loss", self.train_loss, **once)
        self.log("train/top1", self.train_hits, prog_bar=True, **once)
        if batch.targets is not None:
            self.train_precision.update(class_certainty(logits.detach(), self.recipe.loss), batch.targets)
            self.log("train/mean_ap", self.train_precision, **once)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self.net(batch.image)
        self.val_hits.update(logits, best_scored_label(logits, batch.label, batch.targets))
        self.val_loss.update(loss_of(logits, batch, self.recipe.loss), len(batch.label))
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, batch_size=len(batch.label))
        if batch.targets is not None:
            self.val_precision.update(class_certainty(logits, self.recipe.loss), batch.targets)
            self.log("val/mean_ap", self.val_precision, on_step=False, on_epoch=True, batch_size=len(batch.label))

    def on_validation_epoch_end(self) -> None:
        values = {f"val/{name}": value for name, value in self.val_hits.compute().items()}
        self.log_dict({name: value for name, value in values.items() if name != "val/top1"})
        self.log("val/top1", values["val/top1"], prog_bar=True)
        self.val_hits.reset()

    def on_train_epoch_end(self) -> None:
        """Takes the plateau schedule's step before the checkpoint of this epoch is written; Lightning's is after it."""
        if self.recipe.schedule == "plateau":
            plateau: Any = self.lr_schedulers()
            plateau.step(self.trainer.callback_metrics[GOALS[self.recipe.loss].metric])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Loads the weights, float64 without a detour through float32. Raises UserError for weights of another net."""
        weights = net_weights(checkpoint)
        if any(value.dtype == torch.float64 for value in weights.values()):
            self.net.double()
        load_weights_(self.net, weights)
        self.resumed = True
        if checkpoint["convscope"].get("goal", TOP1) != GOALS[self.recipe.loss].metric:
            _reset_plateaus_(checkpoint["lr_schedulers"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        goal = GOALS[self.recipe.loss]
        checkpoint["convscope"] = {**self.about, "epoch": self.trainer.current_epoch + 1, "goal": goal.metric}

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule, in Lightning's form.

        A resumed cycle has its length in the checkpoint. Asking Lightning for the length would start the loader at the
        beginning of an epoch, before the position in the epoch is restored.
        """
        new_cycle = self.recipe.schedule == "cycle" and not self.resumed
        steps = int(self.trainer.estimated_stepping_batches) if new_cycle else 0
        mixed = isinstance(self.trainer.precision_plugin, MixedPrecision)
        clipped = mixed and bool(self.trainer.gradient_clip_val)
        optimizer = build_optimizer(self.net, self.recipe, self.pixel_scale, clipped)
        scheduler = build_schedule(optimizer, self.recipe, steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler} if scheduler else optimizer


def _reset_plateaus_(schedulers: list[dict[str, Any]]) -> None:
    """Resets the best value and the patience of plateaus that followed another metric, as in version 0.1."""
    for state in schedulers:
        if "mode_worse" in state:
            state |= {"best": state["mode_worse"], "num_bad_epochs": 0}
