"""What an engineer has already: a LightningModule of twenty lines, a data module on image files, a Trainer.

It knows nothing of convscope. In both namespaces of Lightning; as a program it trains in a process of its own.
"""

import importlib

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

MEAN, STD = (0.5, 0.4, 0.3), (0.3, 0.2, 0.25)
SIDE, IMAGES = 32, 27


def write_photos(root):
    """Two classes of noisy squares and stripes: root/{train,val}/{squares,stripes}/<n>.png, 27 images of each split."""
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        for label, name in enumerate(("squares", "stripes")):
            (root / split / name).mkdir(parents=True)
            for number in range((IMAGES + 1 - label) // 2):
                pixels = draw.integers(0, 90, (SIDE, SIDE, 3))
                row, col = draw.integers(0, SIDE // 2, 2)
                if label:
                    pixels[:, col::4] += draw.integers(60, 160, 3)
                else:
                    pixels[row : row + 12, col : col + 12] += draw.integers(60, 160, 3)
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{number}.png")
    return root


def photos(root, split, *steps):
    """The images of a split as tensors, normalized."""
    tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    return ImageFolder(f"{root}/{split}", v2.Compose([*tensor, *steps, v2.Normalize(MEAN, STD)]))


def train_loader(root, batch=8):
    """The first 24 training images."""
    return DataLoader(Subset(photos(root, "train"), range(24)), batch)


def small_net(channels=3):
    """Two convolutions, one of them with a ReLU6, and a classifier; the same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3), nn.Identity(), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
        )  # fmt: skip


def lightning(name="pytorch_lightning"):
    """A namespace of Lightning, a module class and a data module class of it."""
    pl = importlib.import_module(name)

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.rate = small_net(), 0.05

        def forward(self, x):
            return self.model(x)

        def training_step(self, batch, _):
            x, y = batch
            loss = F.cross_entropy(self(x), y)
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            x, y = batch
            self.log("val_acc", (self(x).argmax(1) == y).float().mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), self.rate)

    class Photos(pl.LightningDataModule):
        def __init__(self, root, batch=8):
            super().__init__()
            self.root, self.batch = root, batch

        def train_dataloader(self):
            return train_loader(self.root, self.batch)

        def val_dataloader(self):
            return DataLoader(photos(self.root, "val"), self.batch)

    return pl, Net, Photos


def quiet(pl, folder, **settings):
    """A Trainer on the CPU that writes nothing but what is asked for."""
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**{"max_epochs": 2, "accelerator": "cpu", "default_root_dir": folder, **off, **settings})


if __name__ == "__main__":
    import sys

    from convscope import FeatureEvolution

    name, root, folder, *words = sys.argv[1:]
    pl, Net, Photos = lightning(name)
    torch.set_num_threads(1)
    module, settings = Net(), {}
    if "ddp" in words:  # Lightning shuffles the training images then, so that other weights would come of them
        settings, module.rate = {"devices": 2, "strategy": "ddp"}, 0
    if "loggers" in words:
        settings["logger"] = [
            pl.loggers.WandbLogger(project="mine", offline=True, save_dir="."),
            pl.loggers.TensorBoardLogger(".", name="tensorboard", version=""),
            pl.loggers.MLFlowLogger("mine", tracking_uri="sqlite:///mlflow.db", artifact_location="artifacts"),
        ]
    evolution = FeatureEvolution(["0", "model.5"], 3, folder=folder)
    quiet(pl, folder, callbacks=[evolution], **settings).fit(module, Photos(root))
