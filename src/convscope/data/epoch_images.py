"""The images on which the layers of a net in training are measured after an epoch, the same at every epoch."""

from typing import NamedTuple

import torch
from torch import Tensor

from convscope.data.images import Images
from convscope.data.masked_images import known_masks
from convscope.data.part_masks import PartMasks

EPOCH_IMAGES = 64


class EpochImages(NamedTuple):
    """n images of the validation set, evenly over the classes. image [n, 3, H, W] float32: the net's input.

    pixels [n, 3, H, W] uint8: the same, for display. label [n] int64: their classes. index [n] int64: their numbers.
    parts: the masks of the parts that they show, where the data knows them (drawn animals).
    """

    image: Tensor
    pixels: Tensor
    label: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no one needs
    parts: PartMasks | None = None


def epoch_images(images: Images, seed: int, count: int = EPOCH_IMAGES) -> EpochImages:
    """At most `count` images, chosen by seed, in an order by seed: neighbors are not of one class."""
    index = images.choose("val", min(count, images.size("val")), seed)
    index = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))]
    pixels, label = images.pixels("val", index), images.labels("val", index)
    return EpochImages(images.images("val", index), pixels, label, index, known_masks(images, "val", index))
