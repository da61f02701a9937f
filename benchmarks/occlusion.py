"""Occlusion maps of ZFNet at 224 pixels, square 32, stride 8 (25 x 25 places), on random He weights.

Against Captum's Occlusion on the stock net (nn.LocalResponseNorm, nn.ReLU, default memory format), one and 64 covered
images an evaluation, and against our own batched full passes. These sides run 64 places, whose cost does not depend
on where they lie, and are scaled up to 625. Captum gives the probability only; ours also a map's activity.
"""

import warnings

from interleaved import line, paired, peak_mib, ratio  # first: sets the number of threads

import torch  # isort: skip
from captum.attr import Occlusion
from deconvnet import photographs, stock, zfnet
from torch import Tensor, nn

from convscope.analyses.occlusion.compute import Occluded, Occluder, occlude, occlude_fully, strongest_map
from convscope.models.build import ConvNet

SQUARE, FEW, SIDE_BY_SIDE = Occluder(32, 8), Occluder(32, 28), Occluder(32, 32)  # 625, 64 and 49 places
SHARE = 625 / 64


def captum(net: nn.Module, image: Tensor, target: int, square: Occluder, at_once: int) -> Tensor:
    window, strides = (3, square.size, square.size), (3, square.stride, square.stride)
    peer = Occlusion(nn.Sequential(net, nn.Softmax(1)))
    return peer.attribute(image[None], window, strides, square.value, target, perturbations_per_eval=at_once)


def agreement(net: ConvNet, peer: nn.Module, image: Tensor, target: int) -> float:
    """Largest difference of a probability from Captum's, squares side by side: only then Captum's map tells them."""
    found = occlude(net, image, "conv5", 0, target, SIDE_BY_SIDE)
    with torch.inference_mode():
        uncovered = peer(image[None]).softmax(1)[0, target]
    drop = captum(peer, image, target, SIDE_BY_SIDE, 49)[0, 0, ::32, ::32]
    return float((uncovered - drop - found.probability).abs().max())


def differences(found: Occluded, full: Occluded) -> tuple[float, float]:
    """Probability, absolute; activity, as a share of the largest."""
    activity = (found.activity - full.activity).abs().max() / full.activity.abs().max()
    return float((found.probability - full.probability).abs().max()), float(activity)


def main() -> None:
    warnings.filterwarnings("ignore", module="captum")
    net, image = zfnet(), photographs(1)[0]
    peer = stock(net)
    with torch.inference_mode():
        target = int(net(image[None]).argmax())
    watched = ("conv5", strongest_map(net, image, "conv5"), target)

    sides = {
        "ours": lambda: occlude(net, image, *watched, SQUARE),
        "full": lambda: occlude_fully(net, image, *watched, FEW),
        "one": lambda: captum(peer, image, target, FEW, 1),
        "many": lambda: captum(peer, image, target, FEW, 64),
    }
    times = paired(sides, rounds=5)
    how = "(64 of 625 places, scaled)"
    line(f"occlusion against Captum, 1 an evaluation {how}", ratio(times, "one", "ours") * SHARE, 9.0)
    line(f"occlusion against Captum, 64 an evaluation {how}", ratio(times, "many", "ours") * SHARE, 7.0)
    line(f"occlusion against our own full passes {how}", ratio(times, "full", "ours") * SHARE, 4.0)

    probability, activity = differences(sides["ours"](), occlude_fully(net, image, *watched, SQUARE))
    print(f"occlusion: difference from full passes {probability:.1e} in probability, goal 1.0e-05", flush=True)
    print(f"occlusion: difference from full passes {activity:.1e} of the activity, goal 2.0e-06")
    print(f"occlusion: difference from Captum {agreement(net, peer, image, target):.1e} in probability, goal 1.0e-05")
    print(f"occlusion: extra memory {peak_mib(sides['ours']):.0f} MiB, full passes {peak_mib(sides['full']):.0f} MiB")


if __name__ == "__main__":
    main()
