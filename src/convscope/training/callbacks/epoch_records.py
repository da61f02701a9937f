"""What a run records after each epoch: a row of metrics.csv, first-layer filters, the report page."""

import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.analyses.visualize.about import FeatureConfig
from convscope.metrics.goals import Goal
from convscope.plots.grid import filter_grid
from convscope.report.page import write_page
from convscope.runs.number_format import duration
from convscope.runs.reading import read_run
from convscope.runs.record import Picture, Record
from convscope.runs.throttle import Throttle
from convscope.training.callbacks.exact_resume import within_epoch
from convscope.training.callbacks.filter_renormalization import convolution_weights
from convscope.training.watching.own_run import OwnRun
from convscope.training.watching.recorded_run import EpochRows


class RowPerEpoch(pl.Callback):
    """Writes a row of metrics.csv after each epoch, and a line to the terminal where it shows no progress bar."""

    state_key = "RowPerEpoch"  # in checkpoints, of version 0.1 too

    def __init__(self, record: Record, goal: Goal):
        self.record, self.goal, self.rows = record, goal, EpochRows()
        self.started = self.trained = 0.0
        self.spent = 0.0  # seconds of this epoch in the session before
        self.lost = False  # whether a session before has left the last row unwritten

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows.text(), "spent": time.perf_counter() - self.started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.spent = EpochRows.read(state["rows"]), state.get("spent", 0.0)

    def write_earlier_rows(self, trainer: pl.Trainer) -> None:
        """Writes the rows of a resumed run, which its checkpoint has, into metrics.csv, without a lost one."""
        if self.rows and trainer.is_global_zero:
            written = read_run(self.record.folder, with_entries=False).metrics.get("epoch", [])
            self.lost = self.rows[-1]["epoch"] not in written
            self.record.rows(self.rows[:-1] if self.lost else self.rows)

    def record_lost(self) -> None:
        """Records the last row, if an earlier session ended after its checkpoint and before it was written."""
        if self.lost:
            self.lost = False
            self._record_last()

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.started = time.perf_counter() - self.spent
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready if within_epoch(trainer) else 0
        if (self.rows or batches) and trainer.is_global_zero:
            part = f" and {batches} of {trainer.num_training_batches} batches of the next" if batches else ""
            epochs = f"{len(self.rows)} of {trainer.max_epochs}"
            print(f"{self.record.folder} goes on after epoch {epochs}{part}", flush=True)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.callback_metrics.clear()  # Lightning would repeat the values of epochs that measure more than this one
        self.started = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.record.heartbeat.progress((batch_idx + 1) / max(1, trainer.num_training_batches))

    def on_validation_epoch_start(self, *_: Any) -> None:
        self.trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not trainer.is_global_zero:
            return
        epoch, row = trainer.current_epoch + 1, self._row(trainer, module.recipe.batch_size)
        self.rows.append({"epoch": epoch, **row})
        self._record_last()
        self.record.heartbeat.epoch(epoch)
        if not sys.stdout.isatty():
            print(_line(epoch, trainer.max_epochs, row) + self._time_left(trainer.max_epochs), flush=True)

    def _record_last(self) -> None:
        metric, best = self.goal.metric, self.goal.best(self.rows)
        row = {name: value for name, value in self.rows[-1].items() if name != "epoch"}
        self.record.row(int(self.rows[-1]["epoch"]), row, {f"best/{metric}": best[metric]} if best else {})

    def _row(self, trainer: pl.Trainer, batch_size: int) -> dict[str, float]:
        """The columns of metrics.csv in their order: the rate, losses and accuracies, the time, everything else."""
        ended = time.perf_counter()
        images = trainer.num_training_batches * batch_size * trainer.world_size
        measured = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        return {
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **{name: measured.pop(name) for name in list(measured) if name.startswith(("train/", "val/"))},
            "seconds": ended - self.started,
            "images_per_second": images / max(1e-9, self.trained - self.started),
            **measured,
        }

    def _time_left(self, epochs: int | None) -> str:
        """The time for the remaining epochs, by the mean of the last three."""
        left, recent = (epochs or 0) - len(self.rows), self.rows[-3:]
        mean = sum(row["seconds"] for row in recent) / len(recent)
        return f"  {duration(left * mean)} left" if left > 0 else ""


class BeginRecord(pl.Callback):
    """Calls `begin` before the first step, when a checkpoint is restored and nothing of the start can be refused.

    So a start that is refused leaves the folder as it was.
    """

    def __init__(self, begin: Callable[[], None], rows: RowPerEpoch):
        self.begin, self.rows, self.begun = begin, rows, False

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.begun = True
        self.begin()
        self.rows.write_earlier_rows(trainer)
        self.rows.record.heartbeat.resume(len(self.rows.rows))

    def on_fit_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not self.begun:  # all epochs have ended earlier, so that no step came
            self.on_train_start(trainer)


class FilterPictures(pl.Callback):
    """Records the first layer's filters after each epoch for which features are drawn, on one scale (Fig. 6 a-c)."""

    def __init__(self, record: Record, choice: FeatureConfig):
        self.record, self.choice = record, choice

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        epoch = trainer.current_epoch + 1
        if trainer.is_global_zero and not trainer.sanity_checking and self.choice.draws_at(epoch):
            self.draw(module.net, epoch)

    def redraw(self, net: nn.Module, epoch: int) -> None:
        """Draws an epoch whose picture an earlier session has not written."""
        if self.choice.draws_at(epoch):
            name, _ = next(convolution_weights(net))
            if not self.record.has_picture(f"filters/{name}", epoch):
                self.draw(net, epoch)

    def draw(self, net: nn.Module, epoch: int) -> None:
        """Records the picture, of the filters of now."""
        name, weight = next(convolution_weights(net))
        weight = weight.detach().to("cpu", copy=True)
        self.record.background.do(lambda: self.record.add(filters_picture(name, weight, epoch)))


class DrawingBeside(pl.Callback):
    """Keeps the drawing of an epoch, which goes on beside the next one, in step with checkpoints, steps and sessions.

    An error of it ends the training at the next step. The checkpoint at the end of a shown epoch does not wait for its
    pictures: a session that goes on from there has its weights and draws what is missing. Any other checkpoint waits.
    """

    def __init__(self, record: Record, evolution: OwnRun, filters: FilterPictures, rows: RowPerEpoch):
        self.record, self.evolution, self.filters, self.rows, self.begun = record, evolution, filters, rows, False

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.begun = True
        epoch = trainer.current_epoch
        if epoch and not within_epoch(trainer) and trainer.is_global_zero:
            self.evolution.redraw(epoch)
            self.filters.redraw(module.net, epoch)
        self.rows.record_lost()

    def on_train_batch_end(self, *_: Any) -> None:
        self.record.background.check()

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        if within_epoch(trainer) or not self.evolution.choice.draws_at(trainer.current_epoch + 1):
            self.record.background.wait()

    def on_fit_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not self.begun:  # all epochs have ended earlier
            self.on_train_start(trainer, module)


class PagePerEpoch(pl.Callback):
    """Writes the report page after an epoch, as often as that takes at most a twentieth of the time."""

    def __init__(self, record: Record):
        self.record, self.page = record, Throttle(1 / 20)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self.record.background.do(self.write)

    def write(self) -> None:
        if self.page.due:
            with self.page.counted():
                write_page(self.record.folder)
            self.record.heartbeat.write()


def filters_picture(name: str, weight: torch.Tensor, epoch: int | None = None) -> Picture:
    """The filters [C, 3, k, k] of one layer side by side, zero mid grey, one scale for all."""
    when = "" if epoch is None else f", epoch {epoch}"
    caption = f"{name}{when}: its {len(weight)} filters on one common scale"
    image = filter_grid(weight.detach().float().cpu().numpy(), common=True, title=caption)
    return Picture(f"filters/{name}", image, caption, epoch, name, plot=True)


def _line(epoch: int, epochs: int | None, row: dict[str, float]) -> str:
    precision = f" mean AP {row['val/mean_ap']:.1%}" if "val/mean_ap" in row else ""
    return (
        f"epoch {epoch}/{epochs}  train loss {row['train/loss']:.3f} accuracy {row['train/top1']:.1%}  "
        f"val loss {row['val/loss']:.3f} accuracy {row['val/top1']:.1%}{precision}  "
        f"{row['seconds']:.0f} s  {row['images_per_second']:.0f} images/s"
    )
