"""Random nets with branches: sums, joins, splits, shuffles, changes of scale, maps written over in place."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.analyses.occlusion.compute import Occluder, occlude, occlude_fully
from convscope.engine.recomputation.local_part import local_part
from convscope.engine.trace import trace
from engine.recomputation.test_recompute import assert_recomputed, assert_same

SINGLE = [
    "conv", "conv", "depthwise", "max", "mean", "relu", "written", "split", "shuffle", "larger", "padded", "cut",
    "weighted", "last", "deconv",
]  # fmt: skip


class RandomGraph(nn.Module):
    """Calls on maps that were made before, chosen anew for each net; then means of two of them and a full layer."""

    def __init__(self, seed):
        super().__init__()
        self.draw, self.plan, self.layers = random.Random(seed), [], nn.ModuleDict()
        self.head = nn.LazyLinear(4)

    def forward(self, x):
        maps = [x.clone()]
        if not self.plan:
            self._make_plan(maps)
        else:
            for row in self.plan:
                maps.append(self._call(maps, *row))
        ends = [maps[-1].flatten(1), maps[len(maps) // 2].mean((2, 3))]
        return self.head(torch.cat(ends, 1))

    def _make_plan(self, maps):
        while len(self.plan) < 9:
            row = self._draw_row(maps)
            try:
                above = self._call(maps, *row)
            except RuntimeError:
                continue  # the window is larger than the map
            if above.isfinite().all() and above.numel() < 20_000:
                self.plan.append(row)
                maps.append(above)

    def _draw_row(self, maps):
        below = self.draw.randrange(max(0, len(maps) - 3), len(maps))
        twins = [n for n, other in enumerate(maps) if other.shape[2:] == maps[below].shape[2:]]
        other = self.draw.choice(twins)
        kind = self.draw.choice([*SINGLE, *(["join"] * 3 if len(twins) > 1 else [])])
        if maps[other].shape == maps[below].shape and other != below and self.draw.random() < 0.7:
            kind = "sum"
        name, channels = f"layer{len(self.plan)}", maps[below].shape[1]
        numbers = [self.draw.randint(1, 3) for _ in range(6)]
        kernel, stride = (numbers[0], numbers[1]), (min(2, numbers[2]), min(2, numbers[3]))
        layer = {
            "conv": lambda: nn.Conv2d(channels, 4, kernel, stride, numbers[4] - 1, min(2, numbers[5])),
            "depthwise": lambda: nn.Conv2d(channels, channels, 3, stride, 1, groups=channels),
            "max": lambda: nn.MaxPool2d(3, stride, 1, ceil_mode=numbers[4] == 1),
            "mean": lambda: nn.AvgPool2d(kernel, stride, 0, ceil_mode=numbers[4] == 1),
            "deconv": lambda: nn.ConvTranspose2d(channels, 4, 3, 2, numbers[4] - 1),
            "last": lambda: nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 4), nn.GELU()),
        }.get(kind, nn.ReLU)()
        self.layers[name] = layer.to(maps[0].dtype).eval()
        return kind, name, below, other, numbers

    def _call(self, maps, kind, name, below, other, numbers):
        x, layer = maps[below], self.layers[name]
        match kind:
            case "sum":
                return layer(x + maps[other] * 0.5)
            case "join":
                return torch.cat([x, maps[other]], 1)
            case "written":
                return x.relu_() if below else x + 1
            case "split":
                first, second = (torch.cat([x, x], 1)).chunk(2, 1)
                return first if numbers[0] == 1 else first - second * second
            case "shuffle":
                n, c, h, w = torch.cat([x, x], 1).shape
                return torch.cat([x, x], 1).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            case "larger":
                mode = "nearest" if numbers[0] == 1 else "bilinear"
                return F.interpolate(x, scale_factor=(2, numbers[1]), mode=mode)
            case "padded":
                return F.pad(x, (numbers[0], 0, numbers[1], numbers[2]), value=0.5)
            case "cut":
                return x[:, :, numbers[0] :, : -numbers[1]]
            case "weighted":
                return x * torch.linspace(-1, 1, x.shape[3], dtype=x.dtype)
            case "last":
                return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return layer(x)


def random_graph(seed):
    torch.manual_seed(seed)
    draw = random.Random(seed)
    image = torch.randn(3, draw.randint(13, 30), draw.randint(13, 30), dtype=torch.float64)
    net = RandomGraph(seed).double().eval()
    with torch.no_grad():
        net(image[None].clone())
    square = Occluder(draw.randint(1, 9), draw.randint(4, 9), draw.choice([0.0, 1.5]))
    return net, image, square, draw


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    net, image, square, draw = random_graph(seed)
    ran = [path for path, layer in trace(net, tuple(image.shape)).layers.items() if layer.runs == 1]
    last = {f"layers.{name}" for kind, name, *_ in net.plan if kind == "last"}
    layer = draw.choice([path for path in ran if path not in last and (path.count(".") == 1 or path == "head")])
    assert_recomputed(net, image, layer, 1, square, draw.choice([1, 7, 32]), draw)
    assert_same(*(how(net, image, layer, 1, 2, square) for how in (occlude, occlude_fully)), 1e-10)


def test_random_graphs_are_local_as_a_rule():
    parts = [local_part(trace(net, tuple(image.shape))) for net, image, *_ in map(random_graph, range(40))]
    assert sum(len(part.calls) for part in parts) > 0.6 * sum(len(part.net_trace.calls) for part in parts)
    assert sum(len(part.ends) > 1 for part in parts) > 20
