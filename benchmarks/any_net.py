"""Projections in nets with branches: 27 units in each of five layers at 224 pixels, random weights and statistics.

Against the whole image by autograd, 16 units at a time (the path of version 0.1), and against Captum one unit at a
time, of which a few are run and scaled up. Prints the ratios of all layers together and by the size of their fields,
the largest difference, and memory. All sides know the units' positions.

    python benchmarks/any_net.py [net ...]    # resnet18 mobilenet_v2 resnet50; or any classification net of torchvision
"""

import copy
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

from interleaved import line, paired, peak_mib  # first: sets the number of threads

import torch  # isort: skip
from captum.attr import NeuronDeconvolution
from torch import Tensor, nn
from torchvision import models

from convscope.engine.blocks import default_layers
from convscope.engine.deconvnet import Units, project
from convscope.engine.projection import project_fields
from convscope.engine.receptive_fields import fields
from convscope.engine.regions import recut, whole_map
from convscope.engine.trace import trace

SIDE, IMAGES, UNITS, SINGLE = 224, 9, 27, 3
GOALS = {"resnet18": 0.38, "mobilenet_v2": 0.38, "resnet50": 0.50}  # share of the whole image's time
SMALL, SMALL_GOAL = 60, 0.06  # fields in pixels
CAPTUM_GOAL, MEMORY_GOAL = 3.8, 300


class Task(NamedTuple):
    """A net, images and the units to project in each layer. fields: their sides in pixels; SIDE or more: the image."""

    net: nn.Module
    images: Tensor
    units: dict[str, Units]
    fields: dict[str, int]


def random_net(name: str) -> nn.Module:
    """The net with He weights, and statistics and scales that are not 1."""
    draw = torch.Generator().manual_seed(0)
    net = models.get_model(name, weights=None).eval().requires_grad_(False)
    for key, value in net.state_dict().items():
        if value.dim() > 1:
            value.copy_(torch.randn(value.shape, generator=draw) * (2 / value[0].numel()) ** 0.5)
        elif value.is_floating_point():
            spread = key.endswith(("running_var", "weight"))
            value.copy_(
                torch.rand(value.shape, generator=draw) + 0.5 if spread else value.normal_(0, 0.1, generator=draw)
            )
    return net


def task(name: str) -> Task:
    draw = torch.Generator().manual_seed(1)
    net = random_net(name)
    net_trace = trace(net, SIDE)
    sides = {layer: field.rows.size if field else SIDE for layer, field in fields(net, SIDE).items()}
    units = {}
    for layer in default_layers(net, SIDE):
        _, maps, rows, cols = net_trace.shapes[net_trace.layer(layer).output]
        limits = (IMAGES, maps, rows, cols)
        units[layer] = Units(*(torch.randint(limit, (UNITS,), generator=draw) for limit in limits))
    return Task(net, torch.randn(IMAGES, 3, SIDE, SIDE, generator=draw), units, sides)


def captum(net: nn.Module) -> Callable[[Task, str], object]:
    """Captum, one unit at a time, for the first units of a layer; it needs ReLU modules that are not in place."""
    peer = copy.deepcopy(net)
    for module in peer.modules():
        if hasattr(module, "inplace"):
            module.inplace = False

    def run(work: Task, layer: str) -> object:
        deconvolution = NeuronDeconvolution(peer, peer.get_submodule(layer))
        units = list(zip(*(field.tolist() for field in work.units[layer]), strict=True))[:SINGLE]
        return [deconvolution.attribute(work.images[image : image + 1].clone(), tuple(unit)) for image, *unit in units]

    return run


def difference(work: Task, layer: str) -> float:
    """Largest difference from the projection over the whole image, as a share of its largest value."""
    expected = project(work.net, work.images, layer, work.units[layer])
    projection = project_fields(work.net, work.images, layer, work.units[layer])
    whole = recut(projection.values, projection.boxes, whole_map(UNITS, (SIDE, SIDE)))
    return float((whole - expected).abs().max() / expected.abs().max())


def measure(name: str) -> None:
    work = task(name)
    peer = captum(work.net)
    ours, whole, single = (dict.fromkeys(work.units, 0.0) for _ in range(3))
    for layer, units in work.units.items():
        times = paired(
            {
                "ours": lambda layer=layer, units=units: project_fields(work.net, work.images, layer, units),
                "whole": lambda layer=layer, units=units: project(work.net, work.images, layer, units),
                "captum": lambda layer=layer: peer(work, layer),
            },
            rounds=3,
        )
        ours[layer], whole[layer], single[layer] = (sorted(times[side])[1] for side in ("ours", "whole", "captum"))
        field = "image" if work.fields[layer] >= SIDE else work.fields[layer]
        speed = single[layer] * UNITS / SINGLE / ours[layer]
        print(
            f"  {name} {layer}, field {field}: {ours[layer] / whole[layer]:.3f} of the whole image's time, "
            f"{speed:.1f} x as fast as Captum, difference {difference(work, layer):.0e}",
            flush=True,
        )
    line(f"{name}: time against the whole image", sum(ours.values()) / sum(whole.values()), GOALS.get(name, 1.0))
    small = [layer for layer in work.units if work.fields[layer] < SMALL]
    if small:
        share = sum(ours[layer] for layer in small) / sum(whole[layer] for layer in small)
        line(f"{name}: fields below {SMALL} pixels, time against the whole image", share, SMALL_GOAL)
    line(f"{name}: speed against Captum", sum(single.values()) * UNITS / SINGLE / sum(ours.values()), CAPTUM_GOAL)
    deepest = list(work.units)[-1]
    memory = peak_mib(lambda: project_fields(work.net, work.images, deepest, work.units[deepest]))
    print(f"{name}: extra memory of the deepest layer {memory:.0f} MiB, goal {MEMORY_GOAL} MiB", flush=True)


def main() -> None:
    warnings.filterwarnings("ignore", module="captum")
    for name in sys.argv[1:] or GOALS:
        measure(name)


if __name__ == "__main__":
    main()
