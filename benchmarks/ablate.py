"""Every map of a layer switched off, one after another, for a batch of photographs: against one full pass for each map.

ZFNet with He weights at 224 pixels, conv5, and the same for nets of torchvision. The other side runs some of the maps,
whose full passes all cost the same, by a forward hook, and is scaled up to all of them.
"""

from interleaved import line, paired, ratio  # first: sets the number of threads

import torch  # isort: skip
from deconvnet import photographs, zfnet
from occlusion import random_net
from torch import Tensor, nn

from convscope.engine.switched_maps import SwitchedMaps
from convscope.engine.upper_part import UpperPart

FEW = 8  # maps of the other side
NETS = {"resnet18": ("layer4", 5.0), "squeezenet1_0": ("features.12", 5.0), "mobilenet_v2": ("features.17", 5.0)}


def switched(net: nn.Module, layer: str, images: Tensor) -> Tensor:
    """Logits [N, C, K] of all images with each of the maps off."""
    part = UpperPart(net, images.shape[-1], layer)
    maps = SwitchedMaps(part)
    base = maps.base(images)
    logits = base.logits[:, None].repeat(1, part.maps, 1)
    for pairs in maps.pairs(base):
        logits[pairs.image, pairs.map] = pairs.logits
    return logits


def full_passes(net: nn.Module, layer: str, images: Tensor, maps: list[int]) -> Tensor:
    """The same for some maps, [N, m, K], by one pass for each of them."""
    off = [0]

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, off[0]] = 0
        return output

    handle, logits = net.get_submodule(layer).register_forward_hook(hook), []
    with torch.inference_mode():
        for off[0] in maps:
            logits.append(net(images))
    handle.remove()
    return torch.stack(logits, 1)


def compare(name: str, net: nn.Module, layer: str, goal: float) -> None:
    images = photographs(4)
    count = UpperPart(net, images.shape[-1], layer).maps
    few = list(range(0, count, count // FEW))[:FEW]
    sides = {"ours": lambda: switched(net, layer, images), "full": lambda: full_passes(net, layer, images, few)}
    share = ratio(paired(sides, rounds=3), "full", "ours") * count / FEW
    line(
        f"switching the {count} maps of {name}'s {layer} off, against a full pass for each ({FEW}, scaled)", share, goal
    )
    logits = sides["ours"]()
    difference = (logits[:, few] - sides["full"]()).abs().max() / logits.abs().max()
    print(f"switching maps of {name} off: difference {difference:.1e} of the largest logit, goal 1.0e-05", flush=True)


def main() -> None:
    compare("ZFNet", zfnet(), "conv5", 5.0)
    for name, (layer, goal) in NETS.items():
        compare(name, random_net(name), layer, goal)


if __name__ == "__main__":
    main()
