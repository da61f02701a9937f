"""Occlusion maps of ZFNet and of torchvision's nets at 224 pixels, square 32, stride 8 (25 x 25 places), He weights.

Against Captum's Occlusion on the stock net (nn.LocalResponseNorm, nn.ReLU, default memory format), one and 64 covered
images an evaluation, and against our own batched full passes. These sides run 64 places, whose cost does not depend
on where they lie, and are scaled up to 625. Captum gives the probability only; ours also a map's activity. For the
other nets only our own full passes are the other side, beside what the counted work allows.
"""

import warnings

from interleaved import line, paired, peak_mib, ratio  # first: sets the number of threads

import torch  # isort: skip
import torchvision
from captum.attr import Occlusion
from deconvnet import photographs, stock, zfnet
from torch import Tensor, nn

from convscope.analyses.occlusion.compute import (
    Occluded,
    Occluder,
    occlude,
    occlude_fully,
    occluder_edges,
    strongest_map,
)
from convscope.engine.recomputation.counted_work import OccluderGrid, cut_works, full_work, worthwhile_part
from convscope.engine.recomputation.local_part import local_part
from convscope.engine.trace import trace
from convscope.models.build import ConvNet

SQUARE, FEW, SIDE_BY_SIDE = Occluder(32, 8), Occluder(32, 28), Occluder(32, 32)  # 625, 64 and 49 places
SHARE = 625 / 64
OTHERS = {  # layer to watch, goal against our own full passes
    "vgg11_bn": ("features.27", 8.0),
    "resnet18": ("layer4", 2.2),
    "mobilenet_v2": ("features.17", 2.5),
}


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


def random_net(name: str) -> nn.Module:
    """A net of torchvision whose units neither die nor explode."""
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return net


def allowed(net: nn.Module) -> str:
    """How many times the work of the windows a full pass is: multiplications alone, and with moved values."""
    edges = occluder_edges(224, SQUARE)
    grid = OccluderGrid(edges, edges, SQUARE.size, SQUARE.value)
    whole = local_part(trace(net, 224))
    part, full = worthwhile_part(whole, grid), full_work(whole)
    if isinstance(part, str):
        return part
    work = cut_works(whole, grid)[len(part.calls)]
    return (
        f"{full.multiplications / work.multiplications:.1f} by multiplications, {full.total / work.total:.1f} counted"
    )


def against_full_passes(name: str, layer: str, goal: float) -> None:
    net, image = random_net(name), photographs(1)[0]
    watched = (layer, strongest_map(net, image, layer), 0)
    sides = {
        "ours": lambda: occlude(net, image, *watched, SQUARE),
        "full": lambda: occlude_fully(net, image, *watched, FEW),
    }
    print(f"occlusion of {name}: the work allows {allowed(net)}", flush=True)
    share = ratio(paired(sides, rounds=3), "full", "ours") * SHARE
    line(f"occlusion of {name} against our own full passes (64 of 625 places, scaled)", share, goal)
    probability, activity = differences(occlude(net, image, *watched, FEW), sides["full"]())
    print(f"occlusion of {name}: difference {probability:.1e} in probability, {activity:.1e} of the activity")


def main() -> None:
    warnings.filterwarnings("ignore", module="captum")
    for name, (layer, goal) in OTHERS.items():
        against_full_passes(name, layer, goal)
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
