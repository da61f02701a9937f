"""The LightningModule: a net, a recipe, the loss and the error measures."""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

from convscope.data.module import Batch
from convscope.learn.recipe import Recipe, optimizer, schedule
from convscope.score.errors import accuracies


class Classifier(pl.LightningModule):
    """Trains `net` (pixels [N, 3, H, W] to logits [N, K]) with cross-entropy by `recipe`.

    Logs per epoch train/loss, train/top1, val/loss, val/top1, val/top5, val/class_mean. pixel_scale: the data's
    multiplier on grey levels (1 in the paper). about: what a later job needs to rebuild net and input, plain values and
    tensors; it goes into every checkpoint under "convscope".
    """

    def __init__(self, net: nn.Module, recipe: Recipe, classes: int, pixel_scale: float = 1.0):
        super().__init__()
        self.net, self.recipe, self.pixel_scale = net, recipe, pixel_scale
        self.about: dict[str, Any] = {}
        self.train_hits = accuracies(classes)["top1"].clone()
        self.val_hits = accuracies(classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.net(image)

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        logits = self.net(batch.image)
        loss = F.cross_entropy(logits, batch.label, label_smoothing=self.recipe.label_smoothing)
        self.train_hits.update(logits.detach(), batch.label)
        once: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch.label)}
        self.log("train/loss", loss, sync_dist=True, **once)
        self.log("train/top1", self.train_hits, prog_bar=True, **once)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self.net(batch.image)
        self.val_hits.update(logits, batch.label)
        loss = F.cross_entropy(logits, batch.label)
        self.log("val/loss", loss, on_epoch=True, batch_size=len(batch.label), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        values = {f"val/{name}": value for name, value in self.val_hits.compute().items()}
        self.log_dict({name: value for name, value in values.items() if name != "val/top1"})
        self.log("val/top1", values["val/top1"], prog_bar=True)
        self.val_hits.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["convscope"] = {**self.about, "epoch": self.trainer.current_epoch + 1}

    def configure_optimizers(self) -> Any:
        steps = int(self.trainer.estimated_stepping_batches) if self.recipe.schedule == "cycle" else 0
        chosen = optimizer(self.net, self.recipe, self.pixel_scale)
        plan = schedule(chosen, self.recipe, steps)
        return {"optimizer": chosen, "lr_scheduler": plan} if plan else chosen
