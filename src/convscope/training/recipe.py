"""The optimizer, its schedule and the initial weights of one recipe (conf/optim)."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import torch
from torch import nn

from convscope.config import read_plan
from convscope.errors import UserError, meant
from convscope.metrics.goals import GOALS
from convscope.metrics.multilabel import LossName
from convscope.models.build import ConvNet
from convscope.models.initialize import he_, normal_

EAGER = 10.0  # the first layer of init=he starts from a tenth of He's weights and takes steps ten times as large
NEVER = sys.maxsize  # epochs; the Classifier takes the step itself, before the checkpoint is written
PIXEL_STD = 58.0  # standard deviation of grey levels; photographs have 55 to 65


@dataclass(frozen=True)
class Recipe:
    """conf/optim/<recipe>.yaml. lr, weight_decay: per step. patience: epochs. renorm: RMS radius or None.

    loss: multilabel is for images of several classes (training/losses.py).
    """

    algorithm: Literal["sgd", "adamw"]
    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    schedule: Literal["plateau", "cycle", "constant"]
    patience: int
    label_smoothing: float
    init: Literal["normal", "he"]
    init_std: float
    bias_ones: tuple[str, ...]
    renorm: float | None
    loss: LossName = "softmax"

    def __post_init__(self) -> None:
        for name, legal in (
            ("algorithm", ("sgd", "adamw")),
            ("schedule", ("plateau", "cycle", "constant")),
            ("init", ("normal", "he")),
            ("loss", get_args(LossName)),
        ):
            if getattr(self, name) not in legal:
                raise UserError(f"optim.{name}={getattr(self, name)} is unknown; possible: {', '.join(legal)}")
        if not self.lr > 0:
            raise UserError(f"optim.lr={self.lr} must be positive, e.g. optim.lr=0.01")
        if self.batch_size < 1:
            raise UserError(f"optim.batch_size={self.batch_size} must be at least 1")
        limits: tuple[tuple[str, float, float | None], ...] = (
            ("momentum", self.momentum, 1.0),
            ("label_smoothing", self.label_smoothing, 1.0),
            ("weight_decay", self.weight_decay, None),
            ("init_std", self.init_std, None),
            ("patience", self.patience, None),
        )
        for key, value, most in limits:
            if value < 0 or (most is not None and value >= most):
                range_ = f"from 0 to below {most:g}" if most is not None else "0 or more"
                raise UserError(f"optim.{key}={value} is no {key.replace('_', ' ')}; it is {range_}")
        if self.renorm is not None and not self.renorm > 0:
            raise UserError(
                f"optim.renorm={self.renorm} must be a positive RMS radius (the paper's is 0.1), or null for none"
            )

    def fading(self, given: bool) -> str | None:
        """A warning where the net begins with `given` weights and AdamW's decay would undo them, else None."""
        if not given or self.algorithm != "adamw" or self.weight_decay <= 0.5:
            return None
        return (
            f"weight decay {self.weight_decay:g} makes the net forget the weights that it begins with; optim=finetune "
            "is the recipe for such nets"
        )


def read_recipe(settings: Mapping[str, Any]) -> Recipe:
    """The recipe in a plain mapping with exactly Recipe's keys; UserError names a key too many or missing."""
    known = {field.name for field in fields(Recipe)}
    if wrong := sorted(known ^ {*settings, "loss"}):  # recipes of older runs have no loss
        near = meant(wrong[0], known - {*settings})
        raise UserError(f"optim: unknown or missing {', '.join(wrong)}{near}; a recipe has {', '.join(sorted(known))}")
    recipe = read_plan(Recipe, "optim", settings)
    return replace(recipe, bias_ones=tuple(recipe.bias_ones))


def initialize_(net: ConvNet, recipe: Recipe, pixel_scale: float = 1.0) -> None:
    """Initializes all weights: N(0, init_std) and zero biases (section 3), or He's, in layer 1 for grey levels."""
    if recipe.init == "he":
        he_(net, PIXEL_STD * pixel_scale, first=1 / EAGER)
    else:
        normal_(net, std=recipe.init_std, ones=recipe.bias_ones)


def build_optimizer(
    net: nn.Module, recipe: Recipe, pixel_scale: float = 1.0, clipped: bool = False
) -> torch.optim.Optimizer:
    """SGD as the papers define it, or AdamW, over the weights that train; fused where the device supports it.

    clipped: gradients of mixed precision are clipped before the step, where a fused optimizer, which unscales gradients
    within the step, cannot be used.

    AdamW's steps have the size of its learning rate whatever the gradient. With He's weights the weights of the first
    layer are divided by the spread of the pixels, so its steps are divided by the same number. The first layer starts
    at a tenth and takes steps ten times as large (EAGER): so its filters show what they learned, not their initial
    noise. In the other layers weight decay has that effect. Biases and the gains of norms do not decay.
    """
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    fused = trained[0].device.type in ("cpu", "cuda") and not clipped
    if recipe.algorithm == "sgd":
        return torch.optim.SGD(trained, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, fused=fused)
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d)).weight
    factor = EAGER / (PIXEL_STD * pixel_scale) if recipe.init == "he" and isinstance(net, ConvNet) else 1.0
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in trained if weight.dim() > 1 and weight is not first]},
        {"params": [weight for weight in trained if weight is first], "lr": recipe.lr * factor},
        {"params": [weight for weight in trained if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, recipe.lr, weight_decay=recipe.weight_decay, fused=fused)


def build_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> dict[str, Any] | None:
    """Lightning's entry for a schedule: division by 10 when the goal plateaus, or one cycle of `steps` steps."""
    if recipe.schedule == "plateau":
        goal = GOALS[recipe.loss]
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, goal.mode, factor=0.1, patience=recipe.patience, threshold=0.0
        )
        return {"scheduler": plateau, "monitor": goal.metric, "interval": "epoch", "frequency": NEVER}
    if recipe.schedule == "cycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        steps = max(steps, 2)
        rise = 0.21 if steps == 5 else 0.2  # with 0.2 and five steps torch would divide by 0.2 * 5 - 1 = 0
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peaks, total_steps=steps, pct_start=rise, cycle_momentum=False
        )
        return {"scheduler": cycle, "interval": "step"}
    return None
