"""Does loading starve training? Images per second of the loader over those of a training step; the cache against PIL.

Processor seconds of one thread on both sides. Photographs from $CONVSCOPE_DATA/imagenette224 where that is set, else
drawn JPEGs of ImageNet's usual size. Says which library decodes them. python benchmarks/loader.py
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import interleaved  # first: sets the number of threads
import numpy as np
import torch
import yaml
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import v2

from convscope.data import decoders
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Files, Source, folder, limited
from convscope.models.build import build

ZFNET = Path(__file__).resolve().parents[1] / "conf/model/zfnet.yaml"
COUNT, BATCH = 128, 16


def photographs(place: Path) -> Source:
    """COUNT training images and ten for validation."""
    if given := os.environ.get("CONVSCOPE_DATA"):
        return folder(Path(given) / "imagenette224")
    draw, paths = np.random.default_rng(0), [place / f"{number}.jpg" for number in range(COUNT)]
    for path in paths:
        coarse = Image.fromarray(draw.integers(0, 256, (24, 32, 3), np.uint8)).resize(
            (500, 375), Image.Resampling.BICUBIC
        )
        grain = draw.normal(0, 12, (375, 500, 1))
        Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=92)
    return Source(["a", "b"], Files(paths, np.arange(COUNT) % 2), Files(paths[:10], np.arange(10) % 2))


def loading(source: Source, size: int, place: Path, gib: float) -> Callable[[], None]:
    """One epoch of COUNT random crops, from the cache (gib > 0) or decoded anew."""
    chosen = DataSettings(size, BATCH, COUNT, workers=0, cache_dir=str(place), cache_gib=gib)
    data = ImageData(source, chosen)
    data.mean  # decodes  # noqa: B018

    def run() -> None:
        for _ in map(data.centered, data.train_dataloader()):
            pass

    return run


def pil(source: Source, size: int) -> Callable[[], None]:
    """What is usually done: PIL decodes, torchvision takes a random resized crop and normalizes, one at a time."""
    crop = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    finish = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    split = limited(source.train, COUNT, 0)
    assert isinstance(split, Files)

    def run() -> None:
        for start in range(0, COUNT, BATCH):
            torch.stack([finish(crop(Image.open(path).convert("RGB"))) for path in split.paths[start : start + BATCH]])

    return run


def training(size: int, width: float) -> Callable[[], None]:
    """One step of ZFNet on BATCH images."""
    net = build(yaml.safe_load(ZFNET.read_text())["layers"], size, 1000, width)
    optimizer = torch.optim.SGD(net.parameters(), 1e-6, momentum=0.9, fused=True)
    images = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH)

    def run() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()

    return run


def main() -> None:
    print(f"JPEGs are decoded by {decoders.DECODER.name}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source = photographs(place)
        for size, width in ((128, 0.5), (224, 1.0)):
            sides = {
                "step": training(size, width),
                "cache": loading(source, size, place / "cache", 8),
                "stream": loading(source, size, place / "cache", 0),
                "pil": pil(source, size),
            }
            seconds = interleaved.paired(sides, rounds=5)
            steps = COUNT / BATCH  # an epoch of loading against as many images of training
            interleaved.line(f"loader/step, cache, {size}", steps * interleaved.ratio(seconds, "step", "cache"), 1.5)
            interleaved.line(
                f"loader/step, streamed, {size}", steps * interleaved.ratio(seconds, "step", "stream"), 1.5
            )
            interleaved.line(f"cache/PIL, {size}", interleaved.ratio(seconds, "pil", "cache"), 5)


if __name__ == "__main__":
    main()
