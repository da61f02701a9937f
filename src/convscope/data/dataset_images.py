"""The images of a map-style data set of the user's own, as analyses look at them (data/images.py)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from convscope.data.batches import Batch, Rectangles
from convscope.data.centering import on_device
from convscope.data.images import Indices, SplitName
from convscope.data.items import Item, class_names_of, colors_of, read_item
from convscope.data.sources import chosen
from convscope.errors import UserError
from convscope.models.library_metadata import Colors


@dataclass(frozen=True)
class TensorSettings:
    """The settings of images that are tensors already (data/images.py)."""

    shape: tuple[int, int, int]
    batch_size: int = 64
    pixel_scale: float | tuple[float, ...] = 1.0
    cache_dir: str = "~/.cache/convscope"
    stored: int | None = None

    @property
    def image_size(self) -> int:
        """The side. Raises UserError for images that are not square."""
        _, height, width = self.shape
        if height != width:
            raise UserError(f"images of {height} x {width} pixels; this analysis takes square images: crop them")
        return height

    @property
    def stored_size(self) -> int:
        return self.image_size


class DatasetImages:
    """The images of map-style data sets: dataset[index] is the image as the net takes it, with a label or without.

    splits: by name; "val" is what analyses look at, "train" what they compare with. classes: names of the classes,
    None for those of the data set, or numbers. colors: mean and deviation by which the images were normalized, None for
    those of the data set's transforms; where there are none either, every image is stretched for display, and
    `stretched` is true. image_shape: [C, H, W], None for that of the first image. Raises UserError for a data set
    without images.
    """

    def __init__(
        self,
        splits: Mapping[SplitName, Any],
        classes: Sequence[str] | None = None,
        colors: Colors | None = None,
        batch_size: int = 64,
        image_shape: tuple[int, int, int] | None = None,
    ):
        self._splits, self._classes, self._labels = dict(splits), classes, dict[SplitName, np.ndarray | None]()
        name, first = next(iter(self._splits.items()))
        if empty := [split for split, dataset in self._splits.items() if not len(dataset)]:
            raise UserError(f"the data set of {empty[0]} is empty")
        shape = image_shape or tuple(self._item(name, 0).image.shape)
        self.image_shape: tuple[int, int, int] = shape  # type: ignore[assignment]
        self.colors = colors or colors_of(first)
        self.stretched = self.colors is None
        scale = tuple(1 / (255 * std) for std in self.colors.std) if self.colors else 1 / 255
        self.settings = TensorSettings(self.image_shape, batch_size, scale)
        others: list[SplitName] = ["train", "val", "test"]
        self.missing: dict[str, str] = {
            split: f"there are no {split} images" for split in others if split not in self._splits
        }
        self.pooled: list[SplitName] = [split for split in others[:2] if split in self._splits]
        self.several, self.decoder = False, None

    @cached_property
    def classes(self) -> list[str]:
        """The names given, or those of the data set; else numbers."""
        if self._classes is not None:
            return list(self._classes)
        if names := next(filter(None, map(class_names_of, self._splits.values())), None):
            return names
        count = 1 + max((int(self.all_labels(split).max()) for split in self._splits), default=0)
        return [f"class {number}" for number in range(count)]

    def name_classes(self, names: Sequence[str]) -> None:
        """Gives the classes these names, before any of them is used."""
        self._classes = list(names)

    @property
    def mean(self) -> Tensor:
        """[3, H, W] grey levels: the color that the images were centered on."""
        colors = torch.tensor(self.colors.mean if self.colors else [0.5]) * 255
        return colors.expand(3).view(3, 1, 1).expand(3, *self.image_shape[1:]).contiguous()

    def size(self, split: SplitName) -> int:
        return len(self._dataset(split))

    def images(self, split: SplitName, indices: Indices) -> Tensor:
        """[n, C, H, W] float32: the images as the net sees them. Raises UserError for images of another shape."""
        items = [self._item(split, index) for index in torch.as_tensor(indices).tolist()]
        for item in items:
            if item.image.shape != self.image_shape:
                shapes = [" x ".join(map(str, shape)) for shape in (item.image.shape, self.image_shape)]
                raise UserError(f"an image of {shapes[0]} beside images of {shapes[1]}; resize them to one size")
        return torch.stack([item.image.float() for item in items]) if items else torch.empty(0, *self.image_shape)

    def pixels(self, split: SplitName, indices: Indices) -> Tensor:
        """[n, 3, H, W] uint8: the same images for display."""
        return self.display(self.images(split, indices))

    def display(self, images: Tensor) -> Tensor:
        """Pixels [n, 3, H, W] uint8 of images [n, C, H, W] as the net sees them."""
        images = images.float().cpu()
        if self.colors is None:
            low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
            levels = (images - low) / (high - low).clamp(min=1e-12)
        else:
            mean, std = (torch.tensor(values).view(-1, 1, 1) for values in self.colors)
            levels = images * std + mean
        return (255 * levels).round().clamp(0, 255).byte().expand(-1, 3, -1, -1).contiguous()

    def labels(self, split: SplitName, indices: Indices) -> Tensor:
        """[n] int64; 0 for images without labels."""
        positions = torch.as_tensor(indices).tolist()
        if (listed := self._listed_labels(split)) is not None:
            return torch.from_numpy(listed[np.array(positions, np.int64)])
        return torch.tensor([self._item(split, index).label or 0 for index in positions], dtype=torch.int64)

    def all_labels(self, split: SplitName) -> np.ndarray:
        """[N] int64, from the data set's list of targets, or by reading every item once."""
        labels = self._listed_labels(split)
        if labels is None:
            labels = np.array([self._item(split, index).label or 0 for index in range(self.size(split))], np.int64)
            self._labels[split] = labels
        return labels

    def targets(self, split: SplitName, indices: Indices) -> NoReturn:
        raise UserError("images of one class have labels, and no targets of several classes")

    def names(self, split: SplitName, indices: Indices) -> list[str]:
        """Names of the files where the data set lists them as torchvision's do, else indices."""
        files = listed_attribute(self._dataset(split), "samples") or listed_attribute(self._dataset(split), "imgs")
        positions = torch.as_tensor(indices).tolist()
        return [Path(files[position][0]).name if files else str(position) for position in positions]

    def choose(self, split: SplitName, choice: int | Sequence[int], seed: int) -> Tensor:
        """Indices of a number of images, evenly over the classes and chosen by seed; or the listed indices, checked."""
        return torch.from_numpy(chosen(self.all_labels(split), choice, seed, split))

    def ordered_dataloader(self, split: SplitName, device: torch.device | str = "cpu") -> Iterator[Batch]:
        """Batches of the whole split in index order, on the device."""
        for index in torch.arange(self.size(split)).split(self.settings.batch_size):
            yield on_device(self._batch(split, index), device)

    def uncropped_dataloader(self, split: SplitName, indices: Tensor, side: int, batch_size: int) -> Iterator[Batch]:
        """Images [n, C, H, W] of these indices, grey levels that are no whole numbers: exactly those that come to the
        net's input. Raises UserError for another side than that of the images.
        """
        if side != min(self.image_shape[1:]):
            size = " x ".join(map(str, self.image_shape[1:]))
            raise UserError(f"these images have one size, {size} pixels, and none of {side} to cut crops from")
        scale = torch.as_tensor(self.settings.pixel_scale).view(-1, 1, 1)
        for index in indices.split(batch_size):
            batch = self._batch(split, index)
            yield batch._replace(image=batch.image / scale + self.mean[: self.image_shape[0]])

    def rectangles(self, split: SplitName, indices: Tensor, sides: Sequence[int], pixels: int) -> Iterator[Rectangles]:
        raise UserError(f"these images have one size, {self.settings.image_size} pixels; there are no other scales")

    def read(self, paths: Sequence[Path]) -> NoReturn:
        raise UserError("a csv names image files, and these images are tensors; pass the folder of the files as images")

    def _batch(self, split: SplitName, index: Tensor) -> Batch:
        return Batch(self.images(split, index), self.labels(split, index), index)

    def _dataset(self, split: SplitName) -> Any:
        if split not in self._splits:
            advice = "; pass train=<images> to convscope.subject" if split == "train" else ""
            raise UserError(f"{self.missing[split]}{advice}")
        return self._splits[split]

    def _item(self, split: SplitName, index: int) -> Item:
        return read_item(self._dataset(split)[index])

    def _listed_labels(self, split: SplitName) -> np.ndarray | None:
        """[N] int64, from the data set's list of targets, one for each item, or read before; None without."""
        if split not in self._labels:
            self._labels[split] = _whole_numbers(listed_attribute(self._dataset(split), "targets"), self.size(split))
        return self._labels[split]


def _whole_numbers(values: Any, count: int) -> np.ndarray | None:
    """The values as [count] int64; None for anything else, such as several labels for each image."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        return None
    return array.astype(np.int64) if array.shape == (count,) and array.dtype.kind in "iu" else None


def listed_attribute(dataset: Any, name: str) -> Any:
    """A list with an entry for each item, as torchvision's data sets have it, also below a wrapper or a torch Subset.

    None where there is none.
    """
    indices, inner = getattr(dataset, "indices", None), getattr(dataset, "dataset", None)
    if inner is None or (indices is None and not _same_length(dataset, inner)):
        return getattr(dataset, name, None)
    if indices is None:
        value = getattr(dataset, name, None)
        return listed_attribute(inner, name) if value is None else value
    values = listed_attribute(inner, name)
    return None if values is None else [values[index] for index in indices]


def _same_length(first: Any, second: Any) -> bool:
    return hasattr(second, "__len__") and len(first) == len(second)
