"""Ten-crop probabilities of ZFNet, 224 of 256 pixels, on random He weights: shared convolutions against ten passes.

The ten passes in two forms: our own net, and the stock eager one (nn.LocalResponseNorm, nn.ReLU, default layout).
"""

from interleaved import line, paired, ratio  # first: sets the number of threads

import torch  # isort: skip
import torch.nn.functional as F
from deconvnet import photographs, stock, zfnet
from torch import Tensor, nn

from convscope.engine.multicrop import multi_crop_probabilities

IMAGES, SIDE, SIZE = 4, 256, 224
PLACES = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]


def ten_passes(net: nn.Module, images: Tensor, layout: torch.memory_format) -> Tensor:
    both = (images, images.flip(3))
    crops = [whole[:, :, top : top + SIZE, left : left + SIZE] for whole in both for top, left in PLACES]
    return torch.stack([net(crop.contiguous(memory_format=layout)).softmax(1) for crop in crops]).mean(0)


@torch.inference_mode()
def main() -> None:
    net = zfnet()
    peer = stock(net)
    images = F.interpolate(photographs(IMAGES), size=SIDE, mode="bilinear")
    ours = images.contiguous(memory_format=torch.channels_last)
    shared = multi_crop_probabilities(net, SIZE, SIDE, PLACES)
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


if __name__ == "__main__":
    main()
