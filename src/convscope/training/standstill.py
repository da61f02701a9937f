"""Notices, at the end of an epoch, that a net does not learn: it stands at chance, a layer is dead, numbers explode."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.errors import UserError
from convscope.metrics.goals import Chance, Goal
from convscope.models.build import ConvReLU, FullReLU
from convscope.runs.record import Record
from convscope.training.guard import remedies

EXPLODED = 1e8  # ours: grey levels of +-128 answer with tens to ten thousands in any net that learns
LAST = "the last layer"


class Notice(pl.Callback):
    """Tells a warning at once, in the terminal and on the page; a resumed run still knows it."""

    def __init__(self, record: Record):
        self.record, self.warnings = record, list[str]()

    def warn(self, trainer: pl.Trainer, text: str) -> None:
        self.warnings.append(f"epoch {trainer.current_epoch + 1}: {text}")
        if trainer.is_global_zero:
            print(f"warning: {self.warnings[-1]}", flush=True)
            self.record.warn(self.warnings[-1])

    def state_dict(self) -> dict[str, Any]:
        return {"warnings": self.warnings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.warnings = list(state["warnings"])

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        for text in self.warnings if trainer.is_global_zero else []:
            self.record.warn(text)


class NoticeChance(Notice):
    """Warns when the net has stood at chance for `patience` epochs."""

    state_key = "NoticeChance"  # in checkpoints, of version 0.1 too

    def __init__(self, record: Record, goal: Goal, chance: Chance, patience: int = 3):
        super().__init__(record)
        self.goal, self.chance, self.patience, self.epochs_at_chance = goal, chance, patience, 0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "epochs_at_chance": self.epochs_at_chance}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.epochs_at_chance = state["epochs_at_chance"]

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        loss = float(trainer.callback_metrics.get("val/loss", math.inf))
        reached = float(trainer.callback_metrics.get(self.goal.metric, math.nan))
        at_chance = self.chance.explains(reached, loss)
        self.epochs_at_chance = self.epochs_at_chance + 1 if at_chance else 0
        if self.epochs_at_chance == self.patience:
            self.warn(
                trainer,
                f"the net has stood at chance for {self.patience} epochs "
                f"(val {self.goal.label} {reached:.1%}, loss {loss:.3f}; "
                f"chance is {self.chance.metric:.1%}, {self.chance.loss:.3f}); "
                f"{remedies(module)} may help",
            )


class WatchLayers(Notice):
    """Warns once of each rectified layer whose maps are all dead on the validation images, and of each layer whose
    answers explode; UserError where they are not finite. Costs the maximum of each layer's output.

    Nets without rectified layers of their own, such as timm's, are watched at their output alone.
    """

    state_key = "WatchLayers"  # in checkpoints, of version 0.1 too

    def __init__(self, record: Record):
        super().__init__(record)
        self.peaks, self.handles = dict[str, torch.Tensor](), list[Any]()
        self.told = set[str]()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "told": sorted(self.told)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.told = set(state["told"])

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.peaks = {}
        self.handles = [each.register_forward_hook(self._look(name)) for name, each in watched(module.net)]

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.on_exception()
        highest = torch.stack([peak.float() for peak in self.peaks.values()])
        if trainer.world_size > 1:
            highest = module.all_gather(highest).amax(0)
        peaks = dict(zip(self.peaks, highest.tolist(), strict=True))
        if bad := [name for name, peak in peaks.items() if not math.isfinite(peak)]:
            raise UserError(
                f"in epoch {trainer.current_epoch + 1} the answers of {bad[0]} to validation images are not finite; "
                f"earlier checkpoints are untouched; try {remedies(module)}"
            )
        dead = [name for name, peak in peaks.items() if peak <= 0 and name != LAST]
        self._tell(module, dead, "no validation image excites any map there, so the net cannot learn through it")
        exploded = [name for name, peak in peaks.items() if peak > EXPLODED]
        self._tell(module, exploded, f"answers above {EXPLODED:.0e}, on the way to numbers that are not finite")

    def on_exception(self, *_: Any) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _tell(self, module: Any, layers: list[str], what: str) -> None:
        new = [name for name in layers if f"{name}: {what}" not in self.told]
        self.told |= {f"{name}: {what}" for name in new}
        if new:
            self.warn(module.trainer, f"{', '.join(new)}: {what}; try {remedies(module)}")

    def _look(self, name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.numel():
                peak = output.detach().abs().amax() if name == LAST else output.detach().amax()
                self.peaks[name] = torch.maximum(self.peaks.get(name, peak), peak)

        return hook


def watched(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The rectified layers by name, and the net itself as its last layer."""
    inner = [(name, each) for name, each in net.named_modules() if isinstance(each, ConvReLU | FullReLU | nn.ReLU)]
    return [*inner, (LAST, net)]
