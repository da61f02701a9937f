"""The training step: ours against the same mathematics in torch's own modules and layout.

Ours: channels last, an LRN without 3-d pooling, in-place ReLU, fused SGD, freed memory kept. Theirs:
nn.LocalResponseNorm, nn.ReLU modules, default layout, SGD and memory. Both start from the same weights and see the same
images; each has a process of its own, because an allocator serves a whole process, and they take turns.
python benchmarks/train_step.py
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import yaml
from interleaved import line, ratio
from torch import Tensor, nn

from convscope.cli.environment import keep_freed_memory
from convscope.models.build import ConvLayer, ConvNet, HiddenLayer, Logits, build, he_
from convscope.models.lrn import LRN

ZFNET = Path(__file__).resolve().parents[1] / "conf/model/zfnet.yaml"


class Case(NamedTuple):
    """A ZFNet of some width for square images, and how many images a step sees."""

    image_size: int
    classes: int
    width: float
    batch: int


def zfnet(image_size: int, classes: int, width: float) -> ConvNet:
    layers: Mapping[str, Any] = yaml.safe_load(ZFNET.read_text())["layers"]
    net = build(layers, image_size, classes, width)
    he_(net)
    return net


def stock(net: ConvNet) -> nn.Sequential:
    """The same net of torch's own modules, with the same weights in torch's own layout."""
    other = nn.Sequential(*(module for layer in net.children() for module in _stock(layer)))
    with torch.no_grad():
        for theirs, ours in zip(other.parameters(), net.parameters(), strict=True):
            theirs.copy_(ours)
    return other


def _stock(layer: nn.Module) -> list[nn.Module]:
    match layer:
        case LRN():
            return [nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k)]
        case ConvLayer():
            kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
            return [nn.Conv2d(layer.in_channels, layer.out_channels, kernel, stride, padding), nn.ReLU()]
        case HiddenLayer():
            units = nn.Linear(layer.in_features, layer.out_features)
            return [nn.Flatten(), units, nn.ReLU(), nn.Dropout(layer.dropout)]
        case Logits():
            return [nn.Flatten(), nn.Linear(layer.in_features, layer.out_features)]
    return [layer]  # a pool is torch's own


def step(net: nn.Module, images: Tensor, labels: Tensor, fused: bool) -> Callable[[], None]:
    """One training step of `net`, ready to be called again and again."""
    optimizer = torch.optim.SGD(net.train().parameters(), 0.01, momentum=0.9, fused=fused)

    def run() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()

    return run


def check() -> None:
    """Both nets give the same gradients in float64, so that the ratios compare like with like."""
    torch.manual_seed(0)
    ours = zfnet(64, 10, 0.1).double().eval()
    theirs = stock(ours).double().eval()
    images, labels = torch.randn(4, 3, 64, 64, dtype=torch.float64) * 58, torch.arange(4)
    for net in (ours, theirs):
        F.cross_entropy(net(images), labels).backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-12, atol=1e-12)


def serve(turns: Connection, case: Case, ours: bool) -> None:
    """One side in its own process: a training step for every word on `turns`, answered by its processor seconds."""
    if ours:
        keep_freed_memory()
    torch.manual_seed(0)
    net = zfnet(case.image_size, case.classes, case.width)
    images = torch.randn(case.batch, 3, case.image_size, case.image_size) * 58
    labels = torch.randint(case.classes, (case.batch,))
    layout = torch.channels_last if ours else torch.contiguous_format
    run = step(net if ours else stock(net), images.contiguous(memory_format=layout), labels, fused=ours)
    run()
    while turns.recv():
        start = time.process_time()
        run()
        turns.send(time.process_time() - start)


def compare(name: str, case: Case, goal: float, rounds: int) -> None:
    """Prints what share of the stock step's time ours takes."""
    start = multiprocessing.get_context("spawn")
    ends = {}
    for side in ("ours", "stock"):
        ends[side], other = start.Pipe()
        start.Process(target=serve, args=(other, case, side == "ours"), daemon=True).start()
    times: dict[str, list[float]] = {side: [] for side in ends}
    for _ in range(rounds + 1):
        for side, turns in ends.items():
            turns.send(True)
            times[side].append(turns.recv())
    for turns in ends.values():
        turns.send(False)
    line(name, ratio({side: seconds[1:] for side, seconds in times.items()}, "ours", "stock"), goal)


if __name__ == "__main__":
    check()
    compare("train step, zfnet at 224", Case(224, 1000, 1.0, batch=16), goal=0.70, rounds=5)
    compare("train step, narrow zfnet at 64", Case(64, 100, 0.25, batch=64), goal=0.55, rounds=15)
