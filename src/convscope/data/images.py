"""The images that an analysis looks at, whatever they come from: what ImageData and DatasetImages have in common."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from convscope.data.batches import Batch, Rectangles

SplitName = Literal["train", "val", "test"]
Indices = Sequence[int] | Tensor


class ImageSettings(Protocol):
    """image_size, stored_size: sides of the net's input and of the images that it is cut from; stored: None for the
    default of the second. pixel_scale: multiplier on grey levels minus mean, one or one per color. cache_dir: where
    features may be stored.
    """

    @property
    def image_size(self) -> int: ...
    @property
    def stored_size(self) -> int: ...
    @property
    def stored(self) -> int | None: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def pixel_scale(self) -> float | tuple[float, ...]: ...
    @property
    def cache_dir(self) -> str: ...


class Images(Protocol):
    """The images of a data set, by split and by index in it. An index means the same image at all times.

    classes: names of the classes. missing: a line for each split without images. pooled: those of train and val that
    make up all images. mean: [3, R, R] grey levels that the net's input is centered on, for R = settings.stored_size.
    several: whether an image may show several classes. decoder: the library that decodes files, None without files.
    """

    @property
    def settings(self) -> ImageSettings: ...
    @property
    def classes(self) -> list[str]: ...
    @property
    def missing(self) -> dict[str, str]: ...
    @property
    def pooled(self) -> list[SplitName]: ...
    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Colors, height and width of the net's input."""
        ...

    @property
    def mean(self) -> Tensor: ...
    @property
    def several(self) -> bool: ...
    @property
    def decoder(self) -> str | None: ...

    def size(self, split: SplitName) -> int:
        """The number of images of the split."""
        ...

    def images(self, split: SplitName, indices: Indices) -> Tensor:
        """[n, C, H, W] float32: the images as the net sees them."""
        ...

    def pixels(self, split: SplitName, indices: Indices) -> Tensor:
        """[n, 3, H, W] uint8: the same images for display."""
        ...

    def labels(self, split: SplitName, indices: Indices) -> Tensor:
        """[n] int64."""
        ...

    def targets(self, split: SplitName, indices: Indices) -> Tensor:
        """[n, K] int8 of data with several classes: 1 shown, 0 difficult to see, -1 absent."""
        ...

    def names(self, split: SplitName, indices: Indices) -> list[str]:
        """Names of images, such as those of their files, or their indices."""
        ...

    def choose(self, split: SplitName, choice: int | Sequence[int], seed: int) -> Tensor:
        """Indices of a number of images, evenly over the classes and chosen by seed; or the listed indices, checked."""
        ...

    def read(self, paths: Sequence[Path]) -> tuple[Tensor, Tensor]:
        """Images of files, as `images` and as `pixels`. Raises UserError for a file that cannot be read."""
        ...

    def ordered_dataloader(self, split: SplitName, device: torch.device | str = "cpu") -> Iterable[Batch]:
        """Batches of the whole split in index order, images as the net sees them on the device.

        Where processes share a pass, those of this process.
        """
        ...

    def uncropped_dataloader(self, split: SplitName, indices: Tensor, side: int, batch_size: int) -> Iterable[Batch]:
        """Images [n, 3, side, side] of these indices in order, grey levels 0..255, mean not subtracted."""
        ...

    def rectangles(self, split: SplitName, indices: Tensor, sides: Sequence[int], pixels: int) -> Iterator[Rectangles]:
        """Uncropped images of these indices at each of these sizes, in groups of one shape."""
        ...
