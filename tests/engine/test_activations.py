"""ReLUs in every spelling against nn.ReLU; units at the upper bound of an activation."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.engine.deconvnet import RULES, Units, project
from convscope.engine.projection import project_fields
from convscope.engine.receptive_fields import fields
from engine.specimens import OwnRectification, photographs


class Net(nn.Module):
    """Two convolutions, each followed by the activation, and a third."""

    def __init__(self, activation, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.activation = activation
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3).double(), nn.Conv2d(6, 5, 3).double()
        self.conv3 = nn.Conv2d(5, 4, 3).double()
        for conv in (self.conv1, self.conv2):
            conv.weight.data *= scale

    def forward(self, x):
        return self.conv3(self.activation(self.conv2(self.activation(self.conv1(x)))))


class ByAbs(nn.Module):
    def forward(self, x):
        return (x + x.abs()) / 2


class ByFunction(nn.Module):
    def forward(self, x):
        return OwnRectification.apply(x)


def assigned(x):
    x = x.clone()
    x[x < 0] = 0
    return x


SPELLINGS = {
    "clamp": lambda x: x.clamp(min=0),
    "clamp with a float": lambda x: torch.clamp(x, 0.0),
    "clamp in place": lambda x: x.clamp_(min=0),
    "clamp with a tensor": lambda x: torch.clamp(x, min=x.new_zeros(())),
    "clip": lambda x: torch.clip(x, 0, None),
    "clamp_min": lambda x: x.clamp_min(0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum, zero first": lambda x: torch.maximum(x.new_zeros(()), x),
    "max": lambda x: torch.max(x, x.new_zeros(1)),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "where with zeros": lambda x: torch.where(x >= 0, x, torch.zeros_like(x)),
    "where turned round": lambda x: torch.where(x < 0, torch.zeros_like(x), x),
    "where as a method": lambda x: x.where(x > 0, x.new_zeros(())),
    "threshold": lambda x: F.threshold(x, 0, 0),
    "product": lambda x: x * (x > 0),
    "product with numbers": lambda x: (x > 0).to(x.dtype) * x,
    "product in place": lambda x: x.clone().mul_(x > 0),
    "masked": lambda x: x.masked_fill(x < 0, 0),
    "masked in place": lambda x: x.clone().masked_fill_(x <= 0, 0.0),
    "assigned": assigned,
    "module of another formula": ByAbs(),
    "function with a derivative of its own": ByFunction(),
}


def unit(image=0, map=1, row=2, col=2):
    return Units(*(torch.tensor([value]) for value in (image, map, row, col)))


def reference(rule, images):
    return project(Net(nn.ReLU()), images, "conv3", unit(), rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_a_relu(spelling, rule):
    images = photographs(1, (10, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        projections = project(Net(SPELLINGS[spelling]), images, "conv3", unit(), rule)
    torch.testing.assert_close(projections, reference(rule, images), rtol=0, atol=1e-14)
    linear = project(Net(lambda x: x), images, "conv3", unit(), rule)
    assert not torch.allclose(projections, linear)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("rule", RULES)
def test_a_compiled_module_is_a_relu(rule):
    images = photographs(1, (10, 10))
    net = Net(torch.jit.script(nn.ReLU()))
    for _ in range(4):  # as often as the compiler looks before it makes its code fast
        projections = project(net, images, "conv3", unit(), rule)
    torch.testing.assert_close(projections, reference(rule, images), rtol=0, atol=1e-14)
    fields = project_fields(net, images, "conv3", unit(), rule)
    torch.testing.assert_close(fields.values, projections[:, :, 2:9, 2:9], rtol=0, atol=1e-14)


def test_an_unrecognized_activation_is_warned_of_once_with_its_layer():
    class Named(Net):
        def forward(self, x):
            return self.conv3(self.part(self.conv1(x)))

    net = Named(None)
    net.part = nn.Sequential(net.conv2, Inline())
    with pytest.warns(UserWarning, match=r"layer part\.1: abs is no activation.*rule=guided.*write it as nn\.ReLU"):
        project(net, photographs(1, (10, 10)), "conv3", unit(row=1, col=1), "guided")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        project(net, photographs(1, (10, 10)), "conv3", unit(row=1, col=1), "gradient")  # nothing is replaced there


class Inline(nn.Module):
    """A ReLU and more in one module, so that its values do not show the ReLU."""

    def forward(self, x):
        return (x + x.abs()) / 2 + 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "activation",
    [
        lambda x: x.clamp(min=-0.5),
        lambda x: x * torch.sigmoid(x),
        lambda x: x * 2,
        lambda x: x * torch.where(x > 0, 1.0, 0.1).detach(),
        lambda x: x * x.detach().sign(),
    ],
)
def test_what_is_no_relu_keeps_its_derivative(activation, rule):
    """A clamp of other bounds, a gate, a factor, factors by sign: autograd's derivative by every rule."""
    images = photographs(1, (10, 10))
    net = Net(activation)
    pixels = images.clone().requires_grad_()
    expected = torch.autograd.grad(net(pixels)[0, 1, 2, 2], pixels)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.testing.assert_close(project(net, images, "conv3", unit(), rule), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("spelling", [spelling for spelling in SPELLINGS if "derivative" not in spelling])
def test_no_spelling_widens_what_a_unit_sees(spelling):
    """Without the function that Python does not see, because that may mix all positions."""
    assert fields(Net(SPELLINGS[spelling]), 10)["conv3"] == fields(Net(nn.ReLU()), 10)["conv3"]


BOUNDED = [
    nn.ReLU6(),
    nn.ReLU6(inplace=True),
    nn.Hardtanh(0, 2),
    lambda x: x.clamp(0, 6),
    lambda x: torch.clip(x, 0, 3),
]


def ends_in(activation, scale):
    """A net whose layer `top` ends in the activation."""

    class Top(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 5).double()
            self.conv.weight.data *= scale

        def forward(self, x):
            return activation(self.conv(x))

    return nn.Sequential(Top(), nn.Conv2d(4, 2, 1).double())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", BOUNDED)
def test_a_unit_at_its_upper_bound_is_projected(activation, rule):
    """The projection is the filter below the activation by every rule, over the field and over the image."""
    net, images = ends_in(activation, 60.0), photographs(2, (9, 9))
    before = net[0].conv(images)
    image, map_, row, col = (before > 10).nonzero()[0].tolist()
    picked = unit(image, map_, row, col)
    projections = project(net, images, "0", picked, rule)
    torch.testing.assert_close(projections[0, :, row : row + 5, col : col + 5], net[0].conv.weight[map_])
    fields = project_fields(net, images, "0", picked, rule)
    torch.testing.assert_close(fields.values[0], net[0].conv.weight[map_])


@pytest.mark.parametrize("squashing", [nn.Tanh(), nn.Sigmoid(), nn.Hardsigmoid()])
def test_a_unit_at_the_bound_of_a_gate_is_projected(squashing):
    net, images = ends_in(squashing, 2e3), photographs(1, (9, 9))
    row, col = (net[0].conv(images)[0, 1] > 50).nonzero()[0].tolist()
    for rule in RULES:
        projections = project(net, images, "0", unit(0, 1, row, col), rule)
        torch.testing.assert_close(projections[0, :, row : row + 5, col : col + 5], net[0].conv.weight[1])


def test_units_that_are_off_stay_blank_and_others_are_as_without_a_bound():
    images = photographs(2, (9, 9))
    bounded, free = ends_in(nn.ReLU6(), 1.0), ends_in(nn.ReLU(), 1.0)
    assert free[0](images).max() < 6
    for rule in RULES:
        for place in ((free[0](images) > 0).nonzero()[0], (free[0](images) == 0).nonzero()[0]):
            picked = unit(*place.tolist())
            assert torch.equal(project(bounded, images, "0", picked, rule), project(free, images, "0", picked, rule))


def test_guided_lets_the_signal_of_units_at_the_bound_pass_further_down():
    """ReLU6 where every unit is far above 6 does to guided's signal what a ReLU does; the gradient ends there."""
    images = photographs(1, (10, 10))
    nets = [Net(activation) for activation in (nn.ReLU6(), nn.ReLU())]
    for net in nets:
        net.conv1.bias.data.fill_(50), net.conv2.bias.data.fill_(500)
    guided = [project(net, images, "conv3", unit(), "guided") for net in nets]
    assert torch.equal(*guided) and guided[0].any()
    assert not project(nets[0], images, "conv3", unit(), "gradient").any()
