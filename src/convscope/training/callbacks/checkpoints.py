"""best.ckpt and last.ckpt: when they are written, and how, so that a file is whole or absent."""

import time
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from pydantic import Field
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from convscope.config import Count, config
from convscope.errors import UserError
from convscope.metrics.goals import Goal
from convscope.models.checkpoints import read_checkpoint
from convscope.runs.atomic_io import write
from convscope.training.stop import StopRequest

EVERY = 10  # steps between two times that the processes of a run agree on what to do


@config("checkpoint")
class Within:
    """conf/config.yaml, checkpoint: how often last.ckpt is written within an epoch; None: at its end only."""

    every_minutes: Annotated[float, Field(gt=0)] | None = 10.0
    every_steps: Count | None = None


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that a reader gets the old file or the new one, after a power cut too (runs/atomic_io.py).

    Lightning's own way is atomic only where TMPDIR lies on the same file system as the output.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write(Path(path), lambda part: torch.save(checkpoint, part), force=True)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """The checkpoint on the CPU. Raises UserError for a damaged file, one of another program, and weights alone."""
        checkpoint = read_checkpoint(path)
        if not {"loops", "callbacks", "optimizer_states"} <= checkpoint.keys():
            raise UserError(
                f"{path} holds the weights of a net and not where its training stood; begin a new run from them with "
                f"model.init={path}"
            )
        return checkpoint


class LastCheckpoint(Checkpoint):
    """Writes last.ckpt at the end of every epoch, as often within it as `within` says, and when a signal asks to stop.

    Within an epoch it writes between two optimizer steps, never after the last step: a run resumed from there would
    skip the validation that follows. A run that is asked to stop then, or in validation, ends with its epoch.
    """

    def __init__(self, folder: Path, within: Within, stop_request: StopRequest):
        self.path, self.within, self.stop_request = folder / "last.ckpt", within, stop_request
        self.saved_at, self.saved_step = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step
        self.stop_request.listen()

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        signal_number, _ = self._agreed(trainer, module)
        if signal_number:
            self.stop_request.answer(signal_number)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        if loop._num_ready_batches_reached() or loop._should_accumulate():
            return
        if trainer.world_size > 1 and trainer.global_step % EVERY and not self._due_by_steps(trainer):
            return  # an agreement waits for the slowest process
        signal_number, due = self._agreed(trainer, module)
        if signal_number or due:
            self._save(trainer)
        if signal_number:
            self.stop_request.answer(signal_number)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def _due_by_steps(self, trainer: pl.Trainer) -> bool:
        """Whether a checkpoint is due by the number of steps, which is the same in all processes."""
        steps = self.within.every_steps
        return steps is not None and trainer.global_step - self.saved_step >= steps

    def _agreed(self, trainer: pl.Trainer, module: Any) -> tuple[int, bool]:
        """The signal that any process got (0: none), and whether a checkpoint is due. The same in all processes."""
        minutes = self.within.every_minutes
        due = self._due_by_steps(trainer) or (minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes)
        if trainer.world_size == 1:
            return self.stop_request.number, due
        state = torch.tensor([self.stop_request.number, int(due)], device=module.device)
        signal_number, any_due = trainer.strategy.reduce(state, reduce_op="max").tolist()
        return int(signal_number), bool(any_due)


class BestCheckpoint(ModelCheckpoint):
    """Writes best.ckpt, and stores file names without their folder, so that a run folder can be moved.

    Absolute paths would also tell whoever gets the checkpoint about the machine.
    """

    PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")

    @property
    def state_key(self) -> str:
        """Lightning's key in checkpoints, with the class name of version 0.1 whatever this class is called."""
        return "BestCheckpoint" + super().state_key.removeprefix(type(self).__qualname__)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        del state["dirpath"]
        names = {key: Path(state[key]).name for key in self.PATHS}
        return state | names | {"best_k_models": {Path(path).name: score for path, score in self.best_k_models.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        paths = {key: self._in_folder(state[key]) for key in self.PATHS}
        best = {self._in_folder(name): score for name, score in state["best_k_models"].items()}
        super().load_state_dict({**state, **paths, "best_k_models": best})

    def _in_folder(self, name: str) -> str:
        return str(Path(str(self.dirpath)) / Path(name).name) if name else ""


def checkpoint_callbacks(folder: Path, within: Within, stop_request: StopRequest, goal: Goal) -> list[pl.Callback]:
    """Callbacks for best.ckpt (weights alone, by the goal), then last.ckpt, which includes the state of the first."""
    best = BestCheckpoint(
        folder,
        filename="best",
        monitor=goal.metric,
        mode=goal.mode,
        save_weights_only=True,
        enable_version_counter=False,
    )
    return [best, LastCheckpoint(folder, within, stop_request)]
