"""Validation in float32, whatever trainer.precision the net trains in."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from torch import Tensor, nn


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
        self.contexts.enter_context(in_float32(module.net))

    def on_validation_end(self, *_: Any) -> None:
        self.contexts.close()

    def on_exception(self, *_: Any) -> None:
        self.contexts.close()


@contextmanager
def in_float32(net: nn.Module) -> Iterator[None]:
    """Gives the net float32 copies of its weights and statistics of other floating types; restores these at the end.

    The restored tensors are the same objects, because an optimizer and DistributedDataParallel refer to them.
    """
    tables: list[dict[str, Any]] = [
        table for module in net.modules() for table in (module._parameters, module._buffers)
    ]
    originals = [(table, name, value) for table in tables for name, value in table.items() if _needs_copy(value)]
    copies: dict[Tensor, Tensor] = {}  # a weight that two modules share is copied once
    with torch.inference_mode(False), torch.no_grad():
        for table, name, value in originals:
            table[name] = copies[value] if value in copies else copies.setdefault(value, _copy(value))
    try:
        yield
    finally:
        for table, name, value in originals:
            table[name] = value


def _needs_copy(value: Tensor | None) -> bool:
    return value is not None and value.is_floating_point() and value.dtype != torch.float32


def _copy(value: Tensor) -> Tensor:
    copy = value.detach().float()
    return nn.Parameter(copy, value.requires_grad) if isinstance(value, nn.Parameter) else copy


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
