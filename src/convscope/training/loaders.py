"""The images of a training run as Lightning's Trainer takes them."""

from typing import Any

import pytorch_lightning as pl
import torch

from convscope.data.centering import on_device
from convscope.data.module import Batch, ImageData
from convscope.data.workers import Loader


class TrainingImages(pl.LightningDataModule):
    """The one LightningDataModule: the loaders of `data`, which begin where the Trainer stands and end with it."""

    def __init__(self, data: ImageData):
        super().__init__()
        self.data = data

    def setup(self, stage: str) -> None:
        """Called by Lightning in each process before it asks for a loader."""
        self.data.trainer = self.trainer

    def train_dataloader(self) -> Loader:
        return self.data.train_dataloader()

    def val_dataloader(self) -> Loader:
        return self.data.val_dataloader()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Called by Lightning: images travel as bytes."""
        return on_device(batch, device)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Any:
        """Called by Lightning: the net's input in the precision of training, or in float32 in validation."""
        trainer: Any = self.trainer
        return trainer.precision_plugin.convert_input(self.data.centered(batch))

    def teardown(self, stage: str) -> None:
        """Called by Lightning at the end of a training or validation."""
        self.data.close()
