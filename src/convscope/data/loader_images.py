"""The images of a loader of the user's own: taken again from its data set by index, or kept from its batches."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from convscope.data.classnames import imagenet
from convscope.data.dataset_images import DatasetImages
from convscope.data.items import Item, batch_images, batch_labels, class_names_of, read_item
from convscope.data.loader_order import LoaderOrder, undisturbed_random
from convscope.data.sampler import Share
from convscope.errors import UserError
from convscope.models.library_metadata import Colors

KEPT_BYTES = 2**28  # of images read again, from one epoch to the next
TRIED = 8  # images that are read again to see whether they are the same
TOLERANCE = 1e-3  # of an image that is read again


class ItemStore:
    """Items by index, those of the strongest images; others are read again from the data set, if it is `rereadable`."""

    def __init__(self, dataset: Any, count: int):
        self.dataset, self.count, self.rereadable = dataset, count, True
        self.items: dict[int, Item] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        if index not in self.items:
            if not self.rereadable:
                raise UserError(f"image {index} was not kept")
            self.items[index] = read_item(self.dataset[index])
        image, label = self.items[index]
        return Item(image.float(), label)

    def add(self, index: int, image: Tensor, label: int | None) -> None:
        self.items[index] = Item(image, label)

    def keep_only(self, indices: set[int]) -> None:
        self.items = {index: item for index, item in self.items.items() if index in indices}

    def trim(self) -> None:
        """Forgets the oldest items that were read again, beyond KEPT_BYTES."""
        size = 0
        for index, item in reversed(self.items.copy().items()):
            size += item.image.nbytes
            if self.rereadable and size > KEPT_BYTES:
                del self.items[index]


class LoaderImages:
    """The images of a loader, by index in its data set, or by their place in the pass where they have no index.

    image_shape: [C, H, W] of the images of a batch. colors: None for those of the data set's transforms. Whether the
    data set gives an image of a batch again is tried at the first batch; where it does not (random augmentation, images
    made in the loader or on the device), the images of the strongest units are kept from the batches.
    """

    def __init__(
        self,
        loader: Any,
        image_shape: tuple[int, int, int],
        colors: Colors | None = None,
        classes: Sequence[str] | None = None,
        process: Share = Share(),  # noqa: B008
    ):
        self.loader, self.order, self.process = loader, LoaderOrder(loader), process
        self.rereadable: bool | None = None if self.order.dataset is not None else False
        self.number = self.count = 0  # of batches, and of images, in this pass
        dataset: Any = getattr(self.order.loader, "dataset", None)
        self.store = ItemStore(dataset, len(dataset) if self.rereadable is None else 2**31)
        ids = class_names_of(dataset) or []  # of folders, which may have ImageNet's ids
        names = list(classes or [imagenet().get(name, name) for name in ids])
        self.images = DatasetImages({"val": self.store}, names, colors, image_shape=image_shape)

    def begin(self) -> None:
        """Begins a pass."""
        self.number = self.count = 0
        self.order.begin()

    def indices(self, batch: Any) -> Tensor:
        """Indices [N] of the images of the next batch."""
        images = batch_images(batch)
        indices = self.order.indices(self.number, len(images))
        if indices is None:
            self.rereadable = False
            indices = self.process.rank + self.process.world * torch.arange(self.count, self.count + len(images))
        elif self.rereadable is None:
            self.rereadable = self._gives_again(indices, images)
        self.number, self.count = self.number + 1, self.count + len(images)
        return indices

    def _gives_again(self, indices: Tensor, images: Tensor) -> bool:
        """Whether the data set has the same images under these indices."""
        tolerance = TOLERANCE if images.dtype == torch.float32 else 0.02
        try:
            with undisturbed_random():
                for place in range(0, len(images), -(-len(images) // TRIED)):
                    image = read_item(self.order.dataset[int(indices[place])]).image.float()
                    shown = images[place].float().cpu()
                    if image.shape != shown.shape or not torch.allclose(image, shown, atol=tolerance, rtol=tolerance):
                        return False
        except Exception:  # whatever a data set raises: its images are kept from the batches
            return False
        return True

    def keep(self, strongest: Callable[[], set[int]], indices: Tensor, batch: Any) -> None:
        """Keeps the images of the batch that are among the strongest; forgets those that are no more.

        strongest: called only where images are kept.
        """
        if self.rereadable:
            return
        kept = strongest()
        self.store.keep_only(kept)
        wanted = kept - self.store.items.keys()
        places = [place for place, index in enumerate(indices.tolist()) if index in wanted]
        if places:
            images, labels = batch_images(batch), batch_labels(batch, len(indices))
            for place in places:
                image = images[place].detach().to("cpu", torch.float16)
                self.store.add(int(indices[place]), image, labels[place])

    def end(self, rereadable: bool) -> None:
        """Ends a pass. rereadable: whether the data set gives images again, in every process."""
        self.rereadable = self.store.rereadable = rereadable
