"""Contrast normalization across maps (Krizhevsky et al. 2012, section 3.3; the ZFNet paper gives no constants).

    b_c = a_c / (k + alpha * sum of a_j^2 over the `size` maps around c) ^ beta

alpha is the paper's. nn.LocalResponseNorm and Caffe divide alpha by size: theirs is `alpha * size` for the same net.
Maps in 16 bits are squared and summed in float32, because 300 squared is too large for float16. On a GPU one kernel of
Triton does it all (models/lrn_kernel.py), where Triton is at hand.
"""

import warnings
from functools import cache, reduce
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

IN_CACHE = 1 << 19  # values, 2 MiB of float32


def local_response_norm(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Normalized maps, of the shape and dtype of x [N, C, H, W].

    A TorchFunctionMode, such as the tracer's and the deconvnet's, gets it as one call of this name.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(local_response_norm, (x,), x, size, alpha, beta, k)
    if torch.compiler.is_compiling():
        return _in_plain_operations(x, size, alpha, beta, k)
    if x.is_cuda and (kernel := fused_kernel(x.device)) and kernel.fits(x):
        return kernel.FusedNorm.apply(x, kernel.NormConstants(size, alpha, beta, k))
    return plain_response_norm(x, size, alpha, beta, k)


def plain_response_norm(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """The same in several operations of torch, on any device."""
    if beta == 0.75 and size % 2:
        return _ThreeQuarters.apply(x, size // 2, alpha, k)
    return _in_plain_operations(x, size, alpha, beta, k)


def _in_plain_operations(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """For any constants, with torch's own gradient; a compiler makes one pass of it."""
    wide = x.to(_wide(x.dtype))
    squares = F.pad(wide * wide, (0, 0, 0, 0, size // 2, (size - 1) // 2))
    windows = reduce(torch.add, (squares[:, shift : shift + x.shape[1]] for shift in range(size)))
    d = k + alpha * windows
    root = d.rsqrt()
    return (wide * (root * root.sqrt() if beta == 0.75 else d.pow(-beta))).to(x.dtype)


@cache
def fused_kernel(device: torch.device) -> ModuleType | None:
    """The module models/lrn_kernel.py; None where it does not work: without Triton, a C compiler or a GPU for it.

    Tries the kernels once on each device, where they have to give the values of plain_response_norm.
    """
    try:
        from convscope.models import lrn_kernel

        with warnings.catch_warnings():  # of Triton's defaults
            warnings.simplefilter("ignore")
            _check(lrn_kernel, device)
        return lrn_kernel
    except torch.OutOfMemoryError:
        raise
    except Exception:  # Triton has no common class of errors, and some are the system's
        return None


def _check(kernel: ModuleType, device: torch.device) -> None:
    """Raises AssertionError where the kernels give other values or gradients than plain_response_norm."""
    with torch.inference_mode(False), torch.enable_grad():
        values = torch.linspace(-300, 300, 2 * 12 * 3 * 4, device=device).view(2, 12, 3, 4)
        for layout in (torch.contiguous_format, torch.channels_last):
            x = values.clone(memory_format=layout).requires_grad_()
            fused = kernel.FusedNorm.apply(x, kernel.NormConstants(5, 1e-4, 0.75, 2.0))
            plain = plain_response_norm(x, 5, 1e-4, 0.75, 2.0)
            gradients = (torch.autograd.grad(normed, x, values.flip(0))[0] for normed in (fused, plain))
            torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-4)
            torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-3)


class LRN(nn.Module):
    """Contrast normalization as a module, see local_response_norm."""

    def __init__(self, size: int, alpha: float, beta: float, k: float):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _ThreeQuarters(torch.autograd.Function):
    """Normalization for beta = 3/4 over an odd window: square roots and shifted additions are faster than powers.

    On a CPU a few images at a time, so that their maps stay in the cache.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, reach: int, alpha: float, k: float) -> Tensor:
        normalized, wide = torch.empty_like(x), _wide(x.dtype)
        root, scale = torch.empty_like(x, dtype=wide), torch.empty_like(x, dtype=wide)
        for part in _parts(x):
            torch.rsqrt(_window_sum(x[part].to(wide).square(), reach).mul_(alpha).add_(k), out=root[part])  # d^-1/2
            torch.mul(root[part].sqrt(), root[part], out=scale[part])  # d^-3/4
            torch.mul(x[part], scale[part], out=normalized[part])
        ctx.save_for_backward(x, root, scale)
        ctx.reach, ctx.alpha = reach, alpha
        return normalized

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        x, root, scale = ctx.saved_tensors
        direct = torch.empty_like(root)
        for part in _parts(x):
            values = x[part].to(root.dtype)
            torch.mul(grad[part], scale[part], out=direct[part])
            shared = _window_sum((direct[part] * values).mul_(root[part]).mul_(root[part]), ctx.reach)
            direct[part].addcmul_(shared, values, value=-1.5 * ctx.alpha)
        return direct.to(x.dtype), None, None, None


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which maps of this dtype are computed."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _parts(x: Tensor) -> list[slice]:
    """Parts of a batch that each fit into a CPU's cache; on a GPU the whole batch."""
    images = max(1, IN_CACHE // max(1, x[:1].numel())) if x.device.type == "cpu" else len(x)
    return [slice(at, at + images) for at in range(0, len(x), max(1, images))]


def _window_sum(values: Tensor, reach: int) -> Tensor:
    """For every map c the sum over the maps c - reach .. c + reach."""
    total = values.clone()
    for shift in range(1, min(reach, values.shape[1] - 1) + 1):
        total[:, shift:] += values[:, :-shift]
        total[:, :-shift] += values[:, shift:]
    return total
