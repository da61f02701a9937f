"""trainer.precision says what a net trains in. What is seen of it, scores and projections, is computed in float32."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from torch import Tensor, nn


class ValidateInFloat32(pl.Callback):
    """Every validation pass, and what other callbacks do until its end, takes images as they are and the net's weights
    as float32. So its numbers, the search that rides on it and the projections are those that a job finds which opens
    the checkpoint, and a map's strongest unit is the same one for all of them.

    The first of the callbacks. Costs the weights once more in memory where they are not float32.
    """

    def __init__(self) -> None:
        self.meanwhile = ExitStack()

    def on_validation_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.meanwhile.enter_context(_plain(trainer))
        self.meanwhile.enter_context(in_float32(module.net))

    def on_validation_end(self, *_: Any) -> None:
        self.meanwhile.close()

    def on_exception(self, *_: Any) -> None:
        self.meanwhile.close()


@contextmanager
def in_float32(net: nn.Module) -> Iterator[None]:
    """The net with float32 copies of its weights and statistics in place of those of another floating type.

    Afterwards it has its own again: the same objects, as an optimizer and DistributedDataParallel know them.
    """
    held: list[dict[str, Any]] = [
        values for module in net.modules() for values in (module._parameters, module._buffers)
    ]
    own = [(values, name, value) for values in held for name, value in values.items() if _other(value)]
    copies: dict[Tensor, Tensor] = {}  # a weight that two modules share stays one
    with torch.inference_mode(False), torch.no_grad():
        for values, name, value in own:
            values[name] = copies[value] if value in copies else copies.setdefault(value, _copied(value))
    try:
        yield
    finally:
        for values, name, value in own:
            values[name] = value


def _other(value: Tensor | None) -> bool:
    return value is not None and value.is_floating_point() and value.dtype != torch.float32


def _copied(value: Tensor) -> Tensor:
    wide = value.detach().float()
    return nn.Parameter(wide, value.requires_grad) if isinstance(value, nn.Parameter) else wide


@contextmanager
def _plain(trainer: pl.Trainer) -> Iterator[None]:
    """Lightning neither casts a batch nor computes with fewer bits (autocast)."""
    strategy, plugin = trainer.strategy, trainer.precision_plugin
    if type(plugin) in (DoublePrecision, HalfPrecision, MixedPrecision):  # others belong to strategies of their own
        strategy.precision_plugin = Precision()
    try:
        yield
    finally:
        strategy.precision_plugin = plugin
