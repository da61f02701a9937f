"""What Lightning, our logging and our callbacks cost, drawing apart: epochs of job=train against a bare loop.

And what looking inside after every epoch costs: its seconds, as a run records them, against those of the steps.
"""

import logging
import tempfile
import time
import warnings
from pathlib import Path

import interleaved  # first: sets the number of threads
import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from convscope.analyses.visualize.about import FeatureConfig
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.models.build import ConvNet, build
from convscope.runs.record import Record
from convscope.training.callbacks.session_seconds import Sessions
from convscope.training.classifier import Classifier
from convscope.training.job import TrainingPlan, train
from convscope.training.recipe import Recipe, build_optimizer, initialize_, read_recipe

ROOT = Path(__file__).resolve().parent.parent
warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def source(images: int, size: int, val: int) -> Source:
    """Random blots as smooth as photographs are: noise would take their encoders three times as long."""
    draw, parts = torch.Generator().manual_seed(0), []
    for count in (images, val):
        coarse = 255 * torch.rand(count, 3, size // 6, size // 6, generator=draw)
        pixels = F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 255).byte().movedim(1, 3).contiguous()
        parts.append(Pixels(pixels.numpy(), np.arange(count) % 10))
    return Source([str(k) for k in range(10)], *parts)


def recipe() -> Recipe:
    return read_recipe(OmegaConf.to_container(OmegaConf.load(ROOT / "conf/optim/paper.yaml")))


def net(size: int, width: float) -> ConvNet:
    torch.manual_seed(0)
    made = build(OmegaConf.load(ROOT / "conf/model/zfnet.yaml").layers, size, 10, width)
    initialize_(made, recipe())
    return made


def bare(data: ImageData, model: ConvNet) -> None:
    """Steps and validation as anyone would write them, with the same loader, optimizer and renormalization."""
    sgd = build_optimizer(model, recipe())
    convolutions = [layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
    loader = data.train_dataloader()
    loader.sampler.set_epoch(0)
    model.train()
    for batch in map(data.centered, loader):
        sgd.zero_grad()
        F.cross_entropy(model(batch.image), batch.label).backward()
        sgd.step()
        for weight in convolutions:
            weight.data.renorm_(2, 0, 0.1 * weight[0].numel() ** 0.5)
    model.eval()
    with torch.inference_mode():
        batches = map(data.centered, data.val_dataloader())
        hits = [(model(batch.image).argmax(1) == batch.label).sum() for batch in batches]
    sum(hits).item()


def ours(data: ImageData, model: ConvNet, choice: FeatureConfig, epochs: int = 1) -> tuple[float, float]:
    """Trains as job=train does; returns the seconds of looking inside, and the training images a second."""
    sessions = Sessions({}, time.perf_counter())
    with tempfile.TemporaryDirectory() as folder:
        settings = {"max_epochs": epochs, "accelerator": "cpu", "devices": 1}
        plan, classifier = TrainingPlan(settings, choice, 0, {}), Classifier(model, recipe(), 10)
        ended = train(classifier, data, plan, Record(Path(folder)), sessions)
    return sessions.seconds["looking"], ended["images_per_second"]


def main() -> None:
    off, every = FeatureConfig(None, 16, [], "val"), FeatureConfig(None, 16, None, "val")
    data = ImageData(source(2560, 110, val=256), DataSettings(image_size=96, batch_size=128))
    sides = {"bare": lambda: bare(data, net(96, 0.5)), "ours": lambda: ours(data, net(96, 0.5), off)}
    times = interleaved.paired(sides, rounds=3)
    interleaved.line(
        "training loop with logging and callbacks, against a bare loop", interleaved.ratio(times, "ours", "bare"), 1.05
    )
    data = ImageData(source(2000, 146, val=1500), DataSettings(image_size=128, batch_size=125))
    epochs = 3
    looking, images_per_second = ours(data, net(128, 0.5), every, epochs)
    name = "looking inside after every epoch, 8,000 photographs at 128, share of its steps"
    interleaved.line(name, looking / epochs / (8000 / images_per_second), 0.05)


if __name__ == "__main__":
    main()
