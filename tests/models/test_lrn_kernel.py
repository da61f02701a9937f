"""The kernels of models/lrn_kernel.py, run by Triton's interpreter on the CPU."""

import importlib
import sys

import pytest
import torch
from torch import nn

import convscope.models
from convscope.models.lrn import _check, fused_kernel, local_response_norm

pytest.importorskip("triton")

NAME = "convscope.models.lrn_kernel"
CONSTANTS = [(5, 1e-2, 0.75, 2.0), (4, 0.2, 0.75, 1.0), (1, 0.5, 1.0, 1.0), (9, 0.1, 0.5, 2.0)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture
def interpreted(monkeypatch):
    """The kernels as plain Python, which Triton decides when their file is imported."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    yield importlib.import_module(NAME)
    del sys.modules[NAME], convscope.models.lrn_kernel


def maps(*shape, scale=5.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * scale


def by_hand(x, size, alpha, beta, k):
    """The formula, map by map, in float64."""
    x = x.double()
    normed = torch.empty_like(x)
    for c in range(x.shape[1]):
        window = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        normed[:, c] = x[:, c] / (k + alpha * (window**2).sum(1)) ** beta
    return normed


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 12, 70])
@pytest.mark.parametrize("constants", CONSTANTS)
def test_values_and_gradients_are_those_of_the_formula(interpreted, constants, channels, layout):
    x = maps(3, channels, 5, 7).contiguous(memory_format=layout).requires_grad_()
    down = maps(3, channels, 5, 7).flip(0)  # of the other layout
    normed = interpreted.FusedNorm.apply(x, interpreted.NormConstants(*constants))
    gradient = torch.autograd.grad(normed, x, down)[0]
    exact = x.detach().double().requires_grad_()
    expected = by_hand(exact, *constants)
    assert normed.dtype == torch.float32 and normed.stride() == x.stride() == gradient.stride()
    torch.testing.assert_close(normed.double(), expected, rtol=1e-5, atol=1e-7)
    expected = torch.autograd.grad(expected, exact, down.double())[0]
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_computed_in_float32(interpreted, dtype):
    """Squares of values up to 3000 overflow float16. The interpreter cuts bfloat16 off where a GPU rounds."""
    x, down = maps(2, 12, 3, 4, scale=1000).to(dtype).requires_grad_(), maps(2, 12, 3, 4).flip(0).to(dtype)
    normed = interpreted.FusedNorm.apply(x, interpreted.NormConstants(5, 1e-4, 0.75, 2.0))
    exact = x.detach().double().requires_grad_()
    expected = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)(exact)
    rounding = torch.finfo(dtype).eps / (2 if dtype == torch.float16 else 1) * 1.001
    assert normed.dtype == dtype and float(x.detach().abs().max()) > 300
    torch.testing.assert_close(normed.double(), expected, rtol=rounding, atol=0)
    gradient = torch.autograd.grad(normed, x, down)[0]
    expected = torch.autograd.grad(expected, exact, down.double())[0]
    torch.testing.assert_close(gradient.double(), expected, rtol=rounding, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5, 1, 1), (2, 3, 1, 9), (4, 1, 1, 1), (1, 1500, 2, 1)])
def test_maps_of_one_row_and_of_many_channels(interpreted, shape):
    for layout in LAYOUTS:
        x = maps(*shape).contiguous(memory_format=layout)
        normed = interpreted.FusedNorm.apply(x, interpreted.NormConstants(5, 0.1, 0.75, 2.0))
        torch.testing.assert_close(normed.double(), by_hand(x, 5, 0.1, 0.75, 2.0), rtol=1e-5, atol=1e-7)


def test_parts_of_a_tensor_are_taken_as_they_lie(interpreted):
    x = maps(4, 12, 6, 6)[::2, 2:9, 1:, :4]
    normed = interpreted.FusedNorm.apply(x, interpreted.NormConstants(5, 0.1, 0.75, 2.0))
    torch.testing.assert_close(normed.double(), by_hand(x, 5, 0.1, 0.75, 2.0), rtol=1e-5, atol=1e-7)


def test_what_the_kernels_do_not_take_goes_the_plain_way(interpreted):
    whole = torch.zeros(1, 4, 2, 2)
    assert interpreted.fits(whole) and interpreted.fits(whole.half())
    assert not any(map(interpreted.fits, [whole.double(), whole[0], whole[:0], torch.zeros(1, 5000, 1, 1)]))


def test_kernels_of_other_values_are_not_used(interpreted, monkeypatch):
    cpu = torch.device("cpu")
    _check(interpreted, cpu)
    assert fused_kernel.__wrapped__(cpu) is interpreted
    monkeypatch.setattr(interpreted, "NormConstants", lambda size, alpha, beta, k: (size, alpha / size, beta, k))
    assert fused_kernel.__wrapped__(cpu) is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Triton's defaults
def test_the_kernels_compile_for_a_card_and_move_as_few_bytes_as_must_be(tmp_path, monkeypatch):
    """One load of each gradient and one store of each result; maps are loaded once from memory, then from the cache."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from convscope.models.lrn_kernel import _backward, _forward

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    constants = {"map_stride": 1, "BELOW": 2, "ABOVE": 2, "ROOTS": True, "POSITIONS": 16, "MAPS": 128}
    floats = dict.fromkeys(("alpha", "beta", "k"), "fp32")
    for kernel in (_forward, _backward):
        tensors = dict.fromkeys(("x", "grad", "normalized", "gradient"), "*fp32")
        types = {name: (tensors | floats | dict.fromkeys(constants, "constexpr")).get(name, "i32")
                 for name in kernel.arg_names}  # fmt: skip
        aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(types) if types[name][0] in "*i"}
        values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
        source = ASTSource(fn=kernel, signature=types, constexprs=values, attrs=aligned)
        compiled = compile(source, target=GPUTarget("cuda", 90, 32))
        stores = compiled.asm["ttgir"].count("tt.store")
        loads = compiled.asm["ttgir"].count("tt.load")
        assert stores == 1 and loads == (5 + 1 if kernel is _forward else 5 + 1 + 1)
        assert len(compiled.asm["cubin"]) > 1000


def test_without_a_device_of_triton_nothing_is_said(recwarn, capfd):
    """Here Triton would compile for a GPU, and there is none for tensors on the CPU."""
    assert fused_kernel.__wrapped__(torch.device("cpu")) is None
    assert not recwarn.list and capfd.readouterr() == ("", "")


def test_a_compiler_sees_plain_operations_of_the_same_values():
    @torch.compile(backend="eager", fullgraph=True)
    def compiled(x):
        return local_response_norm(x, 5, 0.1, 0.75, 2.0)

    x = maps(2, 12, 3, 4).requires_grad_()
    ours, plain = compiled(x), local_response_norm(x, 5, 0.1, 0.75, 2.0)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    gradients = (torch.autograd.grad(normed, x, plain.detach())[0] for normed in (ours, plain))
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)
