"""Filter renormalization (Zeiler & Fergus 2013, section 3): no convolution filter keeps an RMS above a fixed radius.

The paper's radius is 0.1 and assumes pixels of about -128 .. 128; it does not say when the filters are renormalized.
Norms and scales are of float32 at least, whatever the weights are stored in: in bfloat16 a norm alone is off by 1 %.
"""

import torch
from torch import Tensor

NARROW = (torch.float16, torch.bfloat16)


def filter_rms(weight: Tensor) -> Tensor:
    """Root mean square of every filter, [C], of weights [C, ...]; float32, or float64 of float64."""
    return _norm(weight.detach()).flatten() / _elements(weight) ** 0.5


@torch.no_grad()
def renormalize_filters_(weight: Tensor, radius: float) -> Tensor:
    """Scales every filter of weights [C, ...] whose RMS exceeds `radius` back to it, and leaves the others bit for bit.

    A scaled filter ends a few rounding errors below the radius, so that a second call finds nothing to do: those of
    float32, and in float16 and bfloat16 one step of their own, for there every weight is rounded towards zero. Returns
    how many filters exceeded, a whole number in a tensor without dimensions: reading it would make a GPU wait.
    """
    norm = _norm(weight)
    limit = radius * _elements(weight) ** 0.5
    exceeds = norm > limit
    scale = torch.where(exceeds, limit * (1 - 16 * torch.finfo(norm.dtype).eps) / norm, 1.0)
    if weight.dtype in NARROW:
        weight.copy_(torch.where(exceeds, _rounded_down(weight * scale, weight.dtype), weight))
    else:
        weight.mul_(scale)
    return exceeds.sum()


def _norm(weight: Tensor) -> Tensor:
    """[C, 1, ...]."""
    wide = torch.float32 if weight.dtype in NARROW else weight.dtype
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True, dtype=wide)


def _rounded_down(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The float32 values in a 16-bit dtype, rounded towards zero: the next number below, read as whole numbers, is the
    one before.
    """
    nearest = values.to(dtype)
    above = nearest.float().abs() > values.abs()
    return (nearest.view(torch.int16) - above.to(torch.int16)).view(dtype)


def _elements(weight: Tensor) -> int:
    return weight[0].numel()
