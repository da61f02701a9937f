"""Validation in float32 and not in TF32, whatever trainer.precision the net trains in."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision

from convscope.engine.hooks import in_float32


class ValidateInFloat32(pl.Callback):
    """Gives every validation pass unconverted images and the net's weights as float32.

    So the numbers, the top-9 search and the projections of a run equal those of a job that opens its checkpoint, and a
    map's strongest unit is the same in both. Must be the first callback, so that the others work in float32 too. Costs
    a second copy of the weights in memory where they are not float32.
    """

    def __init__(self) -> None:
        self.contexts = ExitStack()

    def on_validation_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.contexts.enter_context(_without_conversion(trainer))
        self.contexts.enter_context(_without_tf32())
        self.contexts.enter_context(in_float32(module.net))

    def on_validation_end(self, *_: Any) -> None:
        self.contexts.close()

    def on_exception(self, *_: Any) -> None:
        self.contexts.close()


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Stops NVIDIA's GPUs from rounding what they multiply, as torch lets them in convolutions."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def _without_conversion(trainer: pl.Trainer) -> Iterator[None]:
    """Stops Lightning from casting batches and from autocast."""
    strategy, plugin = trainer.strategy, trainer.precision_plugin
    if type(plugin) in (DoublePrecision, HalfPrecision, MixedPrecision):  # other plugins belong to their strategies
        strategy.precision_plugin = Precision()
    try:
        yield
    finally:
        strategy.precision_plugin = plugin
