"""Ten-crop probabilities of 224 of 256 pixels, on random weights: steps that crops share against ten passes.

ZFNet against the ten passes in two forms: our own net, and the stock eager one (nn.LocalResponseNorm, nn.ReLU, default
layout). Nets with branches, and a margin that shares little, against ten passes of the same net.
"""

from interleaved import line, paired, ratio  # first: sets the number of threads

import torch  # isort: skip
import torch.nn.functional as F
from deconvnet import photographs, stock, zfnet
from torch import Tensor, nn
from torchvision import models

from convscope.engine.multicrop import corner_and_center_crops, multi_crop_probabilities

IMAGES, SIDE, SIZE = 4, 256, 224
BRANCHES = {"resnet18": 1.15, "mobilenet_v2": 1.0, "squeezenet1_0": 1.15, "googlenet": 1.15}  # with goals
SMALL_MARGIN = 231  # side of images whose crops have few positions in common


def ten_passes(net: nn.Module, images: Tensor, layout: torch.memory_format) -> Tensor:
    both = (images, images.flip(3))
    places = corner_and_center_crops(images.shape[3], SIZE)
    crops = [whole[:, :, top : top + SIZE, left : left + SIZE] for whole in both for top, left in places]
    return torch.stack([net(crop.contiguous(memory_format=layout)).softmax(1) for crop in crops]).mean(0)


def images_of(side: int) -> Tensor:
    return F.interpolate(photographs(IMAGES), size=side, mode="bilinear").contiguous(memory_format=torch.channels_last)


def chain() -> None:
    net = zfnet()
    peer, ours = stock(net), images_of(SIDE)
    images = ours.contiguous()
    shared = multi_crop_probabilities(net, SIZE, SIDE, corner_and_center_crops(SIDE, SIZE))
    differ = (shared(ours) - ten_passes(peer, images, torch.contiguous_format)).abs().max().item()
    print(f"ten-crop: probabilities differ by {differ:.1e} from ten passes, goal 1e-06", flush=True)
    sides = {
        "shared": lambda: shared(ours),
        "own": lambda: ten_passes(net, ours, torch.channels_last),
        "stock": lambda: ten_passes(peer, images, torch.contiguous_format),
    }
    times = paired(sides, rounds=5)
    line("ten passes of the stock net against ten-crop", ratio(times, "stock", "shared"), 2.5)
    line("ten passes of our own net against ten-crop", ratio(times, "own", "shared"), 1.4)


def branches(name: str, side: int, goal: float) -> None:
    torch.manual_seed(0)
    options = {"init_weights": True} if name == "googlenet" else {}
    net = models.get_model(name, **options).eval().to(memory_format=torch.channels_last)
    images = images_of(side)
    shared = multi_crop_probabilities(net, SIZE, side, corner_and_center_crops(side, SIZE))
    sides = {"shared": lambda: shared(images), "passes": lambda: ten_passes(net, images, torch.channels_last)}
    times = paired(sides, rounds=3)
    line(f"ten passes of {name} at {side} against ten-crop", ratio(times, "passes", "shared"), goal)


@torch.inference_mode()
def main() -> None:
    chain()
    for name, goal in BRANCHES.items():
        branches(name, SIDE, goal)
        branches(name, SMALL_MARGIN, 1.0)


if __name__ == "__main__":
    main()
