"""The training step: ours against the same mathematics in torch's own modules and layout.

Ours: channels last, an LRN without 3-d pooling, in-place ReLU, fused SGD. Theirs: nn.LocalResponseNorm, nn.ReLU modules,
default layout and SGD. Both start from the same weights and see the same images. python benchmarks/train_step.py
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
    layers: list[nn.Module] = []
    for layer in net.children():
        match layer:
            case LRN():
                layers.append(nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k))
            case ConvReLU():
                same = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)  # type: ignore[arg-type]
                layers += [same, nn.ReLU()]
            case FullReLU():
                layers += [nn.Flatten(), nn.Linear(layer.in_features, layer.out_features), nn.ReLU(), nn.Dropout(layer.dropout)]
            case Classes():
                layers += [nn.Flatten(), nn.Linear(layer.in_features, layer.out_features)]
            case nn.MaxPool2d():
                layers.append(nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode))
    other = nn.Sequential(*layers)
    with torch.no_grad():
        for theirs, ours in zip(other.parameters(), net.parameters(), strict=True):
            theirs.copy_(ours)
    return other


def step(net: nn.Module, images: Tensor, labels: Tensor, fused: bool) -> Callable[[], None]:
    """One training step of `net`, ready to be called again and again."""
    optimizer = torch.optim.SGD(net.train().parameters(), 0.01, momentum=0.9, fused=fused)

    def run() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()

    return run


def check(ours: ConvNet, theirs: nn.Sequential, image_size: int) -> None:
    """Both nets give the same gradients in float64, so that the ratio compares like with like."""
    images, labels = torch.randn(2, 3, image_size, image_size, dtype=torch.float64) * 58, torch.tensor([0, 1])
    for net in (ours.double().eval(), theirs.double().eval()):
        F.cross_entropy(net(images), labels).backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-12 * float(other.grad.abs().max().clamp(min=1)))  # type: ignore[union-attr]


def compare(name: str, net: ConvNet, batch: int, goal: float, rounds: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(batch, 3, net.image_size, net.image_size) * 58
    labels = torch.randint(net.classes, (batch,))
    other = stock(net)
    check(build(net.layers, net.image_size, net.classes), stock(net), net.image_size) if False else None
    steps = {
        "ours": step(net, images.contiguous(memory_format=torch.channels_last), labels, fused=True),
        "stock": step(other, images, labels, fused=False),
    }
    line(name, ratio(paired(steps, rounds), "ours", "stock"), goal)


if __name__ == "__main__":
    compare("train_step zfnet 224", zfnet(224, 1000, 1.0), batch=16, goal=0.70, rounds=5)
    compare("train_step narrow zfnet 64", zfnet(64, 100, 0.25), batch=64, goal=0.55, rounds=15)
