"""A training of a second: a net that notes what it is fed, saved at steps of choice, and gone on with."""

import pytorch_lightning as pl
import torch
from torch import nn

from convscope.training.loaders import TrainingImages


class Small(pl.LightningModule):
    """A linear classifier of images of `side` pixels. fed: (step, indices) of each of its batches."""

    def __init__(self, side, classes=3, batch_norm=False):
        super().__init__()
        torch.manual_seed(0)
        inputs = 3 * side * side
        self.net = nn.Sequential(nn.BatchNorm1d(inputs) if batch_norm else nn.Identity(), nn.Linear(inputs, classes))
        self.fed = []

    def training_step(self, batch, _):
        self.fed.append((self.global_step, batch.index.tolist()))
        return nn.functional.cross_entropy(self.net(batch.image.flatten(1)), batch.label)

    def validation_step(self, batch, _):
        self.net(batch.image.flatten(1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6, momentum=0.9)

    def fed_from(self, step):
        return [entry for entry in self.fed if entry[0] >= step]


def fit(model, data, folder, save=None, resume=None, **trainer):
    """The model after three epochs, with folder/<step>.ckpt as often as `save` says."""
    saving = pl.callbacks.ModelCheckpoint(
        folder, save_top_k=-1, filename="{step}", auto_insert_metric_name=False, **save or {}
    )
    options = {"max_epochs": 3, "accelerator": "cpu", "logger": False, "enable_progress_bar": False} | trainer
    pl.Trainer(
        callbacks=[saving], enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False, **options
    ).fit(model, TrainingImages(data), ckpt_path=resume)
    return model
