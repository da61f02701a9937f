"""When things happen in training; what happens is a pure function elsewhere."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.metrics.goals import Goal
from convscope.models.renorm import renormalize_filters_
from convscope.plots.grid import filter_grid
from convscope.report.page import write_page
from convscope.runs.number_format import duration
from convscope.runs.record import Picture, Record
from convscope.runs.throttle import Throttle
from convscope.training.exact_resume import EpochRows, within_epoch

SPREAD = 0x9E3779B1  # 2 ** 32 over the golden ratio: its multiples lie far apart in 32 bits


class RenormalizeFilters(pl.Callback):
    """After each optimizer step every convolution filter whose RMS exceeds `radius` goes back to it (section 3).

    Frozen filters stay as they are.
    Logs renorm/<layer>, the share of the layer's filters that had to go back in the epoch's last step.
    """

    def __init__(self, radius: float):
        self.radius, self.steps = radius, 0
        self.held: dict[str, torch.Tensor | int] = {}

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.steps = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step == self.steps:  # gradients are still being accumulated
            return
        self.steps = trainer.global_step
        trained = [(name, weight) for name, weight in _convolutions(module.net) if weight.requires_grad]
        for name, weight in trained:
            self.held[name] = renormalize_filters_(weight, self.radius)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        for name, weight in _convolutions(module.net):
            if name in self.held:
                module.log(f"renorm/{name}", float(self.held[name]) / len(weight), rank_zero_only=True)


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


class FilterPictures(pl.Callback):
    """The first layer's filters after each shown epoch, on one common scale (Fig. 6 a-c)."""

    def __init__(self, record: Record, choice: FeatureConfig):
        self.record, self.choice = record, choice

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        epoch = trainer.current_epoch + 1
        if trainer.is_global_zero and not trainer.sanity_checking and self.choice.draws_at(epoch):
            name, weight = next(_convolutions(module.net))
            self.record.add(filters_picture(name, weight, epoch))


def filters_picture(name: str, weight: torch.Tensor, epoch: int | None = None) -> Picture:
    """The filters [C, 3, k, k] of one layer side by side, zero mid grey, one scale for all."""
    when = "" if epoch is None else f", epoch {epoch}"
    caption = f"{name}{when}: its {len(weight)} filters on one common scale"
    image = filter_grid(weight.detach().float().cpu().numpy(), common=True, title=caption)
    return Picture(f"filters/{name}", image, caption, epoch, name, plot=True)


class RowPerEpoch(pl.Callback):
    """One row of metrics.csv per epoch, and one line on a terminal that shows no progress bar."""

    state_key = "RowPerEpoch"  # in checkpoints, of version 0.1 too

    def __init__(self, record: Record, goal: Goal):
        self.record, self.goal, self.rows = record, goal, EpochRows()
        self.started = self.trained = 0.0
        self.spent = 0.0  # seconds of the epoch that an earlier start has begun

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows.text(), "spent": time.perf_counter() - self.started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.spent = EpochRows.read(state["rows"]), state.get("spent", 0.0)

    def on_fit_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.rows and trainer.is_global_zero:
            self.record.rows(self.rows)

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.started = time.perf_counter() - self.spent
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready if within_epoch(trainer) else 0
        if (self.rows or done) and trainer.is_global_zero:
            part = f" and {done} of {trainer.num_training_batches} batches of the next" if done else ""
            print(
                f"{self.record.folder} goes on after epoch {len(self.rows)} of {trainer.max_epochs}{part}", flush=True
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.callback_metrics.clear()  # Lightning keeps what only some epochs measure, and the rows would repeat it
        self.started = time.perf_counter()

    def on_validation_epoch_start(self, *_: Any) -> None:
        self.trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not trainer.is_global_zero:
            return
        epoch, now = trainer.current_epoch + 1, time.perf_counter()
        images = trainer.num_training_batches * module.recipe.batch_size * trainer.world_size
        measured = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        row = {
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **{name: measured.pop(name) for name in list(measured) if name.startswith(("train/", "val/"))},
            "seconds": now - self.started,
            "images_per_second": images / max(1e-9, self.trained - self.started),
            **measured,
        }
        self.rows.append({"epoch": epoch, **row})
        metric, best = self.goal.metric, self.goal.best(self.rows)
        self.record.row(epoch, row, {f"best/{metric}": best[metric]} if best else {})
        if not sys.stdout.isatty():
            print(_line(epoch, trainer.max_epochs, row) + self._left(trainer.max_epochs), flush=True)

    def _left(self, epochs: int | None) -> str:
        """How long the rest of the epochs will take, as the last few did."""
        left, recent = (epochs or 0) - len(self.rows), self.rows[-3:]
        spent = sum(row["seconds"] for row in recent) / len(recent)
        return f"  {duration(left * spent)} left" if left > 0 else ""


class PagePerEpoch(pl.Callback):
    """Keeps the report page as new as the run; at most every 20th second is the page's, however long the run."""

    def __init__(self, record: Record):
        self.record, self.page = record, Throttle(1 / 20)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero and self.page.due:
            with self.page.counted():
                write_page(self.record.folder)


def _line(epoch: int, epochs: int | None, row: dict[str, float]) -> str:
    precision = f" mean AP {row['val/mean_ap']:.1%}" if "val/mean_ap" in row else ""
    return (
        f"epoch {epoch}/{epochs}  train loss {row['train/loss']:.3f} accuracy {row['train/top1']:.1%}  "
        f"val loss {row['val/loss']:.3f} accuracy {row['val/top1']:.1%}{precision}  "
        f"{row['seconds']:.0f} s  {row['images_per_second']:.0f} images/s"
    )


def _convolutions(net: nn.Module) -> Any:
    return ((name, layer.weight) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
