"""Where the renormalization of section 3 does harm: its radius is meant for filters that grow from small weights, over
grey levels "roughly in the [-128,128] range". Elsewhere it is switched off, and where the user typed it, refused.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convscope.errors import UserError
from convscope.models.renorm import filter_rms
from convscope.training.recipe import Recipe

KEY = "optim.renorm"


def unsuited(net: nn.Module, pixel_scale: float | Sequence[float]) -> str:
    """Why no convolution filter of this net can be held at a radius, "" where they can.

    pixel_scale: the multiplier on grey levels; one per color normalizes pixels as the nets of libraries want them.
    """
    if any(isinstance(module, _BatchNorm) for module in net.modules()):
        return "the net has batch norm, which takes every scale of a filter back"
    if not isinstance(pixel_scale, int | float):
        return "the net's pixels are normalized to a spread of about 1, and the radius is meant for grey levels"
    return ""


def exceeding(net: nn.Module, learned: Collection[str], radius: float | None) -> str:
    """Why these rows, learned elsewhere, cannot train at this radius; "" where all their filters lie within."""
    layers = [net.get_submodule(row) for row in learned]
    rms = [filter_rms(layer.weight) for layer in layers if isinstance(layer, nn.Conv2d) and layer.weight.requires_grad]
    if radius is None or not rms or not (many := int((torch.cat(rms) > radius).sum())):
        return ""
    return f"{many:,} of {len(torch.cat(rms)):,} learned filters exceed it and would be cut down at the first step"


def without_radius(recipe: Recipe, reason: str, typed: bool) -> tuple[Recipe, str]:
    """The recipe without its radius and a line that says so, where there is a reason; else as it is, and "".

    Raises UserError where the user typed the radius.
    """
    if not reason or recipe.renorm is None:
        return recipe, ""
    if typed:
        raise UserError(f"{KEY}={recipe.renorm:g} cannot be: {reason}; type {KEY}=null")
    return replace(recipe, renorm=None), f"{KEY}={recipe.renorm:g} of the recipe is switched off: {reason}"
