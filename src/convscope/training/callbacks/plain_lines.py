"""Signs of life of a training without a progress bar, in pipes and logs."""

import math
from typing import Any

import pytorch_lightning as pl

from convscope.engine.progress import PLAIN


class LinesWithinEpoch(pl.Callback):
    """Writes a plain line now and then while an epoch goes on."""

    def __init__(self) -> None:
        self.began = 0.0

    def on_train_start(self, *_: Any) -> None:
        self.began = PLAIN.begin()

    def on_train_epoch_start(self, *_: Any) -> None:
        self.began = PLAIN.clock()
        PLAIN.line_written()  # of the epoch before

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        total, count = trainer.num_training_batches, trainer.fit_loop.epoch_loop.batch_progress.current.ready
        words = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}, batches"
        PLAIN.advance(words, count, int(total) if math.isfinite(total) else None, self.began)

    def on_train_end(self, *_: Any) -> None:
        PLAIN.end()

    def on_exception(self, *_: Any) -> None:
        PLAIN.end()
