"""What makes a resumed run equal, bit by bit, one that was never interrupted: dropout masks and running metrics."""

from typing import Any

import pytorch_lightning as pl
import torch
from torchmetrics import Metric

SPREAD = 0x9E3779B1  # 2 ** 32 over the golden ratio: its multiples lie far apart in 32 bits
KEY = "running"  # in a checkpoint: for each process, metric -> (updates, state)
State = dict[str, tuple[int, dict[str, Any]]]


class StepSeed(pl.Callback):
    """Seeds dropout from seed, step, micro-batch and process, so that it does not depend on where a run was resumed.

    A step that accumulates gradients has several micro-batches, counted from 0, each with its own masks.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_number: int) -> None:
        micro_batch = batch_number % trainer.accumulate_grad_batches  # Lightning counts batches by epoch
        torch.manual_seed(step_seed(self.seed, trainer.global_step, micro_batch, trainer.global_rank))


def step_seed(seed: int, step: int, micro_batch: int, rank: int) -> int:
    """A seed for torch's generators. CPU generators use only its lowest 32 bits, so micro-batches differ in these."""
    return seed * 1_000_003 + step * 1_009 + rank + micro_batch * SPREAD


class RunningMetrics(pl.Callback):
    """Restores the metrics of training images in the middle of an epoch, which Lightning would reset.

    Each process restores its own counts. A checkpoint at the end of an epoch stores none: the next epoch starts at
    zero.
    """

    def __init__(self) -> None:
        self.restored: list[State] = []

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        if not within_epoch(trainer):
            return
        states = [State() for _ in range(trainer.world_size)]
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(states, _state(module))
        else:
            states = [_state(module)]
        checkpoint[KEY] = states

    def on_load_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        self.restored = checkpoint.get(KEY, [])

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        states, self.restored = self.restored, []
        if trainer.global_rank >= len(states):
            return
        metrics = _metrics(module)
        for name, (updates, state) in states[trainer.global_rank].items():
            metrics[name]._update_count = updates
            for key, value in state.items():
                setattr(metrics[name], key, _on_device(value, module.device))


def within_epoch(trainer: pl.Trainer) -> bool:
    """Whether the training part of an epoch has begun and not ended."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return bool(epochs.started > epochs.processed)


def _metrics(module: Any) -> dict[str, Metric]:
    return {name: part for name, part in module.named_modules() if isinstance(part, Metric)}


def _state(module: Any) -> State:
    """Updates and state, on the CPU, of the module's metrics that have any updates."""
    return {
        name: (metric._update_count, {key: _on_cpu(value) for key, value in metric.metric_state.items()})
        for name, metric in _metrics(module).items()
        if metric._update_count
    }


def _on_cpu(value: Any) -> Any:
    return [part.detach().cpu() for part in value] if isinstance(value, list) else value.detach().cpu().clone()


def _on_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [part.to(device) for part in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value
