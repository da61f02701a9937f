"""Contrast normalization across maps (Krizhevsky et al. 2012, section 3.3; the ZFNet paper gives no constants).

    b_c = a_c / (k + alpha * sum of a_j^2 over the `size` maps around c) ^ beta

alpha is the paper's. nn.LocalResponseNorm and Caffe divide theirs by size: for the same net theirs is `alpha * size`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary


def local_response_norm(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Normalized maps, shape of x [N, C, H, W].

    One call of this name for whoever watches torch functions, such as the tracer and the deconvnet.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(local_response_norm, (x,), x, size, alpha, beta, k)
    if beta == 0.75 and size % 2:
        return _ThreeQuarters.apply(x, size // 2, alpha, k)
    below, above = size // 2, (size - 1) // 2
    squares = F.pad(x * x, (0, 0, 0, 0, below, above))
    windows = squares.unfold(1, size, 1).sum(-1)
    return x * (windows * alpha + k).pow(-beta)


class LRN(nn.Module):
    """local_response_norm as a layer."""

    def __init__(self, size: int, alpha: float, beta: float, k: float):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _ThreeQuarters(torch.autograd.Function):
    """beta = 3/4 over an odd window: square roots in place of a power, shifted additions in place of a 3-d pooling."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, reach: int, alpha: float, k: float) -> Tensor:
        root = _window_sum(x * x, reach).mul_(alpha).add_(k).rsqrt_()  # d^-1/2
        scale = root.sqrt().mul_(root)  # d^-3/4
        ctx.save_for_backward(x, root, scale)
        ctx.reach, ctx.alpha = reach, alpha
        return x * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        x, root, scale = ctx.saved_tensors
        direct = grad * scale
        shared = _window_sum((direct * x).mul_(root).mul_(root), ctx.reach)
        return direct.sub_(shared.mul_(x).mul_(1.5 * ctx.alpha)), None, None, None


def _window_sum(values: Tensor, reach: int) -> Tensor:
    """Sum over the maps c - reach .. c + reach."""
    total = values.clone()
    for shift in range(1, min(reach, values.shape[1] - 1) + 1):
        total[:, shift:] += values[:, :-shift]
        total[:, :-shift] += values[:, shift:]
    return total
