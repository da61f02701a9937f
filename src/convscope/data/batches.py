"""Batches of stored images as the net sees them: cropped and mirrored, or whole images of any size."""

import os
from collections.abc import Iterable, Iterator, Sequence
from mmap import mmap
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from convscope.data.decode import Interpolation, Unreadable, content, fitted, resized, rgb
from convscope.data.sources import Files, Pixels, Split, image_name, targets
from convscope.data.stream.chunks import Chunks
from convscope.data.transforms import Cuts, center_cuts, color_shifts, random_cuts
from convscope.data.workers import NO_IMAGE, CurrentImages
from convscope.errors import UserError


class Batch(NamedTuple):
    """image [N,3,H,W] float32, channels_last: grey levels minus mean, times pixel_scale. label, index: [N] int64.

    targets: [N, K] int8 where images may show several classes (data/sources.py), else None. On the way from a loader to
    the device (data/centering.py) images are uint8 crops, not yet mirrored. cuts [N,3] int16: top and left edge in the
    stored image, and whether to mirror; None: the center. shift_bits [N,3] int32: the bits of the float32 color noise,
    because the precision plugins of Lightning round floats on the way; None without noise.
    """

    image: torch.Tensor
    label: torch.Tensor
    index: torch.Tensor  # type: ignore[assignment]  # hides tuple.index, which no batch needs
    targets: torch.Tensor | None = None
    cuts: torch.Tensor | None = None
    shift_bits: torch.Tensor | None = None


class CropSettings(NamedTuple):
    """How stored images are cropped: sides of the crop and of the stored image, sigma of the color noise.

    interpolation: of images that are resized to the stored size when they are loaded.
    """

    size: int
    stored: int
    color_noise: float = 0.0
    interpolation: Interpolation = "bilinear"


class LostImage(UserError):
    """Images that have become unreadable since training began. message: may be the traceback of a loading process."""

    def __init__(self, message: str):
        super().__init__(message.strip().splitlines()[-1].rpartition("LostImage: ")[2])


class PlaceInFile(NamedTuple):
    """Where the pixels of a memory map lie. offset, size: bytes before them, and of the whole file."""

    file: str
    offset: int
    shape: tuple[int, ...]
    size: int

    def opened(self) -> np.ndarray:
        """The memory map. Raises LostImage where another run has put other images in its place."""
        try:
            if os.path.getsize(self.file) == self.size:
                return np.memmap(self.file, np.uint8, "r", self.offset, self.shape)
        except (OSError, ValueError):  # removed or shortened at this moment
            pass
        raise LostImage(f"{self.file} was removed or built anew by another run; start this run again")


class Crops(Dataset[Batch]):
    """A data set that loads whole batches: `__getitems__` takes the keys of a batch and returns a Batch of uint8 crops.

    A key is (epoch, index), for the random crop of that epoch, or an index, for the center crop. current: where loading
    processes note the image that they read. place: of a memory map that a spawned process has yet to open.
    """

    current: CurrentImages | None = None
    place: PlaceInFile | None = None

    def __init__(self, split: Split, settings: CropSettings, seed: int = 0):
        self.split, self.settings, self.seed = split, settings, seed

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, key: int | tuple[int, int]) -> Batch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Any]) -> Batch:
        if self.place and isinstance(self.split, Pixels):
            self.split, self.place = self.split._replace(images=self.place.opened()), None
        margin, sigma = self.settings.stored - self.settings.size, self.settings.color_noise
        pairs = np.array(keys, np.int64)
        random = pairs.ndim == 2
        index = pairs[:, 1] if random else pairs
        cuts = random_cuts(pairs, self.seed, margin) if random else center_cuts(len(keys), margin)
        image = _cut(self.stored(index), self.settings.size, cuts)
        label = torch.from_numpy(self.split.labels[index].astype(np.int64, copy=False))
        flags = targets(self.split, index)
        shown_classes = None if flags is None else torch.from_numpy(flags)
        batch = Batch(image.permute(0, 3, 1, 2), label, torch.from_numpy(index), shown_classes)
        if not random:
            return batch
        shifts = color_shifts(pairs, self.seed, sigma).view(np.int32) if sigma else None
        places = torch.from_numpy(np.stack(cuts, 1).astype(np.int16))
        return batch._replace(cuts=places, shift_bits=None if shifts is None else torch.from_numpy(shifts))

    def pixels(self, index: np.ndarray) -> torch.Tensor:
        """[N,3,H,W] uint8: center crops of the stored images, for display."""
        start, size = (self.settings.stored - self.settings.size) // 2, self.settings.size
        images = [image[start : start + size, start : start + size] for image in self.stored(index)]
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

    def stored(self, index: np.ndarray) -> Sequence[np.ndarray]:
        """N images [R,R,3] uint8; from the memory map, else decoded and resized."""
        side, method = self.settings.stored, self.settings.interpolation
        return [fitted(image, side, method) for image in original_images(self.split, index.tolist(), self.current)]

    def image_name(self, position: int) -> str:
        return image_name(self.split, position)

    def __getstate__(self) -> dict[str, Any]:
        """For loading processes that are spawned: a memory map is sent as a place in its file, not as its pixels."""
        state = dict(self.__dict__)
        images = self.split.images if isinstance(self.split, Pixels) else None
        if isinstance(images, np.memmap) and isinstance(images.base, mmap) and images.flags.c_contiguous:
            state["place"] = PlaceInFile(str(images.filename), images.offset, images.shape, images.base.size())
            state["split"] = Pixels(np.empty(0, np.uint8), *self.split[1:])
        return state


def original_images(split: Split, positions: Sequence[int], current: CurrentImages | None) -> Iterator[np.ndarray]:
    """Images in this order before any resizing, [h,w,3] uint8. Raises LostImage where one can no longer be read."""
    for position in positions:
        if current:
            current.note(position)
        yield _original(split, position)
    if current:
        current.note(NO_IMAGE)


def _original(split: Split, position: int) -> np.ndarray:
    if isinstance(split, Pixels):
        return split.images[position]
    try:
        return split.image(position) if isinstance(split, Chunks) else rgb(content(split.paths[position]))
    except Unreadable as error:
        file = f"{image_name(split, position)} can no longer be read: " if isinstance(split, Files) else ""
        raise LostImage(f"{file}{error}") from None


def unchanged(batch: Any) -> Any:
    """The batch as it is, for a DataLoader's collate_fn: __getitems__ returns whole batches."""
    return batch


def _cut(images: Sequence[np.ndarray], size: int, cuts: Cuts) -> torch.Tensor:
    """[N,S,S,3] uint8: the crops, not yet mirrored."""
    crops = torch.empty(len(images), size, size, 3, dtype=torch.uint8)
    for crop, image, top, left in zip(crops.numpy(), images, cuts.top.tolist(), cuts.left.tolist(), strict=True):
        crop[...] = image[top : top + size, left : left + size]
    return crops


BATCH_BYTES = 2**25  # of images, about, that a loading process reads before it puts them in groups


class Rectangles(NamedTuple):
    """n images of one shape. images: at each size [n, 3, h, w] uint8 grey levels, its smallest side the size.

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
    """The groups in parts of at most `pixels` pixels of the largest size, or of one image."""
    for group in (group for batch in batches for group in batch):
        count = max(1, pixels // max(images[0, 0].numel() for images in group.images))
        parts = [images.split(count) for images in group.images]
        for *images, label, index in zip(*parts, group.label.split(count), group.index.split(count), strict=True):
            yield Rectangles(images, label, index)
