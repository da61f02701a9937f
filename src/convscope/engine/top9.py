"""The nine images that excite each map most (section 4, Fig. 2), found in passing.

The search rides on forward passes that something else makes, keeps nine entries for each map and never an activation.
An image enters with its strongest position, the first one in reading order where several are equal. Entries are
ordered by score, equal ones by image index, so any split of the images over batches and processes gives the same
record. Where an activation ends at an upper bound (ReLU6), most of the best scores are equal to it: there images and
positions are ordered by the value before the activation.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

NINE = 9


class _Fields(NamedTuple):
    """Fields of a Top9 that are saved."""

    score: Tensor
    image: Tensor
    row: Tensor
    col: Tensor


class Top9(_Fields):
    """The strongest images of each of C maps, strongest first; each field [C, 9], of a finished search on the CPU.

    score: float32. image, row, col: int64, index of the image and position in the map (0, 0 in a linear layer). Where
    there are fewer than nine images, score is -inf and the other fields are -1. before: the values by which the entries
    are ordered, float32, which are not a field and not saved: values before an upper bound, else the scores.
    """

    def __new__(cls, score: Tensor, image: Tensor, row: Tensor, col: Tensor, before: Tensor | None = None) -> "Top9":
        top = super().__new__(cls, score, image, row, col)
        top._before = before
        return top

    def __repr__(self) -> str:
        maps, nine = self.score.shape[:1] or (1,), self.score.shape[-1:] or (1,)
        return f"Top9 of {maps[0]} maps: score, image, row, col [{maps[0]}, {nine[0]}]"

    _before: Tensor | None = None

    @property
    def before(self) -> Tensor:
        """Values by which the entries are ordered, [C, 9]."""
        return self.score if self._before is None else self._before

    @property
    def all_fields(self) -> tuple[Tensor, ...]:
        """score, image, row, col and before, as the constructor takes them."""
        return *self, self.before


def empty(maps: int, device: torch.device | None = None) -> Top9:
    """The record of no images, for this number of maps."""
    image, row, col = (torch.full((maps, NINE), -1, device=device) for _ in range(3))
    return Top9(torch.full((maps, NINE), -torch.inf, dtype=torch.float32, device=device), image, row, col)


def merge(first: Top9, second: Top9) -> Top9:
    """The record of the images of both records, which share no image; `second` may have any number of columns."""
    pairs = zip(first.all_fields, second.all_fields, strict=True)
    return first_entries(Top9(*(torch.cat(fields, 1) for fields in pairs)), NINE)


def entered(top: Top9, images: Top9) -> Top9:
    """The record with N more images, each with its strongest position in each map, [C, N].

    An image of index -1 stays out, and in a map where it is not a number. The host does not wait for the device.
    """
    enters = (images.image >= 0) & (images.before > -torch.inf)
    score, before = (field.where(enters, -torch.inf) for field in (images.score, images.before))
    image, row, col = (field.where(enters, -1) for field in images[1:])
    return merge(top, Top9(score, image, row, col, before))


def first_entries(top: Top9, count: int) -> Top9:
    """The first `count` entries of each map in their order, of a record [C, n] without any."""
    order = _keys(top).topk(min(count, top.image.shape[1])).indices
    return Top9(*(field.gather(1, order) for field in top.all_fields))


def _keys(top: Top9) -> Tensor:
    """int64 [C, n], larger for earlier entries: strength in the upper half, image index in the lower.

    The bits of float32 are ordered as its values are, those of numbers below zero backwards.
    """
    bits = (top.before.float() + 0.0).view(torch.int32)  # + 0.0: -0.0 equals 0.0
    return bits.where(bits >= 0, bits ^ 0x7FFFFFFF).long() * 2**32 - top.image


def to_arrays(tops: Mapping[str, Top9]) -> dict[str, Tensor]:
    """Fields of all layers under flat names, "<layer>.score" and so on, as in a top-9 file."""
    entries = ((f"{layer}.{name}", field) for layer, top in tops.items() for name, field in top._asdict().items())
    return {name: field.contiguous() for name, field in entries}
