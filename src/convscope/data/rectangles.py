"""Uncropped images at one or several sizes, for the dense evaluation of VGG (section 3.2)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from convscope.data.batches import original_images
from convscope.data.decode import Interpolation, resized
from convscope.data.sources import Split, image_name
from convscope.data.workers import CurrentImages

BATCH_BYTES = 2**25  # of images, about, that a loading process reads before it puts them in groups


class Rectangles(NamedTuple):
    """n images of one shape. images: at each size [n, 3, h, w] grey levels 0..255, its smallest side the size.

    label, index: [n] int64.
    """

    images: list[Tensor]
    label: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no batch needs


class UncroppedImages(Dataset[list[Rectangles]]):
    """`__getitems__` takes indices and gives their images at these smallest sides, uint8, in groups of one shape."""

    current: CurrentImages | None = None

    def __init__(self, split: Split, sides: Sequence[int], interpolation: Interpolation = "bilinear"):
        self.split, self.sides, self.interpolation = split, sides, interpolation

    @property
    def batch_size(self) -> int:
        """The number of images of 4 x 3 that take BATCH_BYTES."""
        return max(1, BATCH_BYTES // sum(4 * side**2 for side in self.sides))

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> list[Rectangles]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> list[Rectangles]:
        groups: dict[tuple[tuple[int, ...], ...], list[tuple[int, list[np.ndarray]]]] = {}
        for image, index in zip(original_images(self.split, indices, self.current), indices, strict=True):
            sizes = [resized(image, side, self.interpolation) for side in self.sides]
            groups.setdefault(tuple(resized_image.shape for resized_image in sizes), []).append((index, sizes))
        return [self._stacked(group) for group in groups.values()]

    def image_name(self, position: int) -> str:
        return image_name(self.split, position)

    def _stacked(self, group: list[tuple[int, list[np.ndarray]]]) -> Rectangles:
        index = np.array([number for number, _ in group])
        images_by_size = zip(*(sizes for _, sizes in group), strict=True)
        images = [torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) for images in images_by_size]
        return Rectangles(images, torch.from_numpy(self.split.labels[index].astype(np.int64)), torch.from_numpy(index))


def in_parts(batches: Iterable[list[Rectangles]], pixels: int) -> Iterator[Rectangles]:
    """The groups as float32, in parts of at most `pixels` pixels of the largest size, or of one image."""
    for group in (group for batch in batches for group in batch):
        count = max(1, pixels // max(images[0, 0].numel() for images in group.images))
        parts = [images.split(count) for images in group.images]
        for *images, label, index in zip(*parts, group.label.split(count), group.index.split(count), strict=True):
            yield Rectangles([part.float() for part in images], label, index)
