"""Checks that a net learns: warns at chance, of dead layers, of explosions; stops at answers that are not finite."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.errors import UserError
from convscope.metrics.goals import Chance, Goal
from convscope.models.build import ConvLayer, ConvNet, HiddenLayer
from convscope.runs.record import Record

EXPLODED = 1e8  # ours: grey levels of +-128 give activations of tens to ten thousands in any net that learns
LAST_LAYER = "the last layer"


class WarningCallback(pl.Callback):
    """Base of callbacks that warn, in the terminal and on the page. A resumed run shows its earlier warnings too."""

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


class WarnAtChance(WarningCallback):
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


class WatchLayers(WarningCallback):
    """Warns of each rectified layer whose maps are all dead on the validation images, and of each that explodes.

    Warns once of each. Raises UserError where outputs are not finite. Costs the maximum of each layer's output. Layers
    of another activation than ReLU are watched for explosions. Nets without rectified layers of their own, such as
    timm's, are watched at their output alone.
    """

    state_key = "WatchLayers"  # in checkpoints, of version 0.1 too

    def __init__(self, record: Record):
        super().__init__(record)
        self.peaks, self.handles = dict[str, torch.Tensor](), list[Any]()
        self.reported = set[str]()  # "<layer>: <problem>"

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "told": sorted(self.reported)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.reported = set(state["told"])

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.peaks = {}
        self.handles = [
            layer.register_forward_hook(self._peak_hook(name, _rectifies(layer)))
            for name, layer in watched_layers(module.net)
        ]

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
        dead = [name for name, peak in peaks.items() if peak <= 0 and name != LAST_LAYER]
        self._report(module, dead, "no validation image excites any map there, so the net cannot learn through it")
        exploded = [name for name, peak in peaks.items() if peak > EXPLODED]
        self._report(module, exploded, f"answers above {EXPLODED:.0e}, on the way to numbers that are not finite")

    def on_exception(self, *_: Any) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _report(self, module: Any, layers: list[str], problem: str) -> None:
        new = [name for name in layers if f"{name}: {problem}" not in self.reported]
        self.reported |= {f"{name}: {problem}" for name in new}
        if new:
            self.warn(module.trainer, f"{', '.join(new)}: {problem}; try {remedies(module)}")

    def _peak_hook(self, name: str, rectified: bool) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.numel():
                peak = output.detach().amax() if rectified else output.detach().abs().amax()
                self.peaks[name] = torch.maximum(self.peaks.get(name, peak), peak)

        return hook


def watched_layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers with an activation, and the ReLUs, by name; and the net itself as its last layer."""
    watched = ConvLayer | HiddenLayer | nn.ReLU
    return [*((name, part) for name, part in net.named_modules() if isinstance(part, watched)), (LAST_LAYER, net)]


def _rectifies(layer: nn.Module) -> bool:
    return isinstance(layer, nn.ReLU) or (isinstance(layer, ConvLayer | HiddenLayer) and layer.activation == "relu")


def remedies(module: Any) -> str:
    """What may help, by net, recipe and pixels of a Classifier: "a smaller optim.lr than 0.01, ... or ..."."""
    recipe, scale = module.recipe, module.pixel_scale
    rows = isinstance(module.net, ConvNet)  # nets of libraries have initial weights and pixels of their own
    other_init = {"he": "normal", "normal": "he"}[recipe.init]
    quick = recipe.algorithm == "adamw" and recipe.schedule == "cycle" and (recipe.init == "he" or not rows)
    narrow = next(module.net.parameters()).dtype in (torch.float16, torch.bfloat16)  # loses small steps
    options = [
        *(["trainer.precision=bf16-mixed"] if narrow else []),
        f"a smaller optim.lr than {recipe.lr:g}",
        *([f"optim.init={other_init}"] if rows else []),
        *(["grey levels as they are (data.pixel_scale=1)"] if rows and scale != 1 else []),
        *(["more steps (trainer.max_epochs)"] if quick else ["optim=quick"]),
    ]
    return f"{', '.join(options[:-1])} or {options[-1]}"
