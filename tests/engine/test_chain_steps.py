import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.engine.chain_steps import PoolStep, read_steps
from convscope.engine.trace import trace


def only_step(module):
    (step,) = read_steps(trace(nn.Sequential(module), (3, 40, 40)), "0", "deconvnet")
    return step


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7, 11])
def test_down_to_the_pixels_is_the_transposed_convolution(kernel, stride):
    conv, signal = nn.Conv2d(3, 8, kernel, stride).double(), torch.randn(2, 8, 4, 5, dtype=torch.float64)
    below = only_step(conv).down(signal, None, (0, 0), False)
    torch.testing.assert_close(below, F.conv_transpose2d(signal, conv.weight, stride=stride))


@pytest.mark.parametrize("how", [{}, {"groups": 3}, {"dilation": (2, 3)}, {"groups": 3, "dilation": 2, "stride": 2}])
def test_down_from_a_single_map_is_the_transposed_convolution(how):
    conv = nn.Conv2d(3, 6, (3, 4), **how).double()
    maps, value = torch.tensor([0, 5, 2]), torch.tensor([1.0, -2, 3]).double()
    lit = F.one_hot(maps, 6)[:, :, None, None] * value[:, None, None, None]
    expected = F.conv_transpose2d(lit, conv.weight, stride=conv.stride, groups=conv.groups, dilation=conv.dilation)
    torch.testing.assert_close(only_step(conv).down_unit(lit, maps), expected)


@pytest.mark.parametrize("how", [{"padding": 2}, {"stride": 3}, {"padding": 1, "stride": 2, "dilation": 2}])
def test_down_over_whole_maps_is_the_gradient(how):
    conv = nn.Conv2d(3, 6, 5, **how).double()
    x = torch.randn(2, 3, 14, 17, dtype=torch.float64, requires_grad=True)
    above = conv(x)
    signal = torch.randn_like(above)
    (expected,) = torch.autograd.grad(above, x, signal)
    torch.testing.assert_close(only_step(conv).down(signal, None, (14, 17), True), expected)


def test_pool_adds_up_where_windows_share_a_switch():
    x = torch.zeros(1, 3, 5, 5)
    x[:, :, 2, 2] = 1
    pool = only_step(nn.MaxPool2d(3, 2))
    assert isinstance(pool, PoolStep)
    pooled, memory = pool.up(x, False)
    signal = torch.tensor([[1.0, 2], [3, 4]]).expand_as(pooled)
    down = pool.down(signal, memory, (5, 5), False)
    assert down[0, 0, 2, 2] == 10 and down.sum() == 30


@pytest.mark.parametrize("how", [{"padding": 1}, {"stride": 3}, {"padding": 1, "stride": 2}])
def test_an_average_pool_spreads_the_signal_as_its_gradient(how):
    pool, x = nn.AvgPool2d(3, **how), torch.randn(2, 3, 14, 17, dtype=torch.float64, requires_grad=True)
    above = pool(x)
    signal = torch.randn_like(above)
    (expected,) = torch.autograd.grad(above, x, signal)
    torch.testing.assert_close(only_step(pool).down(signal, None, (14, 17), True), expected)
    region = only_step(pool).down(signal, None, (0, 0), False)
    around = pool.padding
    assert region.shape[2:] == only_step(pool).window.below(signal.shape[2:])
    inside = region[:, :, around : around + 14, around : around + 17]
    torch.testing.assert_close(inside, expected[:, :, : inside.shape[2], : inside.shape[3]])


def test_an_unsupported_call_leaves_no_steps():
    fewer = (nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AvgPool2d(2, ceil_mode=True))
    for module in (*fewer, nn.Conv2d(3, 4, 4, padding="same"), nn.Sigmoid(), nn.GroupNorm(1, 3)):
        net = nn.Sequential(module, nn.ReLU())
        assert read_steps(trace(net, (3, 12, 12)), "1", "deconvnet") is None
