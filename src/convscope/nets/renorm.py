"""Filter renormalization (Zeiler & Fergus 2013, section 3): no convolution filter keeps an RMS above a fixed radius.

The paper's radius is 0.1 and assumes pixels of about -128 .. 128; it does not say when the filters are renormalized.
"""

import torch
from torch import Tensor


def filter_rms(weight: Tensor) -> Tensor:
    """Root mean square of every filter, [C], of weights [C, ...]."""
    return torch.linalg.vector_norm(weight.detach(), dim=_all_but_first(weight)) / _elements(weight) ** 0.5


@torch.no_grad()
def renormalize_filters_(weight: Tensor, radius: float) -> Tensor:
    """Scales every filter of weights [C, ...] whose RMS exceeds `radius` back to it, and leaves the others bit for bit.

    A scaled filter ends a few rounding errors below the radius, so that a second call finds nothing to do. Returns how
    many filters exceeded, a whole number in a tensor without dimensions: reading it would make a GPU wait.
    """
    norm = torch.linalg.vector_norm(weight, dim=_all_but_first(weight), keepdim=True)
    limit = radius * _elements(weight) ** 0.5
    exceeds = norm > limit
    below = limit * (1 - 16 * torch.finfo(weight.dtype).eps)
    weight.mul_(torch.where(exceeds, below / norm, 1.0))
    return exceeds.sum()


def _elements(weight: Tensor) -> int:
    return weight[0].numel()


def _all_but_first(weight: Tensor) -> tuple[int, ...]:
    return tuple(range(1, weight.dim()))
