"""Recomputation of what the occluder can change against full passes, in random nets."""

import random
from itertools import product

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.models import alexnet, mobilenet_v2, resnet18, shufflenet_v2_x0_5, vgg11

from convscope.analyses.occlusion.compute import Occluder, occlude, occlude_fully, occluder_edges
from convscope.engine.recomputation.counted_work import OccluderGrid
from convscope.engine.recomputation.local_part import local_part
from convscope.engine.recomputation.recompute import ChosenMap, recompute
from convscope.engine.trace import trace
from convscope.models.lrn import LRN
from engine.specimens import norm_net, odd_net, photographs, row_net


def random_step(draw, maps):
    """One layer for `maps` input maps, and its number of output maps."""
    kernel, stride = (draw.randint(1, 5), draw.randint(1, 5)), (draw.randint(1, 3), draw.randint(1, 3))
    half = tuple(draw.randint(0, side // 2) for side in kernel)
    match draw.choice(["conv", "conv", "same", "max", "mean", "lrn", "norm", "point"]):
        case "conv":
            groups = draw.choice([1, 2])
            padding, dilation = (draw.randint(0, 3), draw.randint(0, 3)), (draw.randint(1, 2), draw.randint(1, 2))
            return nn.Conv2d(maps, 6, kernel, stride, padding, dilation, groups if maps % 2 == 0 else 1), 6
        case "same":
            return nn.Conv2d(maps, 4, kernel, padding="same", dilation=draw.randint(1, 2)), 4
        case "max":
            return nn.MaxPool2d(kernel, stride, half, draw.choice([1, 1, 2]), ceil_mode=draw.random() < 0.5), maps
        case "mean":
            ceil, include, divisor = draw.random() < 0.5, draw.random() < 0.5, draw.choice([None, None, 3])
            return nn.AvgPool2d(kernel, stride, half, ceil, include, divisor), maps
        case "lrn":
            return draw.choice([nn.LocalResponseNorm(3, 0.5), LRN(5, 0.3, 0.75, 2), LRN(4, 0.3, 0.6, 1)]), maps
        case "norm":
            norm = nn.BatchNorm2d(maps)
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            return norm, maps
    return draw.choice([nn.ReLU(inplace=True), nn.ReLU(), nn.GELU(), nn.Tanh(), nn.PReLU(maps), nn.Dropout2d()]), maps


def random_chain(seed):
    """A chain of layers down to maps of whatever size, the image and a square; sizes differ along the axes."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    size = draw.randint(14, 40), draw.randint(14, 40)
    layers, maps, image = [], 3, torch.randn(3, *size, dtype=torch.float64)
    x = image[None]
    while len(layers) < draw.randint(3, 9) or not any(isinstance(layer, nn.Conv2d) for layer in layers):
        layer, above = random_step(draw, maps)
        try:
            with torch.no_grad():
                y = layer.double().eval()(x.clone())
        except RuntimeError:
            continue  # the window is larger than the map, or sees nothing but padding
        if y.isfinite().all():
            layers, maps, x = [*layers, layer], above, y
    ends = [[nn.Flatten()], [nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten()], [nn.AdaptiveMaxPool2d(1), nn.Flatten(1)]]
    net = nn.Sequential(*layers, *draw.choice(ends), nn.LazyLinear(6), nn.ReLU(inplace=True), nn.Linear(6, 5))
    net = net.double().eval()
    with torch.no_grad():
        net(image[None])
        net[-1].weight.mul_(10)
    side = draw.randint(1, min(size))
    square = Occluder(side, draw.randint(1, 9), draw.choice([0.0, 1.5]))
    return net, image, square, draw


def assert_recomputed(net, image, layer, map_, square, batch, draw):
    """Logits and the chosen map, by windows up to the end of the local part and up to a random call before it."""
    net_trace = trace(net, tuple(image.shape))
    part, chosen = local_part(net_trace), ChosenMap(layer, net_trace.layer(layer).output, map_)
    edges = [occluder_edges(side, square) for side in image.shape[1:]]
    counts = [len(part.calls), draw.randint(0, len(part.calls))]
    cuts = [cut for cut in map(part.first, counts) if not cut.shares_overwritten_memory()]
    for cut in cuts:
        places, logits, maps = zip(
            *recompute(net, cut, image, OccluderGrid(*edges, square.size, square.value), chosen, batch), strict=True
        )
        order = torch.cat(places).argsort()
        for value, expected in zip((logits, maps), one_by_one(net, image, layer, map_, square, edges), strict=True):
            torch.testing.assert_close(torch.cat(value)[order], expected, rtol=1e-10, atol=1e-10)
    return bool(cuts)


def one_by_one(net, image, layer, map_, square, edges):
    """Logits and a map of each covered image, passed alone."""
    outputs, logits, size = [], [], square.size
    hook = net.get_submodule(layer).register_forward_hook(lambda module, args, output: outputs.append(output.clone()))
    for top, left in product(*edges):
        covered_image = image.clone()
        covered_image[:, top : top + size, left : left + size] = square.value
        with torch.no_grad():
            logits.append(net(covered_image[None]))
    hook.remove()
    return torch.cat(logits), torch.cat(outputs)[:, map_]


def assert_same(outcome, full, tolerance=1e-10):
    for name, ours, expected in zip(outcome._fields[:5], outcome, full, strict=False):
        torch.testing.assert_close(
            ours, expected, rtol=tolerance, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("seed", range(60))
def test_random_chains(seed):
    net, image, square, draw = random_chain(seed)
    layer = str(draw.randrange(len(net)))
    maps = net[: int(layer) + 1](image[None]).shape[1]
    rest = (layer, draw.randrange(maps), draw.randrange(5), square, draw.choice([1, 3, 7, 32]))
    assert_same(occlude(net, image, *rest), occlude_fully(net, image, *rest))
    assert_recomputed(net, image, *rest[:2], square, rest[-1], draw)


def test_rows_with_batch_norm_average_pools_and_other_activations():
    net, image = norm_net(64), photographs(1, (64, 64))[0]
    for layer, square in (("conv4", Occluder(9, 5)), ("mean5", Occluder(20, 7, 1.5))):
        outcome = occlude(net, image, layer, 2, 1, square)
        assert_same(outcome, occlude_fully(net, image, layer, 2, 1, square))


@pytest.mark.parametrize(
    "square", [Occluder(96, 1), Occluder(95, 1), Occluder(1, 19, 3.0), Occluder(10, 33), Occluder(50, 11)], ids=str
)
def test_squares(square):
    net, image = row_net(), photographs(1)[0]
    for layer in ("conv2", "fc5"):
        assert assert_recomputed(net, image, layer, 2, square, 32, random.Random(0))


@pytest.mark.parametrize("layer", ["0", "2", "3", "6", "10", "13"])
def test_odd_steps(layer):
    net = nn.Sequential(*odd_net(), nn.Flatten(), nn.LazyLinear(9)).double().eval()
    image = photographs(1, (70, 93))[0]
    net(image[None])
    outcome = occlude(net, image, layer, 2, 1, Occluder(9, 11, 0.5))
    assert outcome.incremental
    assert_same(outcome, occlude_fully(net, image, layer, 2, 1, Occluder(9, 11, 0.5)))


@pytest.mark.parametrize("make, layer", [(alexnet, "features.10"), (vgg11, "features.18")], ids=["alexnet", "vgg11"])
def test_torchvision_chains(make, layer):
    torch.manual_seed(0)
    net, image = make(weights=None, num_classes=10).eval(), photographs(1, (96, 96))[0].float()
    outcome = occlude(net, image, layer, 3, 1, Occluder(16, 24))
    assert outcome.incremental
    full = occlude_fully(net, image, layer, 3, 1, Occluder(16, 24))
    torch.testing.assert_close(outcome.probability, full.probability, rtol=0, atol=1e-5)
    torch.testing.assert_close(outcome.activity, full.activity, rtol=2e-6, atol=0)


def test_float32():
    net, image = row_net().float(), photographs(1)[0].float()
    outcome, full = (how(net, image, "conv4", 3, 1, Occluder(14, 9)) for how in (occlude, occlude_fully))
    torch.testing.assert_close(outcome.probability, full.probability, rtol=0, atol=1e-5)
    torch.testing.assert_close(outcome.activity, full.activity, rtol=2e-6, atol=0)
    assert outcome.probability.dtype == torch.float32


class _Multiplications(TorchFunctionMode):
    """Counts the output positions of all convolutions."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.__name__ == "conv2d":
            self.count += result.numel() * args[1][0].numel()
        return result


def test_only_what_changes_is_computed():
    """A square of a pixel changes at most 4 x 4 positions of conv1 and 3 x 3 of conv2, at 16 places each."""
    net = nn.Sequential(nn.Conv2d(3, 4, 7, 2), nn.ReLU(), nn.Conv2d(4, 5, 5, 2), nn.Flatten(), nn.LazyLinear(2)).eval()
    image = torch.randn(3, 61, 61)
    net(image[None])
    with _Multiplications() as counted:
        assert occlude(net, image, "2", 0, 0, Occluder(1, 20)).incremental
    conv1, conv2 = 4 * 3 * 49, 5 * 4 * 25
    uncovered = 28**2 * conv1 + 12**2 * conv2
    traced = uncovered  # shapes only, by empty convolutions
    assert counted.count <= uncovered + traced + 16 * (4**2 * conv1 + 3**2 * conv2)


class Residual(nn.Module):
    def __init__(self, above):
        super().__init__()
        self.register_buffer("mean", torch.rand(3, 1, 1))
        self.stem, self.body, self.head, self.above = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 3), above

    def forward(self, x):
        x = (x - self.mean) / 2
        x = self.stem(x).relu_()
        if self.above:  # paths part and meet only where positions have come together
            x = x.amax((2, 3)).view(x.size(0), -1)
            return self.head(x + self.body(x).view(x.size(0), 4))
        return self.head((x + x.roll(1, 2)).mean((2, 3)))


def test_branches_above_the_maps_do_no_harm():
    """Code that depends on the number of images does no harm either."""
    torch.manual_seed(0)
    net, image = Residual(above=True).eval(), torch.randn(3, 20, 17)
    for layer in ("stem", "body"):
        outcome = occlude(net, image, layer, 1, 1, Occluder(5, 3))
        assert outcome.incremental
        assert_same(outcome, occlude_fully(net, image, layer, 1, 1, Occluder(5, 3)), 1e-5)


@pytest.mark.parametrize("layer", ["stem", "head"])
def test_branches_among_the_maps(layer):
    net, image = Residual(above=False).double().eval(), torch.randn(3, 20, 17, dtype=torch.float64)
    assert assert_recomputed(net, image, layer, 1, Occluder(5, 6), 4, random.Random(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, layer, square",
    [
        (resnet18, "layer2", Occluder(9, 60)),
        (mobilenet_v2, "features.6", Occluder(20, 48)),
        (shufflenet_v2_x0_5, "stage2", Occluder(20, 48)),
    ],
    ids=["resnet18", "mobilenet_v2", "shufflenet"],
)
def test_torchvision_branches(make, layer, square):
    torch.manual_seed(0)
    net, image = make(weights=None, num_classes=10).double().eval(), photographs(1, (129, 117))[0]
    outcome = occlude(net, image, layer, 3, 1, square)
    assert outcome.incremental, outcome.why
    assert_same(outcome, occlude_fully(net, image, layer, 3, 1, square), 1e-12)


class Standardized(nn.Conv2d):
    """A convolution with filters that are computed in the pass."""

    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


def test_computed_filters():
    net = nn.Sequential(Standardized(3, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 2)).double().eval()
    image = torch.randn(3, 8, 8, dtype=torch.float64)
    assert assert_recomputed(net, image, "0", 0, Occluder(4, 2), 4, random.Random(0))


class Positions(nn.Module):
    """Adds a constant to each position, so that the step depends on the position."""

    def __init__(self):
        super().__init__()
        self.conv, self.where, self.head = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(8, 8)), nn.Linear(4 * 64, 2)

    def forward(self, x):
        return self.head((self.conv(x) * self.where).flatten(1))


def test_what_depends_on_the_position():
    net, image = Positions().double().eval(), torch.randn(3, 10, 10, dtype=torch.float64)
    assert assert_recomputed(net, image, "conv", 0, Occluder(3, 2), 4, random.Random(0))


def test_mostly_full_rows():
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(), nn.Linear(64, 500), nn.ReLU(), nn.Linear(500, 2)).eval()
    outcome = occlude(net, torch.randn(3, 8, 8), "0", 0, 0, Occluder(4, 4))
    assert not outcome.incremental
    assert outcome.why == "most of the work lies above flatten, where all positions come together"


def test_mirrored_padding_is_not_local():
    conv = nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect")
    net, image = nn.Sequential(conv, nn.Flatten(), nn.Linear(2 * 64, 2)).double().eval(), photographs(1, (8, 8))[0]
    outcome = occlude(net, image, "0", 0, 0, Occluder(4, 2))
    assert not outcome.incremental and outcome.why.startswith("most of the work lies above pad")
