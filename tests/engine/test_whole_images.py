"""What cannot be done on a part of the maps is done over whole images, with the same values and the reason."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.engine.deconvnet import RULES, Units, project
from convscope.engine.projection import project_fields
from engine.specimens import OwnRectification, photographs, some_picks
from engine.test_operations import Between, difference, draw, obstacle
from engine.test_random_graphs import conv, jittered, random_net


def assigned(x):
    y = x * 1
    y[:, :2] = 0
    return y


def assigned_view(x):
    y = x * 1
    y[:, :4][:, 1] = x[:, 0]
    return y.sin()


def written(x):
    y = torch.zeros(len(x), 8, 10, 13, dtype=x.dtype)
    y[:, 2:].copy_(x[:, 2:].relu())
    return y


def attention(x):
    tokens = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(tokens, tokens, tokens).transpose(1, 2).unflatten(2, x.shape[2:])


def by_its_values(x):
    return x if x.mean() > 100 else x * 2


OBSTACLES = {
    "scaled_dot_product_attention": attention,
    "__setitem__": assigned,
    "assigned to a view": assigned_view,
    "copy_": written,
    "matmul": lambda x: (x.flatten(2) @ draw(130, 130)).unflatten(2, (10, 13)),
    "where": lambda x: torch.where(x > 0.2, x, 0.5 * x),
    "masked_fill": lambda x: x.masked_fill(x < -0.2, 0.3),
    "maximum": lambda x: torch.maximum(x, x.flip(1)),
    "abs": torch.abs,
    "roll": lambda x: x.roll(2, 2),
    "flip": lambda x: x.flip(3),
    "cumsum": lambda x: x.cumsum(3),
    "transposed maps": lambda x: x.transpose(2, 3),
    "index_select": lambda x: x.index_select(1, torch.tensor([3, 0, 1])),
    "by a tensor": lambda x: x[:, torch.tensor([3, 0, 1])],
    "by a mask": lambda x: x * (x > 0.3),
    "view_as": lambda x: x.contiguous().view_as(x.relu()),
    "ones_like": lambda x: torch.cat([x, torch.ones_like(x)], 1),
    "unbind": lambda x: torch.stack(x.unbind(1)[1:], 1),
    "narrow in place": lambda x: _narrowed(x),
    "unfold": lambda x: F.fold(F.unfold(x, 3, padding=1), (10, 13), 3, padding=1),
    "lp_pool2d": lambda x: F.lp_pool2d(x, 2, 3, 2),
    "max_pool2d with indices": lambda x: F.max_unpool2d(*F.max_pool2d(x[:, :, :, :12], 2, return_indices=True), 2),
    "std": lambda x: x.std(1, keepdim=True),
    "sorted": lambda x: x.sort(1).values,
    "einsum": lambda x: torch.einsum("nchw,cd->ndhw", x, draw(8, 5)),
}  # fmt: skip


def _narrowed(x):
    y = x * 1
    y.narrow(1, 0, 3).mul_(2)
    return y


@pytest.mark.filterwarnings("ignore:layer")
@pytest.mark.parametrize("name", OBSTACLES)
def test_obstacles_take_whole_images(name):
    net = Between(OBSTACLES[name])
    assert obstacle(net)
    for rule in RULES:
        assert difference(net, "end", rule=rule) < 1e-12
    assert obstacle(net, "start") is None and difference(net, "start") < 1e-12  # below the obstacle


class Rectified(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


BY_HAND = {
    "half": lambda x: (x + x.abs()) / 2,
    "less": lambda x: x - x.clamp(max=0),
    "sign": lambda x: x * (x.sign() + 1) / 2,
    "mask": lambda x: x * (x > 0).to(x),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "masked_fill": lambda x: x.masked_fill(x <= 0, 0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "function": OwnRectification.apply,
    "product": lambda x: x * torch.heaviside(x, torch.zeros_like(x)),
    "difference": lambda x: x + (-x).relu(),
    "softplus of it": lambda x: F.softplus(x, 1e6),
    "power": lambda x: (x + (x * x).sqrt()) / 2,
    "sigmoid": lambda x: x * torch.sigmoid(1e9 * x),
}


@pytest.mark.filterwarnings("ignore:layer")
@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("rule", RULES)
def test_a_relu_by_hand_in_a_module_is_a_relu(name, rule):
    """Modules whose outputs are those of a ReLU follow the rule in both engines."""
    net = Between(Rectified(BY_HAND[name]))
    assert difference(net, "end", rule=rule) < 1e-12


@pytest.mark.filterwarnings("ignore")
def test_compiled_modules():
    """A compiled ReLU is a step; other compiled modules are obstacles."""
    relu, other = Between(torch.jit.script(nn.ReLU())), Between(torch.jit.script(nn.Conv2d(8, 8, 3).double()))
    assert obstacle(relu) is None and obstacle(other)
    for rule in RULES:
        assert difference(relu, "end", rule=rule) < 1e-12 and difference(other, "end", rule=rule) < 1e-12


@pytest.mark.parametrize("name, words", {"abs": "abs is no activation", "masked_fill": "masked_fill is no"}.items())
def test_an_operation_that_may_be_an_activation_is_warned_of(name, words):
    net, images = Between(OBSTACLES[name]), photographs(1, (19, 26))
    with pytest.warns(UserWarning, match=words):
        project_fields(net, images, "end", Units(*(torch.tensor([0]),) * 4))


def test_a_way_that_values_decide_is_that_of_the_whole_image():
    net = Between(by_its_values)
    assert difference(net, "end") < 1e-12


def test_chunks_types_and_inputs_of_every_kind():
    net = random_net(["residual", "max pool", "halves", "rows"])
    layer, images = str(len(net) - 1), photographs(3, (25, 32))
    picks = some_picks(net, layer, images, 7)
    expected = project_fields(net, images, layer, picks, "guided").values
    net.train()
    net.requires_grad_(False)
    narrow = Units(*(index.to(torch.int32) for index in picks))
    for chunk, given_units, given_images in [
        (1, picks, images),
        (100, narrow, images.clone().requires_grad_()),
        (3, Units(*(index.to(torch.uint8) for index in picks)), images.to(memory_format=torch.channels_last)),
    ]:
        values = project_fields(net, given_images, layer, given_units, "guided", chunk).values
        assert not values.requires_grad
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
    with torch.inference_mode():
        inside = project_fields(net, images.clone(), layer, Units(*(index.clone() for index in picks)), "guided").values
    torch.testing.assert_close(inside, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
    assert net.training and all(module.training for module in net.modules())


@pytest.mark.parametrize("rule", RULES)
def test_single_precision(rule):
    net = random_net(["convolution", "residual", "max pool", "batch norm", "gate", "dense"], maps=8)
    layer, images = str(len(net) - 1), photographs(3, (41, 52))
    picks = some_picks(net, layer, images, 9)
    expected = project(net, images, layer, picks, rule)
    values = project_fields(net.float(), images.float(), layer, picks, rule).values
    assert values.dtype == torch.float32 and values.shape == expected.shape  # the gate has the whole image as field
    share = (values - expected).abs().flatten(1).amax(1) / expected.abs().flatten(1).amax(1).clamp(min=1e-9)
    assert share.max() < 2e-6


class PlainReLUs(nn.Module):
    """Branches with a module for each ReLU, as Captum's hooks need them."""

    def __init__(self):
        super().__init__()
        self.start, self.left, self.right, self.end = conv(3, 6, 5, 2), conv(6), conv(6), nn.Conv2d(12, 5, 3)
        self.relus, self.pool = nn.ModuleList(nn.ReLU() for _ in range(4)), nn.MaxPool2d(3, 2, 1)

    def forward(self, x):
        x = self.pool(self.relus[0](self.start(x)))
        both = torch.cat([self.relus[1](self.left(x)), self.relus[2](self.right(x) + x)], 1)
        return self.relus[3](self.end(both))


@pytest.mark.parametrize("rule, name", {"deconvnet": "NeuronDeconvolution", "guided": "NeuronGuidedBackprop"}.items())
def test_as_captum(rule, name):
    attribution = pytest.importorskip("captum.attr")
    net, images = jittered(PlainReLUs()), photographs(2, (35, 44))
    picks = some_picks(net, "relus.3", images, 6)
    values = project(net, images, "relus.3", picks, rule)
    method = getattr(attribution, name)(net, net.relus[3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, unit in enumerate(zip(*picks, strict=True)):
            image, *place = map(int, unit)
            expected = method.attribute(images[image : image + 1], tuple(place))[0]
            torch.testing.assert_close(values[index], expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
    assert difference(net, "relus.3", (35, 44), rule) < 1e-12
