"""Rows of numbers, one for each epoch, that go into every checkpoint without costing more in every epoch."""

import json
import time
from collections.abc import MutableMapping
from typing import Any

import pytorch_lightning as pl
import torch
from torchmetrics import Metric


class EpochRows(list[dict[str, float]]):
    """A list that only grows; `text` writes the rows that are new, so that a checkpoint does not write all of them."""

    def __init__(self, rows: Any = ()):
        super().__init__(rows)
        self._lines: list[str] = []

    def text(self) -> str:
        """A line of JSON for each row; floats come back as they were, bit by bit."""
        self._lines += [json.dumps(row) for row in self[len(self._lines) :]]
        return "\n".join(self._lines)

    @classmethod
    def read(cls, kept: Any) -> "EpochRows":
        """The rows of a text, or of the list that older checkpoints have."""
        return cls(map(json.loads, kept.splitlines()) if isinstance(kept, str) else kept)


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


class Sessions(pl.Callback):
    """Adds what earlier sessions of a run took, up to the checkpoint that this one goes on from.

    What a session did after its last checkpoint is done again, and counted then. seconds: by phase; gets what the
    earlier sessions took for "preparation", and as "earlier" what they took for everything. began: when this session
    began, by time.perf_counter.
    """

    state_key = "Sessions"  # in checkpoints

    def __init__(self, seconds: MutableMapping[str, float], began: float):
        self.seconds, self.began = seconds, began

    def state_dict(self) -> dict[str, Any]:
        whole = self.seconds.get("earlier", 0.0) + time.perf_counter() - self.began
        return {"seconds": {"whole": whole, "preparation": self.seconds.get("preparation", 0.0)}}

    def on_load_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint of version 0.1 has the seconds of its epochs alone."""
        states = checkpoint["callbacks"]
        if self.state_key in states:
            before = states[self.state_key]["seconds"]
        else:
            epochs = states.get("RowPerEpoch", {"rows": []})
            measured = sum(row["seconds"] for row in EpochRows.read(epochs["rows"]))
            before = {"whole": measured + _within_epoch(checkpoint, epochs), "preparation": 0.0}
        self.seconds["earlier"] = before["whole"]
        self.seconds["preparation"] = self.seconds.get("preparation", 0.0) + before["preparation"]


def _within_epoch(checkpoint: dict[str, Any], epochs: dict[str, Any]) -> float:
    """Seconds of the epoch that the checkpoint was written in; at an epoch's end they are in its row."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    return float(epochs.get("spent", 0.0)) if progress["started"] > progress["processed"] else 0.0
