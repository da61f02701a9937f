"""Rows of numbers, one for each epoch, that go into every checkpoint without costing more in every epoch."""

from typing import Any

import pytorch_lightning as pl
import torch
from torchmetrics import Metric

SPREAD = 0x9E3779B1  # 2 ** 32 over the golden ratio: its multiples lie far apart in 32 bits


class StepSeed(pl.Callback):
    """Dropout as a function of seed, step, micro-batch and process: a resumed run draws what an unbroken one draws.

    A step that accumulates gradients has several micro-batches, counted from 0; each draws anew.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_number: int) -> None:
        micro_batch = batch_number % trainer.accumulate_grad_batches  # Lightning counts batches by epoch
        torch.manual_seed(step_seed(self.seed, trainer.global_step, micro_batch, trainer.global_rank))


def step_seed(seed: int, step: int, micro_batch: int, rank: int) -> int:
    """A seed for torch's generators. Those of a CPU take its lowest 32 bits alone, so these differ by micro-batch."""
    return seed * 1_000_003 + step * 1_009 + rank + micro_batch * SPREAD


KEY = "running"  # in a checkpoint: for each process, metric -> (updates, state)
State = dict[str, tuple[int, dict[str, Any]]]


class RunningMetrics(pl.Callback):
    """Metrics of the training images go on counting where they stood; Lightning begins them anew.

    Each process finds its own counts. At the end of an epoch nothing is kept: the next one counts from zero.
    """

    def __init__(self) -> None:
        self.found: list[State] = []

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        if not within_epoch(trainer):
            return
        mine, everyone = _state(module), [State() for _ in range(trainer.world_size)]
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(everyone, mine)
        else:
            everyone = [mine]
        checkpoint[KEY] = everyone

    def on_load_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        self.found = checkpoint.get(KEY, [])

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        found, self.found = self.found, []
        if trainer.global_rank >= len(found):
            return
        metrics = _metrics(module)
        for name, (updates, state) in found[trainer.global_rank].items():
            metrics[name]._update_count = updates
            for key, value in state.items():
                moved = [each.to(module.device) for each in value] if isinstance(value, list) else value
                setattr(metrics[name], key, moved.to(module.device) if isinstance(moved, torch.Tensor) else moved)


def within_epoch(trainer: pl.Trainer) -> bool:
    """Whether an epoch has begun and its training is not over."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return bool(epochs.started > epochs.processed)


def _metrics(module: Any) -> dict[str, Metric]:
    return {name: part for name, part in module.named_modules() if isinstance(part, Metric)}


def _state(module: Any) -> State:
    """On the CPU, of metrics that have counted something."""
    return {
        name: (metric._update_count, {key: _cpu(value) for key, value in metric.metric_state.items()})
        for name, metric in _metrics(module).items()
        if metric._update_count
    }


def _cpu(value: Any) -> Any:
    return [each.detach().cpu() for each in value] if isinstance(value, list) else value.detach().cpu().clone()
