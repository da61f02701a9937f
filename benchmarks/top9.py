"""Searching the nine strongest images of all 1,376 maps of five layers of ZFNet at 224 pixels among 512 images.

The passes end at conv5, what lies above costs all sides the same. Against our own pass without the search, and
against the stock eager pass (nn.LocalResponseNorm, nn.ReLU, default memory format; a quarter of the images, scaled).
Then five layers of nets with branches, ResNet-18 and SqueezeNet of torchvision, against their own whole passes.
"""

from collections import OrderedDict
from collections.abc import Sequence

from interleaved import line, paired, peak_mib, ratio  # first: sets the number of threads

import torch  # isort: skip
import torchvision
from deconvnet import LAYERS, photographs, stock, zfnet
from torch import Tensor, nn

from convscope.engine.top9 import Top9
from convscope.engine.top9_search import Search
from convscope.models.build import ConvNet

IMAGES, BATCH = 512, 16
BRANCHED = {
    "resnet18": ("relu", "layer1", "layer2", "layer3", "layer4"),
    "squeezenet1_0": ("features.1", "features.3", "features.5", "features.9", "features.12"),
}


def to_conv5(net: nn.Module, last: str) -> nn.Sequential:
    children = OrderedDict(net.named_children())
    names = list(children)
    return nn.Sequential(OrderedDict((name, children[name]) for name in names[: names.index(last) + 1])).eval()


@torch.inference_mode()
def forward(net: nn.Module, images: Tensor) -> None:
    for part in images.split(BATCH):
        net(part)


@torch.inference_mode()
def search(net: nn.Module, images: Tensor, layers: Sequence[str] = LAYERS) -> dict[str, Top9]:
    with Search(net, layers) as found:
        for numbers in torch.arange(len(images)).split(BATCH):
            found.watch(numbers)
            net(images[numbers[0] : numbers[-1] + 1])
        return found.top


@torch.inference_mode()
def store_all(net: nn.Module, images: Tensor) -> dict[str, Top9]:
    """Every activation kept, then sorted."""
    kept: dict[str, list[Tensor]] = {name: [] for name in LAYERS}
    for part in images.split(BATCH):
        for name, layer in net.named_children():
            part = layer(part)
            if name in kept:
                kept[name].append(part)
    tops = {}
    for name, parts in kept.items():
        maps = torch.cat(parts)
        width = maps.shape[3]
        best, flat = maps.flatten(2).max(2)  # [N, C]
        score, image = (value[:9].T for value in best.sort(dim=0, descending=True, stable=True))
        place = flat.T.gather(1, image)
        tops[name] = Top9(score, image, place // width, place % width)
    return tops


def compare_branched(name: str, images: Tensor) -> None:
    """Prints the ratio of a net of torchvision with random weights."""
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval().to(memory_format=torch.channels_last)
    sides = {"search": lambda: search(net, images, BRANCHED[name]), "forward": lambda: forward(net, images)}
    line(f"top-9 search of {name} against its forward pass", ratio(paired(sides, rounds=3), "search", "forward"), 1.05)


def main() -> None:
    whole: ConvNet = zfnet()
    net, peer = to_conv5(whole, "conv5"), to_conv5(stock(whole), "conv5_relu")
    images = torch.cat([photographs(64, seed) for seed in range(IMAGES // 64)])
    ours = images.contiguous(memory_format=torch.channels_last)
    some = images[: IMAGES // 4]

    found, stored = search(net, ours[:64]), store_all(net, ours[:64])
    differing = sum(int((a != b).sum()) for name in LAYERS for a, b in zip(found[name], stored[name], strict=True))
    print(f"top-9 search: {differing} entries differ from storing everything, goal 0", flush=True)

    sides = {
        "search": lambda: search(net, ours),
        "forward": lambda: forward(net, ours),
        "stock": lambda: forward(peer, some),
    }
    times = paired(sides, rounds=3)
    line("top-9 search against our own forward pass", ratio(times, "search", "forward"), 1.05)
    line("top-9 search against the stock forward pass", ratio(times, "search", "stock") * len(some) / IMAGES, 0.55)

    for name in BRANCHED:
        compare_branched(name, ours[: IMAGES // 4] / 58)

    few, many = peak_mib(lambda: search(net, ours[:64])), peak_mib(lambda: search(net, ours))
    alone = peak_mib(lambda: forward(net, ours[:64]))
    print(f"top-9 search: {few:.0f} MiB over 64 images, {many:.0f} MiB over {IMAGES}, the pass alone {alone:.0f} MiB")


if __name__ == "__main__":
    main()
