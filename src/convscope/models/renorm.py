"""Filter renormalization (Zeiler & Fergus 2013, section 3): filters with an RMS above a radius are scaled back to it.

The paper's radius is 0.1 and assumes pixels of about -128 .. 128; it does not say when the filters are renormalized.
Norms and scales are computed in float32 or wider, because in bfloat16 a norm alone is off by 1 %.
"""

import torch
from torch import Tensor

NARROW = (torch.float16, torch.bfloat16)


def filter_rms(weight: Tensor) -> Tensor:
    """Root mean square of every filter of weights [C, ...]: float32 [C], or float64 for weights in float64."""
    return _norm(weight.detach()).flatten() / _elements(weight) ** 0.5


@torch.no_grad()
def renormalize_filters_(weight: Tensor, radius: float) -> Tensor:
    """Scales every filter of weights [C, ...] with an RMS above `radius` back to it; the others stay bit for bit.

    A scaled filter ends slightly below the radius, so that a second call changes nothing: a few rounding errors of
    float32, and in float16 and bfloat16 every weight is rounded towards zero. Returns the number of scaled filters as
    a tensor without dimensions, because reading the number would make a GPU wait.
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
    """Euclidean norm of every filter, [C, 1, ...]."""
    wide = torch.float32 if weight.dtype in NARROW else weight.dtype
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True, dtype=wide)


def _rounded_down(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The float32 values in a 16-bit dtype, rounded towards zero.

    The bits of a float, read as a whole number, grow with its magnitude, so minus one is the next float towards zero.
    """
    nearest = values.to(dtype)
    above = nearest.float().abs() > values.abs()
    return (nearest.view(torch.int16) - above.to(torch.int16)).view(dtype)


def _elements(weight: Tensor) -> int:
    return weight[0].numel()
