"""Contrast normalization as one pass over the memory of a GPU, forward and backward, in Triton.

Only models/lrn.py imports this file, where Triton is installed. A program has a few positions with all their maps, so
that the forward pass reads and writes every value once, and the backward pass reads maps and gradients once and writes
once: 5 values moved in all, as many as must be. The neighboring maps of a value come from the first-level cache, the
neighboring terms of a gradient from shared memory. The forward pass keeps nothing but its input.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE = 2048  # values of a program
MOST_MAPS = 4096
DTYPES = torch.float32, torch.float16, torch.bfloat16


class NormConstants(NamedTuple):
    """The constants of local_response_norm (models/lrn.py)."""

    size: int
    alpha: float
    beta: float
    k: float


class FusedNorm(torch.autograd.Function):
    """Normalized maps of x [N, C, H, W], of its dtype and layout; x as `fits` says, computed in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: NormConstants) -> Tensor:
        x = x.contiguous(memory_format=_layout(x))
        ctx.save_for_backward(x)
        ctx.window = window
        normalized = torch.empty_like(x)
        _launch(_forward, window, x, normalized)
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        gradient = torch.empty_like(x)
        _launch(_backward, ctx.window, x, grad.contiguous(memory_format=_layout(x)), gradient)
        return gradient, None


def fits(x: Tensor) -> bool:
    """Whether the kernels take these maps."""
    return x.dtype in DTYPES and x.dim() == 4 and x.numel() > 0 and x.shape[1] <= MOST_MAPS


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _launch(kernel: Any, window: NormConstants, *tensors: Tensor) -> None:
    """Runs a kernel over all positions of dense tensors of one shape and layout; the last one gets the result."""
    images, maps, height, width = tensors[0].shape
    area, block = height * width, triton.next_power_of_2(maps)
    last = _layout(tensors[0]) == torch.channels_last
    map_stride, position_stride = (1, maps) if last else (area, 1)
    positions = max(1, TILE // block)
    with torch.cuda.device_of(tensors[0]):  # the current device stays where tensors are on a CPU
        kernel[(triton.cdiv(images * area, positions),)](
            *tensors, images * area, area, maps, map_stride, position_stride, window.alpha, window.beta, window.k,
            BELOW=window.size // 2, ABOVE=(window.size - 1) // 2, ROOTS=window.beta == 0.75,
            POSITIONS=positions, MAPS=block,
        )  # fmt: skip


@triton.jit
def _places(count, area, maps, map_stride, position_stride, POSITIONS: tl.constexpr, MAPS: tl.constexpr):  # noqa: N803
    """The program's values: their offsets [POSITIONS, MAPS], the numbers of their maps, and which positions exist."""
    place = tl.program_id(0).to(tl.int64) * POSITIONS + tl.arange(0, POSITIONS)
    channel = tl.arange(0, MAPS)
    first = (place // area) * maps * area + (place % area) * position_stride
    return first[:, None] + channel[None, :] * map_stride, channel[None, :], (place < count)[:, None]


@triton.jit
def _scales(x, offsets, channel, exists, maps, map_stride, alpha, beta, k,
            BELOW: tl.constexpr, ABOVE: tl.constexpr, ROOTS: tl.constexpr):  # fmt: skip  # noqa: N803
    """d^-beta and 1 / d of each value, where d = k + alpha * sum of the squares in its window."""
    total = tl.full(offsets.shape, 0.0, tl.float32)
    for shift in tl.static_range(-BELOW, ABOVE + 1):
        near = exists & (channel + shift >= 0) & (channel + shift < maps)
        value = tl.load(x + offsets + shift * map_stride, near, 0.0).to(tl.float32)
        total += value * value
    d = total * alpha + k
    if ROOTS:
        root = tl.rsqrt(d)
        return root * tl.sqrt(root), root * root
    return tl.exp(-beta * tl.log(d)), 1.0 / d


@triton.jit
def _forward(x, normalized, count, area, maps, map_stride, position_stride, alpha, beta, k,
             BELOW: tl.constexpr, ABOVE: tl.constexpr, ROOTS: tl.constexpr,
             POSITIONS: tl.constexpr, MAPS: tl.constexpr):  # fmt: skip  # noqa: N803
    offsets, channel, exists = _places(count, area, maps, map_stride, position_stride, POSITIONS, MAPS)
    scale, _ = _scales(x, offsets, channel, exists, maps, map_stride, alpha, beta, k, BELOW, ABOVE, ROOTS)
    inside = exists & (channel < maps)
    value = tl.load(x + offsets, inside, 0.0).to(tl.float32)
    tl.store(normalized + offsets, value * scale, inside)


@triton.jit
def _backward(x, grad, gradient, count, area, maps, map_stride, position_stride, alpha, beta, k,
              BELOW: tl.constexpr, ABOVE: tl.constexpr, ROOTS: tl.constexpr,
              POSITIONS: tl.constexpr, MAPS: tl.constexpr):  # fmt: skip  # noqa: N803
    """Gradient_c = grad_c d_c^-beta - 2 alpha beta x_c * sum of grad_j x_j d_j^(-beta - 1), j whose window has c."""
    offsets, channel, exists = _places(count, area, maps, map_stride, position_stride, POSITIONS, MAPS)
    scale, inverse = _scales(x, offsets, channel, exists, maps, map_stride, alpha, beta, k, BELOW, ABOVE, ROOTS)
    inside = exists & (channel < maps)
    value = tl.load(x + offsets, inside, 0.0).to(tl.float32)
    direct = tl.load(grad + offsets, inside, 0.0).to(tl.float32) * scale
    term = direct * value * inverse
    total = term
    for shift in tl.static_range(-ABOVE, BELOW + 1):
        if shift != 0:
            near = (channel + shift >= 0) & (channel + shift < maps)
            source = tl.broadcast_to(tl.where(near, channel + shift, 0), offsets.shape)
            total += tl.where(near, tl.gather(term, source, 1), 0.0)
    tl.store(gradient + offsets, direct - 2 * alpha * beta * value * total, inside)
