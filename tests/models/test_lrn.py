import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.overrides import TorchFunctionMode

from convscope.models.lrn import LRN, local_response_norm

EXACT = {"rtol": 0, "atol": 1e-12}
CONSTANTS = [(5, 1e-2, 0.75, 2.0), (5, 1e-4, 0.75, 2.0), (3, 0.3, 0.75, 1.0), (9, 0.1, 0.75, 2.0)]  # square-root form
CONSTANTS += [(5, 0.2, 0.5, 2.0), (4, 0.2, 0.75, 1.0), (1, 0.5, 1.0, 1.0)]  # general form


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 5


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "alpha", "beta", "k"), CONSTANTS)
@pytest.mark.parametrize("channels", [2, 12, 130])
def test_forward_and_backward_equal_torchs_with_alpha_times_size(size, alpha, beta, k, channels, memory_format):
    x = maps(2, channels, 3, 4).contiguous(memory_format=memory_format).requires_grad_()
    down = maps(2, channels, 3, 4).flip(0)
    ours, theirs = LRN(size, alpha, beta, k)(x), nn.LocalResponseNorm(size, alpha * size, beta, k)(x)
    torch.testing.assert_close(ours, theirs, **EXACT)
    gradients = (torch.autograd.grad(normed, x, down)[0] for normed in (ours, theirs))
    torch.testing.assert_close(*gradients, **EXACT)


def test_the_formula_by_hand():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).view(1, 4, 1, 1)
    sums = torch.tensor([1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16], dtype=torch.float64)
    expected = x.flatten() / (2 + 0.1 * sums) ** 0.75
    torch.testing.assert_close(local_response_norm(x, 3, 0.1, 0.75, 2.0).flatten(), expected, **EXACT)


@pytest.mark.parametrize(("size", "alpha", "beta", "k"), CONSTANTS)
def test_gradcheck(size, alpha, beta, k):
    x = maps(2, 6, 2, 3).requires_grad_()
    assert gradcheck(lambda x: local_response_norm(x, size, alpha, beta, k), x)


def test_float32_stays_float32_and_its_layout_stays():
    x = maps(2, 16, 4, 4).float().contiguous(memory_format=torch.channels_last)
    ours = local_response_norm(x, 5, 1e-4, 0.75, 2.0)
    assert ours.dtype == torch.float32 and ours.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours, nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)(x), rtol=2e-6, atol=0)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("size", "alpha", "beta", "k"), [(5, 1e-4, 0.75, 2.0), (4, 1e-4, 0.75, 2.0)])
def test_sixteen_bits_hold_what_float64_says_up_to_their_last_rounding(size, alpha, beta, k, dtype, autocast):
    """Squares of values up to 3000 overflow float16, squares of small values underflow, and some gradients do too."""
    x = (maps(2, 12, 3, 4) * 200).to(dtype).requires_grad_()
    down, half_step = (maps(2, 12, 3, 4) * 0.01).flip(0).to(dtype), torch.finfo(dtype).eps / 2
    with torch.autocast("cpu", torch.bfloat16, autocast):
        ours = local_response_norm(x, size, alpha, beta, k)
    exact = x.detach().double().requires_grad_()
    theirs = nn.LocalResponseNorm(size, alpha * size, beta, k)(exact)
    assert ours.dtype == dtype and float(x.detach().abs().max()) > 300
    torch.testing.assert_close(ours.double(), theirs, rtol=half_step * 1.001, atol=0)
    gradient, expected = torch.autograd.grad(ours, x, down)[0], torch.autograd.grad(theirs, exact, down.double())[0]
    torch.testing.assert_close(gradient.double(), expected, rtol=half_step * 1.001, atol=1e-7)


def test_who_watches_torch_functions_sees_one_call():
    class Names(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            calls.append(func)
            return func(*args, **(kwargs or {}))

    calls: list = []
    x = maps(1, 6, 2, 2)
    with Names():
        watched = local_response_norm(x, 5, 1e-4, 0.75, 2.0)
    assert calls == [local_response_norm]
    torch.testing.assert_close(watched, local_response_norm(x, 5, 1e-4, 0.75, 2.0), **EXACT)


def test_a_backward_pass_without_a_gradient_for_x_is_no_error():
    weight = maps(6, 6, 1, 1).requires_grad_()
    normed = local_response_norm(maps(1, 6, 2, 2), 5, 1e-4, 0.75, 2.0)
    torch.nn.functional.conv2d(normed, weight).sum().backward()
    assert weight.grad is not None
