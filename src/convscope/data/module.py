"""The images of any Source and their loaders, prepared as the paper prepares ImageNet (section 3)."""

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch.utils.data import Sampler

from convscope.data import decoders
from convscope.data.batches import Batch, Crops, CropSettings, Rectangles, UncroppedImages, in_parts, unchanged
from convscope.data.cache import Cache, PreparedSplit, decoded_once
from convscope.data.centering import CenteredBatches, Centering
from convscope.data.classnames import folder_names, utf8_text
from convscope.data.decode import BadImage, printable
from convscope.data.images import SplitName
from convscope.data.passes import core_count
from convscope.data.sampler import BatchShare, EpochSampler, JoinedBatches, WindowSampler, progress_of, share_of
from convscope.data.settings import DataSettings
from convscope.data.shared_passes import own_batches
from convscope.data.sources import Files, Pixels, Source, Split, all_limited, chosen, subset, targets, without
from convscope.data.stream.chunks import Chunks
from convscope.data.workers import Loader
from convscope.errors import UserError

__all__ = ["Batch", "DataSettings", "ImageData", "SplitName"]


class ImageData:
    """Loaders of a Source by `settings`; images are decoded (or read from the cache) at their first use.

    The index of an image in its split is the same in every loader, run and process. The training order and its crops
    depend on (seed, epoch, index) alone: a run resumed at any step gets the batches of an unbroken one. The Trainer
    needs use_distributed_sampler=False. mean: a checkpoint's mean image [3,R,R] in place of the training images'.
    missing: a line for each split without images. pooled: those of train and val that make up all images.
    joins_last_image: whether a last training batch of one image is joined to the batch before. trainer: Lightning's,
    while it trains on these images (training/loaders.py).
    """

    def __init__(self, source: Source, settings: DataSettings, mean: torch.Tensor | None = None):
        self.settings, self.classes, self.folders = settings, source.classes, folder_names(source.folders)
        self._given_mean, self._remarks, self.joins_last_image = mean, source.remarks, False
        self.image_shape = 3, settings.image_size, settings.image_size
        present, self.missing = source.present()
        self._splits = dict(zip(present, all_limited(present.values(), settings.limit, settings.seed), strict=True))
        both: list[SplitName] = ["train"] if source.train is source.val else ["train", "val"]
        self.pooled = [name for name in both if name in present]
        self.trainer: Any = None
        self._stored, self._loaders = dict[str, PreparedSplit](), WeakSet[Loader]()

    @property
    def mean(self) -> torch.Tensor:
        """[3,R,R] float32, grey levels: the per-pixel mean over the training images; the paper's R is 256."""
        return torch.from_numpy(self._mean).permute(2, 0, 1).contiguous()

    @property
    def pixel_std(self) -> float:
        """Standard deviation of the net's input over the training images, in grey levels times pixel_scale."""
        return self._store("train").statistics.std * float(np.mean(self.settings.pixel_scale))

    @property
    def decoder(self) -> str | None:
        """The library that decodes JPEGs of these images: torchcodec, torchvision or Pillow; None: no files."""
        return None if all(isinstance(split, Pixels) for split in self._splits.values()) else decoders.DECODER.name

    @property
    def bad_images(self) -> list[BadImage]:
        """The unreadable images that on_bad_image=skip has left out, in the splits used so far."""
        return list(dict.fromkeys(bad for stored in self._stored.values() for bad in stored.bad))

    @property
    def emptied(self) -> list[str]:
        """A message for each class of the splits used so far whose images are all unreadable."""
        messages = list[str]()
        for name, stored in self._stored.items():
            lost = np.setdiff1d(self._splits[name].labels, stored.split.labels).tolist()
            messages += [f"no image of class {printable(self.classes[label])} in {name} can be read" for label in lost]
        return messages

    @property
    def remarks(self) -> list[str]:
        """Lines on the set, and on a cache that cannot be used for the splits used so far."""
        return list(dict.fromkeys(filter(None, [*self._remarks, *(stored.remark for stored in self._stored.values())])))

    def leave_out(self, names: Collection[str]) -> None:
        """Leaves the files of these names out (BadImage.name). To be called before any image is used."""
        self._splits = {name: without(split, names) for name, split in self._splits.items()}

    def death(self, error: BaseException) -> UserError | None:
        """The error that names a dead loading process and its image, for torch's report of the death; else None."""
        if "DataLoader worker" not in str(error):  # torch raises its report wherever the main process is at that moment
            return None
        return next((death for loader in self._loaders if (death := loader.death())), None)

    def close(self) -> None:
        """Ends all loading processes; a loader that is used again starts new ones."""
        for loader in list(self._loaders):
            loader.close()

    def size(self, split: SplitName) -> int:
        """The number of images of the split."""
        return len(self._store(split).split.labels)

    @cached_property
    def centered(self) -> Centering:
        """Makes the net's input of a loader's batch, on the device that the batch is on."""
        return Centering(self._mean, self.settings.pixel_scale)

    def train_dataloader(self) -> Loader:
        """Random crops, to be `centered`; starts at the trainer's epoch, after the batches it has done of it."""
        split, seed, share = self._store("train").split, self.settings.seed, share_of(self.trainer)
        epoch, batches = progress_of(self.trainer)
        start = epoch, batches * self.settings.batch_size
        if isinstance(split, Chunks):
            return self._loader("train", WindowSampler(split.counts(), seed, share, *start))
        return self._loader("train", EpochSampler(len(split.labels), seed, share, *start))

    def val_dataloader(self) -> Loader:
        """Center crops, to be `centered`, in index order; each process loads its part, no image twice."""
        return self._loader("val", BatchShare(range(self.size("val")), 1, share_of(self.trainer)))

    def ordered_dataloader(self, split: SplitName, device: torch.device | str = "cpu") -> CenteredBatches:
        """Center crops of a split in index order, centered on the device: the part of this process, whole batches."""
        batches = own_batches(range(self.size(split)), self.settings.batch_size, self.trainer)
        return CenteredBatches(self._loader(split, batches, torch.device(device).type), device, self.centered)

    def uncropped_dataloader(self, split: SplitName, indices: torch.Tensor, side: int, batch_size: int) -> Loader:
        """Uncropped images [n,3,side,side] of these indices in order, grey levels 0..255 uint8, mean not subtracted.

        The part of this process. At the stored size R these are the stored images; else they come from their files, the
        smallest side scaled to `side`, or from the pixels of a source without files.
        """
        images = self._store(split).split if side == self.settings.stored_size else self.originals(split)
        crop = CropSettings(side, side, interpolation=self.settings.interpolation)
        return self._in_order(Crops(images, crop), indices, batch_size)

    def rectangles(
        self, split: SplitName, indices: torch.Tensor, sides: Sequence[int], pixels: int
    ) -> Iterator[Rectangles]:
        """Uncropped images of these indices at each of these sizes, in groups of one shape: the part of this process.

        pixels: the limit of a group at the largest size; a group has at least one image. Groups come in the order in
        which their shapes first occur.
        """
        uncropped = UncroppedImages(self.originals(split), sides, self.settings.interpolation)
        return in_parts(self._in_order(uncropped, indices, uncropped.batch_size), pixels)

    def originals(self, split: SplitName) -> Split:
        """The images before any resizing, without the unreadable ones."""
        original, good = self._splits[split], self._store(split).good
        return original if good is None else subset(original, good)

    def _in_order(self, images: Crops | UncroppedImages, indices: torch.Tensor, batch_size: int) -> Loader:
        workers = 0 if isinstance(images.split, Pixels) else self._workers(images.split, "cpu")
        return self._loaded(images, workers, batch_size=batch_size, sampler=own_batches(indices.tolist(), batch_size))

    def images(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n,3,H,W] float32: center crops as the net sees them."""
        return self.centered(self._crops(split).__getitems__(torch.as_tensor(indices).tolist())).image

    def pixels(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n,3,H,W] uint8: the same crops for display."""
        return self._crops(split).pixels(torch.as_tensor(indices).numpy())

    def labels(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n] int64."""
        return torch.from_numpy(self._store(split).split.labels[torch.as_tensor(indices).numpy()].astype(np.int64))

    @property
    def several(self) -> bool:
        """Whether an image may show several classes; its label is then one of them."""
        return targets(next(iter(self._splits.values())), np.arange(0)) is not None

    def targets(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n, K] int8 of data with several classes: 1 shown, 0 difficult to see, -1 absent."""
        flags = targets(self._store(split).split, torch.as_tensor(indices).numpy())
        assert flags is not None, "images of one class have labels"
        return torch.from_numpy(flags)

    def choose(self, split: SplitName, choice: int | Sequence[int], seed: int) -> torch.Tensor:
        """Indices of a number of images, evenly over the classes and chosen by seed; or the listed indices, checked.

        Raises UserError for an index out of range, or for no images at all.
        """
        return torch.from_numpy(chosen(self._store(split).split.labels, choice, seed, split))

    def names(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> list[str]:
        """Names of images: of the file, or of the image in its chunk, or the index where there is neither."""
        images, positions = self.originals(split), torch.as_tensor(indices).tolist()
        if isinstance(images, Files):
            return [utf8_text(images.paths[position].name) for position in positions]
        return [str(at) if isinstance(images, Pixels) else utf8_text(images.name(at)) for at in positions]

    def read(self, paths: Sequence[Path]) -> tuple[torch.Tensor, torch.Tensor]:
        """Center crops of files, as `images` and as `pixels`. Raises UserError for a file that cannot be read."""
        batch = self._crops("val", Files(list(paths), np.zeros(len(paths), np.int64))).__getitems__(range(len(paths)))
        return self.centered(batch).image, batch.image

    @cached_property
    def _mean(self) -> np.ndarray:
        if self._given_mean is None:
            return self._store("train" if "train" in self._splits else "val").statistics.mean
        side = self.settings.stored_size
        if tuple(self._given_mean.shape) != (3, side, side):
            raise UserError(
                f"the checkpoint's mean image is {self._given_mean.shape[-1]} pixels wide, data.image_size="
                f"{self.settings.image_size} needs {side}; leave data.image_size as it was in training"
            )
        return self._given_mean.permute(1, 2, 0).contiguous().numpy()

    def _store(self, split: SplitName) -> PreparedSplit:
        if split not in self._splits:
            raise UserError(self.missing[split])
        if split not in self._stored:
            settings, size = self.settings, self.settings.stored_size
            cache = Cache(Path(settings.cache_dir).expanduser(), settings.cache_gib)
            one_set_once = {id(images): images for images in self._splits.values()}
            keep = cache.fits(tuple(one_set_once.values()), size)
            how = settings.on_bad_image, settings.interpolation
            self._stored[split] = decoded_once(self._splits[split], size, cache, keep, *how)
        return self._stored[split]

    def _crops(self, split: SplitName, images: Split | None = None) -> Crops:
        s, images = self.settings, self._store(split).split if images is None else images
        return Crops(images, CropSettings(s.image_size, s.stored_size, s.color_noise, s.interpolation), s.seed)

    def _loader(self, split: SplitName, sampler: Sampler, device: str = "cpu") -> Loader:
        device = self.trainer.strategy.root_device.type if self.trainer else device
        workers, size = self._workers(self._store(split).split, device), self.settings.batch_size
        batches: dict[str, Any] = {"batch_size": size, "sampler": sampler}
        if self.joins_last_image and isinstance(sampler, EpochSampler):
            batches = {"batch_sampler": JoinedBatches(sampler, size)}
        return self._loaded(self._crops(split), workers, pin_memory=device == "cuda", **batches)

    def _loaded(self, images: Crops | UncroppedImages, workers: int, **options: Any) -> Loader:
        loader = Loader(images, num_workers=workers, collate_fn=unchanged, **options)
        self._loaders.add(loader)
        return loader

    def _workers(self, images: Split, device: str) -> int:
        if self.settings.workers is not None:
            return self.settings.workers
        if isinstance(images, Pixels) and device == "cpu":
            return 0  # the net takes far longer than the cutting, on the same cores
        return max(1, core_count() // share_of(self.trainer).world)
