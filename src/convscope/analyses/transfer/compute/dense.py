"""Features of whole images over several sizes: averaged or stacked (VGG, Appendix B)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.analyses.evaluation.compute import as_input
from convscope.analyses.subject import Subject
from convscope.data.transforms import stored_size
from convscope.engine.dense import dense_features
from convscope.errors import UserError

DENSE = "dense"  # what results call these features
_PLANNED = (1.0, 1.5, 2.0)  # of the stored side: VGG's 256, 384 and 512 for its 224 pixels


class Scales(NamedTuple):
    """sides: of the whole images the smallest, in pixels. stack: features of all sizes one after another; else their
    mean.
    """

    sides: tuple[int, ...]
    stack: bool


def planned(sides: Sequence[int] | None, image_size: int, pool: str, stored: int | None = None) -> Scales:
    """The sides that are given, or VGG's in proportion to the net's own. Raises UserError for one below its input."""
    chosen = [round(part * (stored or stored_size(image_size))) for part in _PLANNED] if sides is None else list(sides)
    if small := [side for side in chosen if side < image_size]:
        raise UserError(f"transfer.scales has {small[0]}, and the net sees {image_size} x {image_size} pixels at once; "
                      f"scales are {image_size} or more")  # fmt: skip
    return Scales(tuple(chosen), pool == "stack")


class Dense:
    """The dense features of one net at these scales."""

    def __init__(self, subject: Subject, scales: Scales):
        size, self._scales, self._subject = subject.data.settings.image_size, scales, subject
        self._features = [dense_features(subject.net, size, side) for side in scales.sides]

    @property
    def size(self) -> int:
        """Values for an image."""
        side = self._scales.sides[0]
        one = self._features[0](torch.zeros(1, 3, side, side, device=self._subject.device)).shape[1]
        return one * len(self._scales.sides) if self._scales.stack else one

    def of(self, images: Sequence[Tensor]) -> Tensor:
        """[N, D] of whole images [N, 3, h, w], grey levels, at each size."""
        seen = [look(as_input(whole, self._subject)) for look, whole in zip(self._features, images, strict=True)]
        return torch.cat(seen, 1) if self._scales.stack else torch.stack(seen).mean(0)
