"""When things happen in training; what happens is a pure function elsewhere."""

import json
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import pytorch_lightning as pl
import torch

from convscope.analyses.visualize.compute import FeatureChoice
from convscope.metrics.goals import Goal
from convscope.plots.grid import filter_grid
from convscope.report.page import write_page
from convscope.runs.number_format import duration
from convscope.runs.record import Picture, Record
from convscope.runs.throttle import Throttle
from convscope.training.callbacks.exact_resume import within_epoch
from convscope.training.callbacks.filter_renormalization import convolution_weights


class FilterPictures(pl.Callback):
    """The first layer's filters after each shown epoch, on one common scale (Fig. 6 a-c)."""

    def __init__(self, record: Record, choice: FeatureChoice):
        self.record, self.choice = record, choice

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        epoch = trainer.current_epoch + 1
        if trainer.is_global_zero and not trainer.sanity_checking and self.choice.at(epoch):
            name, weight = next(convolution_weights(module.net))
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
