"""Against a case by hand, against Captum, and against a deconvnet written out for a net with contrast normalization."""

import warnings

import pytest
import torch
import torch.nn.functional as F
import torchvision
from captum.attr import NeuronDeconvolution, NeuronGradient, NeuronGuidedBackprop
from torch import nn

from convscope.engine.deconvnet import RULES, Units, project
from convscope.errors import UserError
from engine.specimens import maps_of, norm_net, odd_net, photographs, row_net, some_picks

PEERS = {"deconvnet": NeuronDeconvolution, "guided": NeuronGuidedBackprop, "gradient": NeuronGradient}


def one(image=0, map=0, row=0, col=0):
    return Units(*(torch.tensor([value]) for value in (image, map, row, col)))


def as_modules(net):
    """A row net without contrast normalization as Captum needs it: every ReLU a module of its own, none in place."""
    modules = nn.Sequential()
    for name, layer in net.named_children():
        if isinstance(layer, nn.Conv2d):
            how = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
            stock = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, **how).double()
        elif isinstance(layer, nn.Linear):
            if "flat" not in dict(modules.named_children()):
                modules.add_module("flat", nn.Flatten())
            stock = nn.Linear(layer.in_features, layer.out_features).double()
        else:
            stock = nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)
        modules.add_module(f"{name}_linear" if layer.state_dict() else name, stock)
        stock.load_state_dict(layer.state_dict())
        if layer.state_dict():
            modules.add_module(name, nn.Identity() if name == "fc6" else nn.ReLU())
    return modules.eval()


def captum(net, images, layer, picks, rule):
    peer, parts = PEERS[rule](net, net.get_submodule(layer)), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for image, *unit in zip(*(field.tolist() for field in picks), strict=True):
            unit = tuple(unit) if maps_of(net, layer, images).shape[2:] != (1, 1) or "conv" in layer else unit[0]
            parts.append(peer.attribute(images[image : image + 1].clone().requires_grad_(), unit))
    return torch.cat(parts).detach()


def test_by_hand():
    """Three of the four pool windows share the switch in the middle, whose signals 1, 3, 4 add up; -2 meets a ReLU."""
    net = nn.Sequential(nn.Conv2d(1, 1, 2), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Conv2d(1, 1, 2)).double()
    net[0].weight.data = torch.tensor([[[[1.0, -1], [0, 2]]]]).double()
    net[0].bias.data.fill_(0.5)
    net[3].weight.data = torch.tensor([[[[1.0, -2], [3, 4]]]]).double()
    image = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    image[0, 0, 2, 2], image[0, 0, 1, 3] = 1, 2
    # rectified map: 0.5 0.5 4.5 | 0.5 2.5 0 | 0.5 0 1.5; the window above on the right has its switch at 4.5
    down = torch.tensor([[0.0, 0, 0, 0], [0, 8, -8, 0], [0, 0, 16, 0], [0, 0, 0, 0]]).double()
    assert torch.equal(project(net, image, "3", one(), "deconvnet")[0, 0], down)
    assert torch.equal(project(net, image, "3", one(), "guided")[0, 0], down)
    down[0, 2:], down[1, 3] = torch.tensor([-2.0, 2]), -4
    assert torch.equal(project(net, image, "3", one(), "gradient")[0, 0], down)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_equals_captum_at_every_layer(rule):
    net, images = row_net(norm1=None, norm2=None), photographs()
    modules = as_modules(net)
    for layer in net.rows:
        picks = some_picks(net, layer, images)
        ours = project(net, images, layer, picks, rule)
        theirs = captum(modules, images, layer, picks, rule)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8 * float(theirs.abs().max()), msg=layer)


@pytest.mark.parametrize("rule", RULES)
def test_rows_with_batch_norm_equal_captum(rule):
    relu = {"kind": "conv", "maps": 10, "kernel": 3, "batch_norm": True}
    net, images = (
        norm_net(32, conv2={**relu, "maps": 12, "towers": 2}, conv3=relu, conv4=None),
        photographs(2, (32, 32)),
    )
    modules = nn.Sequential()
    for name, layer in list(net.named_children())[:5]:
        if isinstance(layer, nn.Conv2d):
            how = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups, "bias": False}
            modules.add_module(
                f"{name}_filters", nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, **how)
            )
            modules[-1].weight = layer.weight
            modules.add_module(f"{name}_norm", layer.norm)
            modules.add_module(name, nn.ReLU())
        else:
            modules.add_module(name, layer)
    for layer in ("conv2", "pool2", "conv3"):
        picks = some_picks(net, layer, images)
        theirs = captum(modules.double().eval(), images, layer, picks, rule)
        ours = project(net, images, layer, picks, rule)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8 * float(theirs.abs().max()), msg=layer)


def test_equals_captum_on_a_net_with_skips():
    net, images = torchvision.models.resnet18(weights=None).double().eval(), photographs(2, (64, 64))
    for block in [module for module in net.modules() if isinstance(module, torchvision.models.resnet.BasicBlock)]:
        block.relu = nn.ReLU()  # Captum follows no ReLU in place; the one that runs twice it does follow
    net.relu = nn.ReLU()
    picks = some_picks(net, "layer2.0.conv2", images, 4)
    ours = project(net, images, "layer2.0.conv2", picks)
    theirs = captum(net, images, "layer2.0.conv2", picks, "deconvnet")
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8 * float(theirs.abs().max()))


def written_out(net, images, layer, picks):
    """Forward with switches, back with transposed filters, over whole maps; LRN lets signals pass."""
    names = list(net.rows)
    below, x, ups = names[: names.index(layer) + 1], images[picks.image], []
    for name in below:
        module, before = net.get_submodule(name), x
        if isinstance(module, nn.MaxPool2d):
            x, switches = F.max_pool2d(x, 3, 2, module.padding, ceil_mode=module.ceil_mode, return_indices=True)
            ups.append((module, before, switches))
        else:
            x = module(x)
            ups.append((module, before, None))
    signal = torch.zeros_like(x)
    signal[torch.arange(len(x)), picks.map, picks.row, picks.col] = 1
    for module, before, switches in reversed(ups):
        if switches is not None:
            flat = torch.zeros_like(before).flatten(2)
            signal = flat.scatter_add_(2, switches.flatten(2), signal.flatten(2)).view_as(before)
        elif isinstance(module, nn.Conv2d):
            way = {"stride": module.stride, "padding": module.padding, "groups": module.groups}
            size = F.conv_transpose2d(signal, module.weight, **way).shape[2]
            signal = F.conv_transpose2d(signal.relu(), module.weight, output_padding=before.shape[2] - size, **way)
    return signal


@pytest.mark.parametrize("layer", ["conv1", "norm1", "conv2", "norm2", "conv3", "conv4", "pool4"])
@torch.no_grad()
def test_contrast_normalization_is_passed_over(layer):
    net, images = row_net(), photographs()
    picks = some_picks(net, layer, images)
    expected = written_out(net, images, layer, picks)
    torch.testing.assert_close(project(net, images, layer, picks), expected, rtol=0, atol=1e-10)


def test_torchs_contrast_normalization_is_passed_over_too():
    conv = nn.Conv2d(3, 4, 3).double()
    net = nn.Sequential(conv, nn.LocalResponseNorm(5, 0.5))
    images = photographs(1, (8, 8))
    assert torch.equal(project(net, images, "1", one(0, 2, 3, 3)), project(net, images, "0", one(0, 2, 3, 3)))


def test_batch_normalization_leaves_its_scale():
    norm = nn.BatchNorm2d(4).double().eval()
    norm.running_var.uniform_(0.5, 2), norm.running_mean.normal_(), norm.weight.data.normal_()
    conv, images = nn.Conv2d(3, 4, 3).double(), photographs(1, (8, 8))
    net = nn.Sequential(conv, norm)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt())[2]
    expected = project(net, images, "0", one(0, 2, 3, 3)) * scale
    torch.testing.assert_close(project(net, images, "1", one(0, 2, 3, 3)), expected)


class Functional(nn.Module):
    """A convolution, a function as the activation, a convolution."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.activation = activation
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3).double(), nn.Conv2d(6, 2, 3).double()

    def forward(self, x):
        return self.conv2(self.activation(self.conv1(x)))


@pytest.mark.parametrize("rule", RULES)
def test_relu_is_recognized_in_every_spelling(rule):
    images = photographs(1, (8, 8))

    def discarded(x):
        F.relu_(x)
        return x

    spellings = [nn.ReLU(), nn.ReLU(inplace=True), F.relu, torch.relu, F.relu_, torch.Tensor.relu, discarded]
    spellings.append(lambda x: F.relu(input=x))
    reference, *spelled = (
        project(Functional(spelling), images, "conv2", one(0, 1, 2, 2), rule) for spelling in spellings
    )
    assert all(torch.equal(projection, reference) for projection in spelled)
    assert not torch.equal(reference, project(Functional(lambda x: x), images, "conv2", one(0, 1, 2, 2), rule))


@pytest.mark.parametrize("activation", [F.silu, F.gelu, F.hardswish, F.leaky_relu, F.relu6])
def test_other_activations_follow_the_rule(activation):
    images, unit = photographs(1, (8, 8)), one(0, 1, 2, 2)
    linear = Functional(lambda x: x)
    x = linear.conv1(images).detach().requires_grad_()
    slopes = torch.autograd.grad(activation(x).sum(), x)[0]
    seed = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    seed[0, 1, 2, 2] = 1
    coming = F.conv_transpose2d(seed, linear.conv2.weight)
    expected = {"deconvnet": coming.relu(), "guided": coming.relu() * slopes, "gradient": coming * slopes}
    for rule, signal in expected.items():
        projections = project(Functional(activation), images, "conv2", unit, rule)
        torch.testing.assert_close(projections, F.conv_transpose2d(signal, linear.conv1.weight))


def test_the_net_is_left_as_it_was():
    net, images = row_net().train(), photographs(2)
    net.conv2.eval()
    next(net.conv3.parameters()).requires_grad_(False)
    before = [(p.clone(), p.requires_grad) for p in net.parameters()]
    training = [module.training for module in net.modules()]
    project(net, images, "conv4", some_picks(net.eval(), "conv4", images, 4))
    net.train(), net.conv2.eval()
    project(net, images, "conv4", some_picks(net, "conv4", images, 4))
    assert [module.training for module in net.modules()] == training
    after = [(p, p.requires_grad) for p in net.parameters()]
    assert all(torch.equal(p, q) and a == b for (p, a), (q, b) in zip(before, after, strict=True))
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_works_in_inference_mode_on_tensors_of_inference_mode():
    net = odd_net()
    expected = project(net, photographs(2, (40, 40)), "9", one(1, 2, 1, 1))
    with torch.inference_mode():
        projections = project(net, photographs(2, (40, 40)), "9", one(1, 2, 1, 1))
    assert torch.equal(projections, expected)


def test_the_size_of_a_part_changes_nothing():
    net, images = row_net(), photographs()
    picks = some_picks(net, "conv3", images, 7)
    whole = project(net, images, "conv3", picks)
    torch.testing.assert_close(project(net, images, "conv3", picks, chunk=2), whole, rtol=1e-12, atol=1e-14)
    assert project(net, images, "conv3", picks.part(0, 0)).shape == (0, 3, 96, 96)


def test_unknown_rule():
    with pytest.raises(UserError, match="rule backprop is unknown; possible: deconvnet, guided, gradient"):
        project(row_net(), photographs(1), "conv1", one(), "backprop")


def test_unknown_layer():
    with pytest.raises(
        UserError, match=r"no layer conv7 in this net .did you mean conv4\?.; its layers: conv1, pool1, norm1"
    ):
        project(row_net(), photographs(1), "conv7", one())


class Turned(nn.Module):
    """The same convolutions, with channels as the last dimension in between."""

    def __init__(self, last):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.second, self.last = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), last
        self.stage = nn.Identity()

    def forward(self, x):
        x = self.relu(self.conv(x))
        if self.last:
            x = x.permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2)
        x = self.second(x)
        return self.stage(x.permute(0, 2, 3, 1) if self.last else x)


@pytest.mark.parametrize("rule", RULES)
def test_units_of_maps_that_lie_last(rule):
    images = photographs(2, (12, 9))
    picks = Units(*map(torch.tensor, ([0, 1], [3, 1], [7, 2], [4, 0])))
    projections, expected = (project(Turned(last).double(), images, "stage", picks, rule) for last in (True, False))
    assert torch.equal(projections, expected) and projections.any()
