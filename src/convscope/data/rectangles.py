"""Whole images, uncropped, at one or several sizes: what VGG's dense evaluation slides over (section 3.2)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from convscope.data.batches import originals
from convscope.data.decode import Interpolation, resized
from convscope.data.sources import Split
from convscope.data.watch import Watch

ROOM = 2**25  # bytes of images, about, that a loading process reads before it puts them in groups


class Rectangles(NamedTuple):
    """n images of one shape. images: at each size [n, 3, h, w] grey levels 0..255, its smallest side the size.

    label, index: [n] int64.
    """

    images: list[Tensor]
    label: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no batch needs


class UncroppedImages(Dataset[list[Rectangles]]):
    """`__getitems__` takes some indices and gives their images at these sides, uint8, in groups of one shape."""

    def __init__(
        self, split: Split, sides: Sequence[int], interpolation: Interpolation = "bilinear", watch: Watch | None = None
    ):
        self.split, self.sides, self.interpolation, self.watch = split, sides, interpolation, watch

    @property
    def at_once(self) -> int:
        """How many images of 4 x 3 take ROOM."""
        return max(1, ROOM // sum(4 * side**2 for side in self.sides))

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> list[Rectangles]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> list[Rectangles]:
        groups: dict[tuple[tuple[int, ...], ...], list[tuple[int, list[np.ndarray]]]] = {}
        for image, index in zip(originals(self.split, indices, self.watch), indices, strict=True):
            seen = [resized(image, side, self.interpolation) for side in self.sides]
            groups.setdefault(tuple(one.shape for one in seen), []).append((index, seen))
        return [self._together(group) for group in groups.values()]

    def _together(self, group: list[tuple[int, list[np.ndarray]]]) -> Rectangles:
        index = np.array([number for number, _ in group])
        sizes = zip(*(seen for _, seen in group), strict=True)
        images = [torch.from_numpy(np.stack(size)).permute(0, 3, 1, 2) for size in sizes]
        return Rectangles(images, torch.from_numpy(self.split.labels[index].astype(np.int64)), torch.from_numpy(index))


def in_parts(groups: Iterable[list[Rectangles]], pixels: int) -> Iterator[Rectangles]:
    """The groups as float32, in parts of at most so many pixels of the largest size, or of one image."""
    for group in (each for some in groups for each in some):
        most = max(1, pixels // max(one[0, 0].numel() for one in group.images))
        images = [one.split(most) for one in group.images]
        for *seen, label, index in zip(*images, group.label.split(most), group.index.split(most), strict=True):
            yield Rectangles([one.float() for one in seen], label, index)
