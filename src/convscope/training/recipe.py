"""The optimizer, its schedule and the initial weights of one recipe (conf/optim)."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from convscope.config import Count, config, read_config
from convscope.metrics.goals import GOALS
from convscope.metrics.multilabel import LossName
from convscope.models.build import ConvNet, he_, normal_
from convscope.models.memory_layout import align_state_

EAGER = 10.0  # the first layer of init=he starts from a tenth of He's weights and takes steps ten times as large
NEVER = sys.maxsize  # epochs; the Classifier takes the step itself, before the checkpoint is written
PIXEL_STD = 58.0  # standard deviation of grey levels; photographs have 55 to 65


@config("optim")
class Recipe:
    """conf/optim/<recipe>.yaml. lr, weight_decay: per step. patience: epochs. renorm: RMS radius or None.

    loss: multilabel is for images of several classes (training/classifier.py). compile: whether training steps run what
    torch.compile makes of the net.
    """

    algorithm: Literal["sgd", "adamw"]
    lr: Annotated[float, Field(gt=0, examples=[0.01])]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    batch_size: Count
    schedule: Literal["plateau", "cycle", "constant"]
    patience: Annotated[int, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    init: Literal["normal", "he"]
    init_std: Annotated[float, Field(ge=0)]
    bias_ones: list[str] | tuple[str, ...]
    renorm: Annotated[float, Field(gt=0, examples=[0.1])] | None
    loss: LossName = "softmax"
    compile: bool = False

    def forgetting_warning(self, learned: bool) -> str | None:
        """A warning where the net begins with learned weights that AdamW's decay would undo, else None."""
        if not learned or self.algorithm != "adamw" or self.weight_decay <= 0.5:
            return None
        return (
            f"weight decay {self.weight_decay:g} makes the net forget the weights that it begins with; optim=finetune "
            "is the recipe for such nets"
        )


def read_recipe(settings: Mapping[str, Any]) -> Recipe:
    """The recipe of conf/optim. Raises UserError that names a key that is unknown, missing or wrong."""
    return read_config(Recipe, {"optim": settings})


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

    The state that a checkpoint gives it gets the layout of the weights, which others may have had.

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
        sgd = torch.optim.SGD(trained, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, fused=fused)
        sgd.register_load_state_dict_post_hook(align_state_)
        return sgd
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d)).weight
    factor = EAGER / (PIXEL_STD * pixel_scale) if recipe.init == "he" and isinstance(net, ConvNet) else 1.0
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in trained if weight.dim() > 1 and weight is not first]},
        {"params": [weight for weight in trained if weight is first], "lr": recipe.lr * factor},
        {"params": [weight for weight in trained if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    adamw = torch.optim.AdamW(groups, recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    adamw.register_load_state_dict_post_hook(align_state_)
    return adamw


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
