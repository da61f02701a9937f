"""Deconvnet projections: 16 maps x 9 images of each of five layers of ZFNet at 224 pixels, on random He weights.

Against Captum one unit at a time, Captum given 16 units at a time, and a batched full-size deconvnet of our own. The
slow sides run 6 or 16 of the 144 units of a layer and are scaled up. All sides know the units' positions.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import yaml
from interleaved import line, paired, peak_mib, ratio  # first: sets the number of threads

import torch  # isort: skip
import torch.nn.functional as F
from captum.attr import NeuronDeconvolution
from torch import Tensor, nn

from convscope.engine.deconvnet import Units, project
from convscope.engine.projection import project_fields
from convscope.models.build import ConvNet, build, he_

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5"]
UNITS, MAPS, CHUNK = 144, 16, 16
CONF = Path(__file__).resolve().parent.parent / "conf/model/zfnet.yaml"
Project = Callable[[str, Units], Tensor]


class PassedNorm(torch.autograd.Function):
    """Captum differentiates contrast normalization; the deconvnet passes it over."""

    @staticmethod
    def forward(ctx, x, size, alpha, beta, k):
        return F.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def backward(ctx, signal):
        return signal, None, None, None, None


class StockNorm(nn.LocalResponseNorm):
    def forward(self, x):
        return PassedNorm.apply(x, self.size, self.alpha, self.beta, self.k)


def zfnet() -> ConvNet:
    torch.manual_seed(0)
    net = build(yaml.safe_load(CONF.read_text())["layers"], 224, 1000)
    he_(net, 1.0)
    return net.eval().requires_grad_(False)


def stock(net: ConvNet) -> nn.Sequential:
    """The same net as Captum needs it: ReLU modules that are not in place, torch's own layers and memory format."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in net.named_children():
        weights = {key: value.contiguous() for key, value in layer.state_dict().items()}
        if isinstance(layer, nn.Conv2d):
            shape = (layer.in_channels, layer.out_channels, layer.kernel_size)
            modules[name] = nn.Conv2d(*shape, layer.stride, layer.padding)
            modules[name].load_state_dict(weights)
            modules[f"{name}_relu"] = nn.ReLU()
        elif isinstance(layer, nn.Linear):
            if name == "fc6":
                modules["flatten"] = nn.Flatten()
            modules[name] = nn.Linear(layer.in_features, layer.out_features)
            modules[name].load_state_dict(weights)
            if name != "fc8":
                modules[f"{name}_relu"] = nn.ReLU()
        elif isinstance(layer, nn.MaxPool2d):
            modules[name] = nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding)
        else:
            modules[name] = StockNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k)
    return nn.Sequential(modules).eval().requires_grad_(False)


def photographs(count: int, seed: int = 0) -> Tensor:
    """Smooth random images, detail at several scales."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 224, 224, generator=draw) * 0.3
    for side in (56, 14, 4):
        coarse = torch.randn(count, 3, side, side, generator=draw)
        images += F.interpolate(coarse, size=224, mode="bilinear") * 0.5
    return images


def strongest(net: ConvNet, images: Tensor) -> dict[str, Units]:
    """16 random maps of each layer in 9 images each, at the map's strongest position."""
    draw, picks = torch.Generator().manual_seed(1), {}
    maps: dict[str, Tensor] = {}
    x = images
    with torch.no_grad():
        for name, layer in net.named_children():
            if name == "pool5":
                break
            x = torch.cat([layer(part) for part in x.split(16)])
            maps[name] = x
            if name in LAYERS:
                chosen = torch.randperm(x.shape[1], generator=draw)[:MAPS].repeat_interleave(9)
                flat = x[torch.arange(UNITS), chosen].flatten(1).argmax(1)
                picks[name] = Units(torch.arange(UNITS), chosen, flat // x.shape[3], flat % x.shape[3])
    return picks


def captum_single(net: nn.Sequential, images: Tensor) -> Project:
    def run(layer: str, picks: Units) -> Tensor:
        peer = NeuronDeconvolution(net, net.get_submodule(f"{layer}_relu"))
        units = zip(*(field.tolist() for field in picks), strict=True)
        return torch.cat([peer.attribute(images[n : n + 1].clone(), (c, row, col)) for n, c, row, col in units])

    return run


def captum_batched(net: nn.Sequential, images: Tensor) -> Project:
    def run(layer: str, picks: Units) -> Tensor:
        peer = NeuronDeconvolution(net, net.get_submodule(f"{layer}_relu"))
        parts = []
        for part in (picks.part(at, at + CHUNK) for at in range(0, len(picks.image), CHUNK)):
            units = (torch.arange(len(part.image)), *part[1:])
            parts.append(peer.attribute(images[part.image].clone(), lambda y, units=units: y[units]))
        return torch.cat(parts)

    return run


def explicit(net: ConvNet, images: Tensor) -> Project:
    """The deconvnet as one would write it: the whole maps up with switches, down with transposed convolutions."""

    @torch.no_grad()
    def one(layer: str, picks: Units) -> Tensor:
        names = [name for name, _ in net.named_children()]
        below = [net.get_submodule(name) for name in names[: names.index(layer) + 1]]
        x, states = images[picks.image].contiguous(memory_format=torch.channels_last), []
        for module in below:
            states.append((x, None))
            if isinstance(module, nn.MaxPool2d):
                x, switches = F.max_pool2d(x, module.kernel_size, module.stride, module.padding, return_indices=True)
                states[-1] = (states[-1][0], switches)
            else:
                x = module(x)
        signal = torch.zeros_like(x)
        signal[torch.arange(len(x)), picks.map, picks.row, picks.col] = 1
        for module, (before, switches) in zip(reversed(below), reversed(states), strict=True):
            signal = down(module, signal, before, switches)
        return signal

    return lambda layer, picks: torch.cat(
        [one(layer, picks.part(at, at + CHUNK)) for at in range(0, len(picks.image), CHUNK)]
    )


def down(module: nn.Module, signal: Tensor, before: Tensor, switches: Tensor | None) -> Tensor:
    if isinstance(module, nn.MaxPool2d):
        how = [[value] * 2 for value in (module.kernel_size, module.stride, module.padding, 1)]
        return torch.ops.aten.max_pool2d_with_indices_backward(signal, before, *how, False, switches)
    if not isinstance(module, nn.Conv2d):
        return signal
    room = before.shape[2] - ((signal.shape[2] - 1) * module.stride[0] - 2 * module.padding[0] + module.kernel_size[0])
    return F.conv_transpose2d(signal.relu(), module.weight, None, module.stride, module.padding, room)


def agreement(net: ConvNet, images: Tensor, picks: dict[str, Units], peer: Project) -> float:
    """Largest difference between a projection and the peer's, as a share of the projection's largest value."""
    worst = 0.0
    for layer, units in picks.items():
        some = units.part(0, CHUNK)
        ours, theirs = project_fields(net, images, layer, some), peer(layer, some)
        for values, top, left, whole in zip(*ours, theirs, strict=True):
            wide = F.pad(whole, [max(values.shape[1:])] * 4)  # boxes may leave the image
            top, left = top + max(values.shape[1:]), left + max(values.shape[1:])
            box = wide[:, top : top + values.shape[1], left : left + values.shape[2]]
            outside = whole.abs().sum() - box.abs().sum()
            assert outside < 1e-5 * whole.abs().sum()  # Captum leaves nothing outside the box
            worst = max(worst, float((values - box).abs().max() / whole.abs().max()))
    return worst


def main() -> None:
    warnings.filterwarnings("ignore", module="captum")
    net, images = zfnet(), photographs(UNITS)
    picks = strongest(net, images)
    peer = stock(net)

    def over(project: Project, units: int) -> Callable[[], object]:
        return lambda: [project(layer, picks[layer].part(0, units)) for layer in LAYERS]

    sides = {
        "Captum one at a time": (captum_single(peer, images), 6, 20.0),
        "Captum batched": (captum_batched(peer, images), CHUNK, 18.0),
        "full size, explicit": (explicit(net, images), CHUNK, 8.0),
        "full size, autograd": (lambda layer, units: project(net, images, layer, units), CHUNK, 8.0),
    }
    ours = over(lambda layer, units: project_fields(net, images, layer, units).values, UNITS)
    times = paired({"ours": ours} | {name: over(side, units) for name, (side, units, _) in sides.items()}, rounds=3)
    ratios = {name: ratio(times, name, "ours") * UNITS / units for name, (_, units, _) in sides.items()}
    fastest = min((name for name in sides if name.startswith("full size")), key=ratios.__getitem__)
    for name, (_, units, goal) in sides.items():
        if not name.startswith("full size") or name == fastest:
            line(f"720 projections against {name} ({units} of {UNITS} units, scaled)", ratios[name], goal)
    worst = agreement(net, images, picks, sides["Captum batched"][0])
    print(f"720 projections: difference from Captum {worst:.1e} of the largest value, goal 2.0e-06")
    print(f"720 projections: extra memory {peak_mib(ours):.0f} MiB, goal 350 MiB", flush=True)


if __name__ == "__main__":
    main()
