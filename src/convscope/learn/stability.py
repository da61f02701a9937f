"""How much of what excites a layer's maps is new (section 4.1): one shown epoch against the one before."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from convscope.look.top9 import Top9


class Change(NamedTuple):
    """One layer at one shown epoch, each 0..1.

    stayed: share of all maps' top-9 images that were among them at the previous shown epoch. similarity: cosine of the
    strongest projection with its predecessor, mean over the shown maps. dead: share of all maps that no image excites.
    The first two are 0 at the first shown epoch.
    """

    stayed: float
    similarity: float
    dead: float


class Seen(NamedTuple):
    """One layer at one shown epoch: the record of all maps, and [m, 3, S, S] of the m shown ones the strongest
    projection.
    """

    top: Top9
    maps: list[int]
    strongest: torch.Tensor


def change(now: Seen, then: Seen | None) -> Change:
    """Compares a layer with itself at the previous shown epoch."""
    dead = float((now.top.score[:, 0] <= 0).float().mean())
    if then is None:
        return Change(0.0, 0.0, dead)
    same = (now.top.image[:, :, None] == then.top.image[:, None, :]) & (now.top.image[:, :, None] >= 0)  # [C, 9, 9]
    stayed = float(same.any(2).sum() / (now.top.image >= 0).sum().clamp(min=1))
    similar = F.cosine_similarity(now.strongest.flatten(1), then.strongest.flatten(1))
    return Change(stayed, float(similar.mean()), dead)
