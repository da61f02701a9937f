"""Features of whole images over several sizes: averaged or stacked (VGG, Appendix B)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.data.module import SplitName
from convscope.data.transforms import stored_size
from convscope.look.dense import dense_features
from convscope.problem import Problem
from convscope.study.evaluation import mean_image
from convscope.subject import Subject

DENSE = "dense"  # what results call these features
_PLANNED = (1.0, 1.5, 2.0)  # of the stored side: VGG's 256, 384 and 512 for its 224 pixels


class Scales(NamedTuple):
    """sides: of the whole images, in pixels. stack: features of all sides one after another; else their mean."""

    sides: tuple[int, ...]
    stack: bool


def planned(sides: Sequence[int] | None, image_size: int, pool: str) -> Scales:
    """The sizes that are given, or VGG's in proportion to the net's own. Raises Problem for one below the net's input.

    VGG takes the whole rectangle; here it is the middle square, as everywhere in this program.
    """
    chosen = [round(part * stored_size(image_size)) for part in _PLANNED] if sides is None else list(sides)
    if small := [side for side in chosen if side < image_size]:
        raise Problem(f"transfer.scales has {small[0]}, and the net sees {image_size} x {image_size} pixels at once; "
                      f"scales are {image_size} or more")  # fmt: skip
    return Scales(tuple(chosen), pool == "stack")


class Dense:
    """The dense features of one net at these scales."""

    def __init__(self, subject: Subject, scales: Scales):
        size, self._scales, self._subject = subject.data.settings.image_size, scales, subject
        self._features = [dense_features(subject.net, size, side) for side in scales.sides]
        self._means = [mean_image(subject.data.mean, side).to(subject.device) for side in scales.sides]
        self._scale = torch.as_tensor(subject.data.settings.pixel_scale).to(subject.device).view(-1, 1, 1)

    @property
    def size(self) -> int:
        """Values for an image."""
        side = self._scales.sides[0]
        one = self._features[0](self._means[0].new_zeros(1, 3, side, side)).shape[1]
        return one * len(self._scales.sides) if self._scales.stack else one

    def of(self, images: Sequence[Tensor]) -> Tensor:
        """[N, D] of whole images [N, 3, side, side], grey levels, of each side."""
        seen = []
        for look, mean, whole in zip(self._features, self._means, images, strict=True):
            shown = (whole.to(self._subject.device) - mean) * self._scale
            seen.append(look(shown.contiguous(memory_format=torch.channels_last)))
        return torch.cat(seen, 1) if self._scales.stack else torch.stack(seen).mean(0)


def whole_images(subject: Subject, split: SplitName, scales: Scales) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Indices [n] and the whole images at each scale, so many at a time as take the room of a batch of the net's own
    (with their mirror images).
    """
    settings, index = subject.data.settings, torch.arange(subject.data.size(split))
    count = max(1, settings.batch_size * settings.image_size**2 // (2 * max(scales.sides) ** 2))
    loaders = [subject.data.whole_dataloader(split, index, side, count) for side in scales.sides]
    for part, *batches in zip(index.split(count), *loaders, strict=True):
        yield part, [batch.image for batch in batches]
