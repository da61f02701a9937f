"""From which epoch on a map is what it stays (section 4.1, Fig. 4), from the top-9 records of a training run."""

from collections.abc import Mapping

import torch
from torch import Tensor

from convscope.look.top9 import Top9

HALF = 0.5


def settled(shown: Mapping[int, Top9]) -> Tensor:
    """For each map of a layer that is alive at the end the epoch from which it is settled, int64 [m].

    shown: the layer's record at each shown epoch, at least two. A map has settled at the first shown epoch from which
    to the end at least half of the images that excite it were among those at the epoch shown before; one that has not
    is given the epoch after the last. The threshold is ours; the paper judges by eye.
    """
    epochs = sorted(shown)
    records = [shown[epoch] for epoch in epochs]
    pairs = zip(records, records[1:], strict=False)
    stays = torch.stack([stayed(before, after) >= HALF for before, after in pairs])  # [T - 1, C]
    to_the_end = stays.flip(0).to(torch.int64).cumprod(0).sum(0)  # how many comparisons in a row, counted from the end
    possible = torch.tensor([*epochs, epochs[-1] + 1])
    alive = records[-1].score[:, 0] > 0
    return possible[len(epochs) - to_the_end[alive]]


def stayed(before: Top9, after: Top9) -> Tensor:
    """Of the images that excite each map, the share that did so before, [C]; 0 for a map that none excites."""
    then, now = (record.image.masked_fill(record.score <= 0, -1) for record in (before, after))
    same = (now[:, :, None] == then[:, None, :]) & (now >= 0)[:, :, None]  # [C, 9, 9]
    return same.any(2).sum(1) / (now >= 0).sum(1).clamp(min=1)
