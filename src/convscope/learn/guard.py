"""Watches for numbers that went bad and for a net that does not learn, and says so."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.data.module import Batch
from convscope.problem import Problem


class StopWhenNotFinite(pl.Callback):
    """Stops the run at a loss that is not finite, before its gradients reach the weights or a checkpoint."""

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.step = 0

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Batch, step: int) -> None:
        self.batch, self.step = batch, step

    def on_before_backward(self, trainer: pl.Trainer, module: Any, loss: torch.Tensor) -> None:
        if torch.isfinite(loss) or self.batch is None:
            return
        layer = first_bad_layer(module.net, self.batch.image)
        raise Problem(
            f"the loss became {loss.item()} in epoch {trainer.current_epoch + 1}, step {self.step + 1}; "
            f"first bad layer: {layer}; checkpoints of earlier epochs are untouched; "
            "try a smaller optim.lr, or optim=quick"
        )


@torch.no_grad()
def first_bad_layer(net: nn.Module, images: torch.Tensor) -> str:
    """Name of the first module, in order of the forward pass, that puts out a number that is not finite."""
    bad: list[str] = []

    def look(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and not bool(torch.isfinite(output).all()):
                bad.append(name)

        return hook

    if not bool(torch.isfinite(images).all()):
        return "the images themselves"
    leaves = [(name, module) for name, module in net.named_modules() if not list(module.children())]
    handles = [module.register_forward_hook(look(name)) for name, module in leaves]
    try:
        net(images)
    finally:
        for handle in handles:
            handle.remove()
    return bad[0] if bad else "none in the forward pass: the loss itself"


class NoticeChance(pl.Callback):
    """Warns once when the net stands at chance for `patience` epochs; the warning goes into the summary too."""

    def __init__(self, classes: int, patience: int = 3):
        self.classes, self.patience = classes, patience
        self.epochs_at_chance, self.warnings = 0, list[str]()

    def state_dict(self) -> dict[str, Any]:
        return {"epochs_at_chance": self.epochs_at_chance, "warnings": self.warnings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs_at_chance, self.warnings = state["epochs_at_chance"], list(state["warnings"])

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        loss = float(trainer.callback_metrics.get("val/loss", math.inf))
        top1 = float(trainer.callback_metrics.get("val/top1", 1.0))
        at_chance = top1 < 1.5 / self.classes and loss > 0.98 * math.log(self.classes)
        self.epochs_at_chance = self.epochs_at_chance + 1 if at_chance else 0
        if self.epochs_at_chance == self.patience:
            self.warnings.append(
                f"epoch {trainer.current_epoch + 1}: the net has stood at chance for {self.patience} epochs "
                f"(val top-1 {top1:.1%}, loss {loss:.3f}; "
                f"chance is {1 / self.classes:.1%}, {math.log(self.classes):.3f}); "
                "a smaller optim.lr or optim=quick may help"
            )
            if trainer.is_global_zero:
                print(f"warning: {self.warnings[-1]}", flush=True)


def scale_warning(recipe_radius: float | None, pixel_std: float) -> str | None:
    """Warning where the input scale makes the renormalization radius meaningless, else None.

    The paper's radius of 0.1 belongs to grey levels, "roughly in the [-128,128] range" (section 3): a filter of RMS 0.1
    over 7 x 7 x 3 such pixels answers with tens; over pixels of spread 1 it could hardly answer at all.
    """
    if recipe_radius is None or pixel_std > 5:
        return None
    return (
        f"pixels have a spread of {pixel_std:.2g}, but a filter RMS of {recipe_radius} (optim.renorm) is meant for "
        "grey levels of about -128..128; set optim.renorm=null or feed grey levels with data.pixel_scale=1"
    )
