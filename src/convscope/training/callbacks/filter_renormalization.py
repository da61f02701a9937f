"""The renormalization of filters in training (section 3): after each step, and where it would do harm.

The paper's radius is meant for filters that grow from small weights over grey levels "roughly in the [-128,128] range".
For other nets and pixels the radius of the recipe is switched off, and refused where the user typed it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convscope.errors import UserError
from convscope.models.renorm import filter_rms, renormalize_filters_
from convscope.training.recipe import Recipe

KEY = "optim.renorm"


class RenormalizeFilters(pl.Callback):
    """After each optimizer step scales convolution filters whose RMS exceeds `radius` back to it (section 3).

    Frozen filters stay as they are. Logs renorm/<layer>, the share of the layer's filters that exceeded the radius in
    the last step of the epoch.
    """

    def __init__(self, radius: float):
        self.radius, self.steps = radius, 0
        self.exceeding: dict[str, torch.Tensor | int] = {}  # by layer, number of filters in the last step

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.steps = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step == self.steps:  # gradients are still being accumulated
            return
        self.steps = trainer.global_step
        trained = [(name, weight) for name, weight in convolution_weights(module.net) if weight.requires_grad]
        for name, weight in trained:
            self.exceeding[name] = renormalize_filters_(weight, self.radius)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        for name, weight in convolution_weights(module.net):
            if name in self.exceeding:
                module.log(f"renorm/{name}", float(self.exceeding[name]) / len(weight), rank_zero_only=True)


def convolution_weights(net: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and weight of each convolution, in the order of the net's modules."""
    return ((name, layer.weight) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))


def reason_against_renorm(net: nn.Module, pixel_scale: float | Sequence[float]) -> str:
    """Why the filters of this net cannot be limited to a radius; "" where they can.

    pixel_scale: the multiplier on grey levels; one per color normalizes pixels for nets of libraries.
    """
    if any(isinstance(module, _BatchNorm) for module in net.modules()):
        return "the net has batch norm, which takes every scale of a filter back"
    if not isinstance(pixel_scale, int | float):
        return "the net's pixels are normalized to a spread of about 1, and the radius is meant for grey levels"
    return ""


def reason_against_radius(net: nn.Module, learned: Collection[str], radius: float | None) -> str:
    """Why the rows `learned`, which come from a checkpoint, cannot train at this radius; "" where none exceeds it."""
    layers = [net.get_submodule(row) for row in learned]
    rms = [filter_rms(layer.weight) for layer in layers if isinstance(layer, nn.Conv2d) and layer.weight.requires_grad]
    if radius is None or not rms or not (exceeding := int((torch.cat(rms) > radius).sum())):
        return ""
    return f"{exceeding:,} of {len(torch.cat(rms)):,} learned filters exceed it and would be cut down at the first step"


def without_renorm(recipe: Recipe, reason: str, typed: bool) -> tuple[Recipe, str]:
    """The recipe without its radius and a line that says so, if there is a reason; otherwise the recipe and "".

    Raises UserError where the user typed the radius.
    """
    if not reason or recipe.renorm is None:
        return recipe, ""
    if typed:
        raise UserError(f"{KEY}={recipe.renorm:g} cannot be: {reason}; type {KEY}=null")
    return replace(recipe, renorm=None), f"{KEY}={recipe.renorm:g} of the recipe is switched off: {reason}"


def pixel_scale_warning(radius: float | None, pixel_std: float) -> str | None:
    """A warning where the scale of the pixels makes the radius meaningless, else None.

    The paper's radius of 0.1 belongs to grey levels, "roughly in the [-128,128] range" (section 3). A filter of RMS 0.1
    over 7 x 7 x 3 such pixels gives activations in the tens; over pixels of spread 1 its activations are near zero.
    """
    if radius is None or pixel_std > 5:
        return None
    return (
        f"pixels have a spread of {pixel_std:.2g}, but a filter RMS of {radius} ({KEY}) is meant for "
        f"grey levels of about -128..128; set {KEY}=null or feed grey levels with data.pixel_scale=1"
    )
