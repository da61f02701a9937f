"""Stops a run whose loss or weights are not finite, without making a GPU wait in any step."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.data.batches import Batch
from convscope.errors import UserError
from convscope.training.callbacks.failure_checks import remedies


class FirstBadStep:
    """The first step of an epoch whose loss was not finite, counted from 1; 0 where there is none.

    It is found on the loss's device, and a copy goes to the host without any waiting: on a GPU it arrives steps later.
    """

    def __init__(self, device: torch.device):
        self._on_device = torch.zeros((), dtype=torch.int64, device=device)
        self._on_host = torch.zeros((), dtype=torch.int64, pin_memory=device.type == "cuda")
        self._arrived = self._on_host.numpy()  # the same memory

    def note(self, loss: torch.Tensor, step: int) -> None:
        """loss: of this step."""
        self._on_device.masked_fill_(~loss.detach().isfinite() & (self._on_device == 0), step)
        self._on_host.copy_(self._on_device, non_blocking=True)

    @property
    def arrived(self) -> int:
        """What has come to the host so far: all there is on a CPU."""
        return int(self._arrived)

    def wait(self) -> int:
        """The step by all losses; waits for the device."""
        return int(self._on_device)


class StopWhenNotFinite(pl.Callback):
    """Stops the run at a loss or weights that are not finite, so that the last checkpoint is a good one.

    On a CPU it stops at the loss before the gradients reach the weights. On a GPU no step waits for its loss: the run
    ends some steps later, and before validation and checkpoints in any case. There it stops at the weights too.
    """

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.step = 0
        self.first_bad: FirstBadStep | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Batch, step: int) -> None:
        self.batch, self.step = batch, step

    def on_before_backward(self, trainer: pl.Trainer, module: Any, loss: torch.Tensor) -> None:
        if self.first_bad is None:
            self.first_bad = FirstBadStep(loss.device)
        self.first_bad.note(loss, self.step + 1)
        if self.first_bad.arrived:
            self._stop(trainer, module, self.first_bad.arrived, loss)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        self._check(trainer, module)

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        self._check(trainer, module)

    def _check(self, trainer: pl.Trainer, module: Any) -> None:
        """Raises UserError for losses so far, or weights, that are not finite."""
        if self.first_bad and (step := self.first_bad.wait()):
            self._stop(trainer, module, step)
        weights = {name: value for name, value in module.net.state_dict().items() if value.is_floating_point()}
        finite = torch.stack([value.isfinite().all() for value in weights.values()])
        if bad := [name for name, is_finite in zip(weights, finite.tolist(), strict=True) if not is_finite]:
            raise UserError(
                f"{bad[0]} is not finite after step {self.step + 1} of epoch {trainer.current_epoch + 1}; "
                f"earlier checkpoints are untouched; try {remedies(module)}"
            )

    def _stop(self, trainer: pl.Trainer, module: Any, step: int, loss: torch.Tensor | None = None) -> None:
        """Raises UserError for the loss of this step. loss: of the step that is under way, if any."""
        value, layer = "nan or inf", ""
        if loss is not None and self.batch is not None and step == self.step + 1:  # the weights are still good
            with trainer.precision_plugin.forward_context():
                value, layer = f"{loss.item()}", f"first bad layer: {first_bad_layer(module.net, self.batch.image)}; "
        raise UserError(
            f"the loss became {value} in epoch {trainer.current_epoch + 1}, step {step}; {layer}earlier checkpoints "
            f"are untouched; try {remedies(module)}"
        )


@torch.no_grad()
def first_bad_layer(net: nn.Module, images: torch.Tensor) -> str:
    """Name of the first module, in order of the forward pass, whose output has a number that is not finite."""
    bad: list[str] = []

    def finite_hook(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and not bool(torch.isfinite(output).all()):
                bad.append(name)

        return hook

    if not bool(torch.isfinite(images).all()):
        return "the images themselves"
    leaves = [(name, module) for name, module in net.named_modules() if not list(module.children())]
    handles = [module.register_forward_hook(finite_hook(name)) for name, module in leaves]
    try:
        net(images)
    finally:
        for handle in handles:
            handle.remove()
    return bad[0] if bad else "none in the forward pass: the loss itself"
