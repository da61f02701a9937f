"""Checkpoints that are whole or absent."""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, then renames: a reader sees the old file or the new one.

    Lightning's own way is atomic only where TMPDIR lies on the same file system as the output.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            with open(part, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def checkpoints(folder: Path) -> list[pl.Callback]:
    """last.ckpt after every epoch, complete; best.ckpt (weights alone) by validation top-1."""
    last = ModelCheckpoint(folder, filename="last", save_top_k=1, monitor=None, enable_version_counter=False)
    best = ModelCheckpoint(
        folder, filename="best", monitor="val/top1", mode="max", save_weights_only=True, enable_version_counter=False
    )
    return [last, best]
