"""The images of a training run as Lightning's Trainer takes them."""

import pytorch_lightning as pl

from convscope.data.module import ImageData
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

    def teardown(self, stage: str) -> None:
        """Called by Lightning at the end of a training or validation."""
        self.data.close()
