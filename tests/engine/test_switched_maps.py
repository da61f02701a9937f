"""Single maps switched off, against whole passes with a hook that writes over one map."""

import pytest
import timm
import torch
import torchvision
import yaml
from torch import nn

from conftest import ROOT
from convscope.engine.switched_maps import SwitchedMaps
from convscope.engine.upper_part import UpperPart
from convscope.errors import UserError
from convscope.models.build import build, he_


def zfnet():
    net = build(yaml.safe_load((ROOT / "conf/model/zfnet.yaml").read_text())["layers"], 64, 7, width=0.1)
    he_(net, 1.0)
    return net


def library(name):
    net = getattr(torchvision.models, name)(weights=None)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # answers of a size at which differences are seen
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
    return net


class TwoPaths(nn.Module):
    """A gate, a product of two paths, a join and a sum, with writes in place."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.gate = nn.Linear(8, 8)
        self.group = nn.Conv2d(16, 8, 3, groups=2, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.end = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x).relu_()
        gated = x * self.gate(x.mean((2, 3))).sigmoid().unsqueeze(2).unsqueeze(3)
        y = self.group(torch.cat([gated, x], 1))
        return self.end((self.norm(y).relu_() + x).amax((2, 3)))


def by_hook(net, layer, images, map_, value, dim=1):
    """Logits of whole passes."""

    def hook(module, args, output):
        output = output.clone()
        output.movedim(dim, 1)[:, map_] = value if isinstance(value, float) else value.movedim(dim, 1)[:, map_]
        return output

    handle = net.get_submodule(layer).register_forward_hook(hook)
    with torch.inference_mode():
        logits = net(images)
    handle.remove()
    return logits


def switched(net, layer, images, value):
    part = UpperPart(net, images.shape[-1], layer)
    single = SwitchedMaps(part)
    base = single.base(images)
    value = base.output.mean(0, keepdim=True) if value == "mean" else value
    logits, count = base.logits[:, None].repeat(1, part.maps, 1), 0
    for pairs in single.pairs(base, value):
        logits[pairs.image, pairs.map] = pairs.logits
        count += len(pairs.image)
    return part, logits, value, count


CASES = [
    (zfnet, ["conv1", "conv2", "conv5", "fc6"]),
    (lambda: library("resnet18"), ["relu", "layer3", "layer4.1.bn1", "layer4"]),
    (lambda: library("squeezenet1_0"), ["features.3.squeeze", "features.3.expand1x1_activation", "features.12"]),
    (lambda: library("mobilenet_v2"), ["features.4.conv.0", "features.18"]),
    (lambda: timm.create_model("convnext_atto"), ["stages.2"]),
    (TwoPaths, ["stem", "group"]),
]


@pytest.mark.parametrize(("make", "layers"), CASES)
def test_switching_off_equals_a_hook_on_whole_passes(make, layers):
    torch.manual_seed(0)
    net, images = make().eval(), 50 * torch.randn(2, 3, 64, 64)
    weights = {name: weight.clone() for name, weight in net.state_dict().items()}
    for layer, value in zip(layers, ["mean", 0.0] * 2, strict=False):
        part, logits, value, _ = switched(net, layer, images, value)
        assert not part.obstacle
        maps = range(0, part.maps, max(1, part.maps // 5))
        whole = torch.stack([by_hook(net, layer, images, map_, value, part.channel) for map_ in maps], 1)
        with torch.inference_mode():
            change = (whole - net(images)[:, None]).abs().max()
        assert change > 1e-3 * whole.abs().max(), layer  # else nothing would be compared
        torch.testing.assert_close(logits[:, maps], whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))
    assert all(torch.equal(weights[name], weight) for name, weight in net.state_dict().items())


class Attending(nn.Module):
    """A product of the image with itself, which is no step of a graph."""

    def __init__(self):
        super().__init__()
        self.conv, self.end = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x).flatten(2).transpose(1, 2)
        return self.end((x @ x.transpose(1, 2)).softmax(2).matmul(x).mean(1))


def test_where_no_steps_lead_to_the_answer_whole_passes_run_and_the_part_says_so():
    torch.manual_seed(0)
    net, images = Attending().eval(), torch.randn(2, 3, 8, 8)
    part, logits, _, _ = switched(net, "conv", images, 0.0)
    assert part.obstacle
    whole = torch.stack([by_hook(net, "conv", images, map_, 0.0) for map_ in range(4)], 1)
    torch.testing.assert_close(logits, whole)


def test_maps_that_are_off_anyway_cost_nothing():
    torch.manual_seed(0)
    net, images = zfnet().eval(), torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        net.conv5.weight[::2] = 0
        net.conv5.bias[::2] = -1
    part, logits, _, count = switched(net, "conv5", images, 0.0)
    with torch.inference_mode():
        plain = net(images)
    torch.testing.assert_close(logits[:, ::2], plain[:, None].expand_as(logits[:, ::2]))
    assert 0 < count <= 3 * (part.maps // 2)


class Aside(nn.Module):
    """A net with a layer that its answer does not need, one that runs twice, and one that puts out tokens."""

    def __init__(self):
        super().__init__()
        self.conv, self.aside, self.twice = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3), nn.ReLU()
        self.tokens, self.end = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        self.aside(x)
        return self.end(self.tokens(self.twice(self.twice(self.conv(x))).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("conv9", r"no layer conv9 in this net .did you mean conv\?.; its layers: aside, conv"),
        ("aside", "answer does not depend on layer aside"),
        ("twice", "layer twice runs 2 times"),
        ("tokens", "layer tokens puts out tokens"),
    ],
)
def test_layers_that_cannot_be_switched_off(layer, words):
    with pytest.raises(UserError, match=words):
        UpperPart(Aside(), 8, layer)
