"""Stops at numbers that went bad, and says where; what does not stop a run is told by training/standstill.py."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.data.batches import Batch
from convscope.errors import UserError
from convscope.models.build import ConvNet


class StopWhenNotFinite(pl.Callback):
    """Stops the run at a loss that is not finite, before its gradients reach the weights, and at weights that are not
    finite, before they reach the validation or a checkpoint: the last checkpoint is a good one.
    """

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.step = 0

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Batch, step: int) -> None:
        self.batch, self.step = batch, step

    def on_before_backward(self, trainer: pl.Trainer, module: Any, loss: torch.Tensor) -> None:
        if torch.isfinite(loss) or self.batch is None:
            return
        with trainer.precision_plugin.forward_context():
            layer = first_bad_layer(module.net, self.batch.image)
        raise UserError(
            f"the loss became {loss.item()} in epoch {trainer.current_epoch + 1}, step {self.step + 1}; "
            f"first bad layer: {layer}; earlier checkpoints are untouched; try {remedies(module)}"
        )

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        self._check_weights(trainer, module)

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        self._check_weights(trainer, module)

    def _check_weights(self, trainer: pl.Trainer, module: Any) -> None:
        for name, values in module.net.state_dict().items():
            if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                raise UserError(
                    f"{name} is not finite after step {self.step + 1} of epoch {trainer.current_epoch + 1}; "
                    f"earlier checkpoints are untouched; try {remedies(module)}"
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


def remedies(module: Any) -> str:
    """In words, by the net, recipe and scale of pixels of a Classifier: "a smaller optim.lr than 0.01, ... or ..."."""
    recipe, scale = module.recipe, module.pixel_scale
    rows = isinstance(module.net, ConvNet)  # other nets have initial weights and pixels of their own
    other = {"he": "normal", "normal": "he"}[recipe.init]
    quick = recipe.algorithm == "adamw" and recipe.schedule == "cycle" and (recipe.init == "he" or not rows)
    narrow = next(module.net.parameters()).dtype in (torch.float16, torch.bfloat16)  # loses small steps
    words = [
        *(["trainer.precision=bf16-mixed"] if narrow else []),
        f"a smaller optim.lr than {recipe.lr:g}",
        *([f"optim.init={other}"] if rows else []),
        *(["grey levels as they are (data.pixel_scale=1)"] if rows and scale != 1 else []),
        *(["more steps (trainer.max_epochs)"] if quick else ["optim=quick"]),
    ]
    return f"{', '.join(words[:-1])} or {words[-1]}"
