"""The training step: ours against the same mathematics in torch's own modules and layout.

Ours: channels last, an LRN without 3-d pooling, in-place ReLU, fused SGD. Theirs: nn.LocalResponseNorm, nn.ReLU
modules, default layout and SGD. Both start from the same weights and see the same images.
python benchmarks/train_step.py
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from interleaved import line, paired, ratio
from torch import Tensor, nn

from convscope.nets.build import Classes, ConvNet, ConvReLU, FullReLU, build
from convscope.nets.initialize import he_
from convscope.nets.lrn import LRN

ZFNET = Path(__file__).resolve().parents[1] / "conf/model/zfnet.yaml"


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
        case ConvReLU():
            kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
            return [nn.Conv2d(layer.in_channels, layer.out_channels, kernel, stride, padding), nn.ReLU()]
        case FullReLU():
            units = nn.Linear(layer.in_features, layer.out_features)
            return [nn.Flatten(), units, nn.ReLU(), nn.Dropout(layer.dropout)]
        case Classes():
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


def compare(name: str, net: ConvNet, batch: int, goal: float, rounds: int) -> None:
    """Prints what share of the stock step's time ours takes."""
    images = torch.randn(batch, 3, net.image_size, net.image_size) * 58
    labels = torch.randint(net.classes, (batch,))
    steps = {
        "ours": step(net, images.contiguous(memory_format=torch.channels_last), labels, fused=True),
        "stock": step(stock(net), images, labels, fused=False),
    }
    line(name, ratio(paired(steps, rounds), "ours", "stock"), goal)


if __name__ == "__main__":
    check()
    compare("train step, zfnet at 224", zfnet(224, 1000, 1.0), batch=16, goal=0.70, rounds=5)
    compare("train step, narrow zfnet at 64", zfnet(64, 100, 0.25), batch=64, goal=0.55, rounds=15)
