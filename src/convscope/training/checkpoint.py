"""Checkpoints that are whole or absent, at the ends of epochs and within them."""

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
from convscope.models.weights import read_checkpoint
from convscope.runs.atomic_io import write
from convscope.training.stop import Request

EVERY = 10  # steps between two times that processes ask each other


@config("checkpoint")
class Within:
    """conf/config.yaml, checkpoint: how often last.ckpt is written within an epoch; None: at its end only."""

    every_minutes: Annotated[float, Field(gt=0)] | None = 10.0
    every_steps: Count | None = None


class AtomicCheckpointIO(TorchCheckpointIO):
    """A reader sees the old file or the new one, and after a power cut too (runs/atomic_io.py).

    Lightning's own way is atomic only where TMPDIR lies on the same file system as the output.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write(Path(path), lambda part: torch.save(checkpoint, part), force=True)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """On the CPU. Raises UserError where the file is damaged, another program's, or no last.ckpt."""
        checkpoint = read_checkpoint(path)
        if not {"loops", "callbacks", "optimizer_states"} <= checkpoint.keys():
            raise UserError(
                f"{path} holds the weights of a net and not where its training stood; begin a new run from them with "
                f"model.init={path}"
            )
        return checkpoint


class LastCheckpoint(Checkpoint):
    """last.ckpt at the end of every epoch, as often within it as `within` says, and when the run is asked to stop.

    Always between two optimizer steps, never after the last one of an epoch: Lightning would leave out the validation
    that follows. A run that is asked to stop there or in validation ends with its epoch.
    """

    def __init__(self, folder: Path, within: Within, request: Request):
        self.path, self.within, self.request = folder / "last.ckpt", within, request
        self.saved_at, self.saved_step = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step
        self.request.listen()

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        asked, _ = self._agreed(trainer, module)
        if asked:
            self.request.answer(asked)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        if loop._num_ready_batches_reached() or loop._should_accumulate():
            return
        if trainer.world_size > 1 and trainer.global_step % EVERY and not self._counted(trainer):
            return  # to ask the other processes is to wait for the slowest
        asked, due = self._agreed(trainer, module)
        if asked or due:
            self._save(trainer)
        if asked:
            self.request.answer(asked)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def _counted(self, trainer: pl.Trainer) -> bool:
        """Whether the steps are over after which a checkpoint is due; all processes count alike."""
        steps = self.within.every_steps
        return steps is not None and trainer.global_step - self.saved_step >= steps

    def _agreed(self, trainer: pl.Trainer, module: Any) -> tuple[int, bool]:
        """The signal that any of the processes got, and whether it is time; the same in all of them."""
        minutes = self.within.every_minutes
        due = self._counted(trainer) or (minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes)
        if trainer.world_size == 1:
            return self.request.number, due
        mine = torch.tensor([self.request.number, int(due)], device=module.device)
        asked, agreed = trainer.strategy.reduce(mine, reduce_op="max").tolist()
        return int(asked), bool(agreed)


class BestCheckpoint(ModelCheckpoint):
    """It remembers files by name and not where they lie: a run folder can be moved, and tells nothing of its place."""

    PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")

    @property
    def state_key(self) -> str:
        """Lightning's key in checkpoints, with the class name of version 0.1 whatever this class is called."""
        return "BestCheckpoint" + super().state_key.removeprefix(type(self).__qualname__)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        del state["dirpath"]
        names = {key: Path(state[key]).name for key in self.PATHS}
        return state | names | {"best_k_models": {Path(path).name: of for path, of in self.best_k_models.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        paths = {key: self._here(state[key]) for key in self.PATHS}
        best = {self._here(name): of for name, of in state["best_k_models"].items()}
        super().load_state_dict({**state, **paths, "best_k_models": best})

    def _here(self, name: str) -> str:
        return str(Path(str(self.dirpath)) / Path(name).name) if name else ""


def checkpoints(folder: Path, within: Within, request: Request, goal: Goal) -> list[pl.Callback]:
    """best.ckpt (weights alone) by the goal, then last.ckpt, complete: it knows which epoch the best is."""
    best = BestCheckpoint(
        folder,
        filename="best",
        monitor=goal.metric,
        mode=goal.mode,
        save_weights_only=True,
        enable_version_counter=False,
    )
    return [best, LastCheckpoint(folder, within, request)]
