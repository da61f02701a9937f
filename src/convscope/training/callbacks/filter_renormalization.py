"""Where the renormalization of section 3 does harm: its radius is meant for filters that grow from small weights, over
grey levels "roughly in the [-128,128] range". Elsewhere it is switched off, and where the user typed it, refused.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convscope.errors import UserError
from convscope.models.renorm import filter_rms, renormalize_filters_
from convscope.training.recipe import Recipe


class RenormalizeFilters(pl.Callback):
    """After each optimizer step every convolution filter whose RMS exceeds `radius` goes back to it (section 3).

    Frozen filters stay as they are.
    Logs renorm/<layer>, the share of the layer's filters that had to go back in the epoch's last step.
    """

    def __init__(self, radius: float):
        self.radius, self.steps = radius, 0
        self.held: dict[str, torch.Tensor | int] = {}

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.steps = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step == self.steps:  # gradients are still being accumulated
            return
        self.steps = trainer.global_step
        trained = [(name, weight) for name, weight in convolution_weights(module.net) if weight.requires_grad]
        for name, weight in trained:
            self.held[name] = renormalize_filters_(weight, self.radius)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        for name, weight in convolution_weights(module.net):
            if name in self.held:
                module.log(f"renorm/{name}", float(self.held[name]) / len(weight), rank_zero_only=True)


def convolution_weights(net: nn.Module) -> Any:
    return ((name, layer.weight) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))


def pixel_scale_warning(recipe_radius: float | None, pixel_std: float) -> str | None:
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


KEY = "optim.renorm"


def reason_against_renorm(net: nn.Module, pixel_scale: float | Sequence[float]) -> str:
    """Why no convolution filter of this net can be held at a radius, "" where they can.

    pixel_scale: the multiplier on grey levels; one per color normalizes pixels as the nets of libraries want them.
    """
    if any(isinstance(module, _BatchNorm) for module in net.modules()):
        return "the net has batch norm, which takes every scale of a filter back"
    if not isinstance(pixel_scale, int | float):
        return "the net's pixels are normalized to a spread of about 1, and the radius is meant for grey levels"
    return ""


def reason_against_radius(net: nn.Module, learned: Collection[str], radius: float | None) -> str:
    """Why these rows, learned elsewhere, cannot train at this radius; "" where all their filters lie within."""
    layers = [net.get_submodule(row) for row in learned]
    rms = [filter_rms(layer.weight) for layer in layers if isinstance(layer, nn.Conv2d) and layer.weight.requires_grad]
    if radius is None or not rms or not (many := int((torch.cat(rms) > radius).sum())):
        return ""
    return f"{many:,} of {len(torch.cat(rms)):,} learned filters exceed it and would be cut down at the first step"


def without_renorm(recipe: Recipe, reason: str, typed: bool) -> tuple[Recipe, str]:
    """The recipe without its radius and a line that says so, where there is a reason; else as it is, and "".

    Raises UserError where the user typed the radius.
    """
    if not reason or recipe.renorm is None:
        return recipe, ""
    if typed:
        raise UserError(f"{KEY}={recipe.renorm:g} cannot be: {reason}; type {KEY}=null")
    return replace(recipe, renorm=None), f"{KEY}={recipe.renorm:g} of the recipe is switched off: {reason}"
