"""What feature evolution adds to an epoch of a training that is not ours: a ResNet-18 of torchvision, a plain Trainer.

The images are noise in memory: reading files would hide a part of the cost. The search costs a part of the validation,
and a projection about as much as a training image: here 36 of them beside 1,200 images. The choice of a rule, once in a
run, is left out. Both sides start from the same weights.
And what it costs job=train to draw beside the next epoch, as on a GPU, where both share one thread's time.
python benchmarks/watching.py
"""

import io
import logging
import os
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from interleaved import line, paired, ratio  # first: sets the number of threads

import pytorch_lightning as pl  # isort: skip
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from convscope import FeatureEvolution
from convscope.training import job

os.environ["CONVSCOPE_DEVICE"] = "cpu"
import gpu  # noqa: E402

SIDE, TRAIN, VAL, BATCH = 64, 1200, 240, 24


class Plain(pl.LightningModule):
    """A classifier as in the first tutorial."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = torchvision.models.resnet18(num_classes=10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, _: int) -> None:
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def loader(count: int) -> DataLoader[Any]:
    images = F.interpolate(torch.randn(count, 3, SIDE // 8, SIDE // 8), SIDE, mode="bilinear")
    return DataLoader(TensorDataset(images, torch.arange(count) % 10), BATCH)


def epoch(*callbacks: Any, folder: str) -> nn.Module:
    """The module after one epoch."""
    module = Plain()
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", callbacks=list(callbacks), default_root_dir=folder, **quiet)
    with redirect_stdout(io.StringIO()):
        trainer.fit(module, LOADERS[0], LOADERS[1])
    return module


def watched(folder: str) -> nn.Module:
    place = Path(tempfile.mkdtemp(dir=folder)) / "run"
    evolution: Any = FeatureEvolution(["layer1", "layer4"], maps=2, rule="guided", mean=0.5, std=0.25, folder=place)
    return epoch(evolution, folder=folder)


def trained(folder: str, beside: bool) -> None:
    """Four epochs of job=train, each with pictures."""
    job.draws_beside = lambda device: beside
    gpu.trained(Path(tempfile.mkdtemp(dir=folder)) / "run", SOURCE, 4, [1, 2, 3, 4])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    LOADERS = loader(TRAIN), loader(VAL)
    with tempfile.TemporaryDirectory() as place:
        SOURCE = gpu.photographs(Path(place))
        times = paired({"watched": lambda: watched(place), "plain": lambda: epoch(folder=place)}, 2)
        drawing = paired({"beside": lambda: trained(place, True), "at once": lambda: trained(place, False)}, 5)
    line(
        "feature evolution in a foreign Trainer, an epoch with it against one without",
        ratio(times, "watched", "plain"),
        1.05,
    )
    line("an epoch drawn beside the next one against one drawn at once", ratio(drawing, "beside", "at once"), 1.0)
