"""The one LightningDataModule: any Source, prepared as the paper prepares ImageNet (section 3)."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast
from weakref import WeakSet

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.progress import _ProcessedTracker
from torch.utils.data import Sampler

from convscope.data import jpeg
from convscope.data.batches import Batch, Crops, CropSettings, unchanged
from convscope.data.cache import Cache, PreparedSplit, decoded_once
from convscope.data.classnames import utf8_text
from convscope.data.decode import BadImage, printable
from convscope.data.passes import core_count
from convscope.data.rectangles import Rectangles, UncroppedImages, in_parts
from convscope.data.sampler import EpochSampler, OrderedShare, Share, WindowSampler
from convscope.data.settings import DataSettings
from convscope.data.sources import Files, Pixels, Source, Split, evenly, limited, targets
from convscope.data.stream.chunks import Chunks
from convscope.data.workers import Loader
from convscope.errors import UserError

__all__ = ["Batch", "DataSettings", "ImageData", "SplitName"]

SplitName = Literal["train", "val"]


class ImageData(pl.LightningDataModule):
    """Loaders of a Source by `settings`; the images are decoded (or found in the cache) when they are first asked for.

    An index is an image's address in its split, the same in every loader, run and process. The training order and its
    crops depend on (seed, epoch, index) alone: a run resumed at any step sees what an unbroken one sees. The Trainer
    needs use_distributed_sampler=False. mean: a checkpoint's mean image [3,R,R] in place of the training images' own.
    """

    def __init__(self, source: Source, settings: DataSettings, mean: torch.Tensor | None = None):
        super().__init__()
        self.settings, self.classes = settings, source.classes
        self._given_mean = mean
        self._splits = {
            "train": limited(source.train, settings.limit, settings.seed),
            "val": limited(source.val, settings.limit, settings.seed),
        }
        self._stored: dict[str, PreparedSplit] = {}
        self._loaders = WeakSet[Loader]()

    @property
    def mean(self) -> torch.Tensor:
        """[3,R,R] float32, grey levels: the per-pixel mean over the training images; the paper's R is 256."""
        return torch.from_numpy(self._mean).permute(2, 0, 1).contiguous()

    @property
    def pixel_std(self) -> float:
        """Spread of the net's input over the training images, in its own unit (grey levels times pixel_scale)."""
        return self._store("train").statistics.std * float(np.mean(self.settings.pixel_scale))

    @property
    def decoder(self) -> str | None:
        """What decodes JPEGs of these images: torchcodec, torchvision or Pillow; None of images that are no files."""
        return None if all(isinstance(held, Pixels) for held in self._splits.values()) else jpeg.DECODER.name

    @property
    def bad_images(self) -> list[BadImage]:
        """The unreadable images that on_bad_image=skip has left out, in the splits used so far."""
        return [bad for stored in self._stored.values() for bad in stored.bad]

    @property
    def emptied(self) -> list[str]:
        """Words for each class of the splits used so far that has lost all its images, being unreadable."""
        found = list[str]()
        for name, stored in self._stored.items():
            gone = np.setdiff1d(self._splits[name].labels, stored.split.labels).tolist()
            found += [f"no image of class {printable(self.classes[at])} in {name} can be read" for at in gone]
        return found

    def death(self, error: BaseException) -> UserError | None:
        """The error that names a dead loading process and its image, for torch's report of the death; else None.

        torch raises its report wherever the main process is at that moment.
        """
        if "DataLoader worker" not in str(error):
            return None
        return next((death for loader in self._loaders if (death := loader.death())), None)

    def close(self) -> None:
        """Ends all loading processes; a loader that is used again starts new ones."""
        for loader in list(self._loaders):
            loader.close()

    def size(self, split: SplitName) -> int:
        """How many images the split has."""
        return len(self._store(split).split.labels)

    def train_dataloader(self) -> Loader:
        """Random crops and flips, starting where the trainer stands (behind what a resumed epoch has done)."""
        count, share = self.size("train"), self._share()
        epoch, batches = self._progress()
        start = epoch, batches * self.settings.batch_size
        split, seed = self._store("train").split, self.settings.seed
        if isinstance(split, Chunks):
            return self._loader("train", WindowSampler(split.counts(), seed, share, *start))
        sampler = EpochSampler(count, seed, share, *start)
        return self._loader("train", sampler)

    def val_dataloader(self) -> Loader:
        """Center crops in index order; of several processes each has its part, no image twice."""
        return self._loader("val", OrderedShare(self.size("val"), self._share()))

    def ordered_dataloader(self, split: SplitName) -> Loader:
        """Center crops of a split in index order, this process's part."""
        return self._loader(split, OrderedShare(self.size(split), self._share()))

    def uncropped_dataloader(self, split: SplitName, indices: torch.Tensor, side: int, batch_size: int) -> Loader:
        """Whole images [n,3,side,side] of these indices in order, grey levels 0..255 as float32, no mean subtracted.

        Of the stored size R they are the stored ones; of another side they come from their files, smallest side to
        `side` and then the center, and where there are no files from the source's pixels, resized.
        """
        there = side == self.settings.stored_size
        at_hand = self._store(split).split if there else self._as_they_came(split)
        look = CropSettings(side, np.zeros((side, side, 3), np.float32), interpolation=self.settings.interpolation)
        return self._in_order(Crops(at_hand, look), indices, batch_size)

    def rectangles(
        self, split: SplitName, indices: torch.Tensor, sides: Sequence[int], pixels: int
    ) -> Iterator[Rectangles]:
        """The images of these indices uncropped, at every one of these sizes, in groups of one shape.

        They come from their files; of a source without files from its squares. pixels: of the largest size, that a
        group may have, unless it is of one image. The order of the groups is that of the shapes as they turn up.
        """
        images = UncroppedImages(self._as_they_came(split), sides, self.settings.interpolation)
        return in_parts(self._in_order(images, indices, images.batch_size), pixels)

    def _as_they_came(self, split: SplitName) -> Split:
        """The images before any resizing, without the unreadable ones."""
        stored, held = self._store(split), self._splits[split]
        if not isinstance(held, Files) or not stored.bad:
            return held
        bad = {path for path, _ in stored.bad}
        return Files([path for path in held.paths if path not in bad], stored.split.labels)

    def _in_order(self, images: Crops | UncroppedImages, indices: torch.Tensor, batch_size: int) -> Loader:
        workers = 0 if isinstance(images.split, Pixels) else self._workers(images.split, "cpu")
        return self._loaded(images, workers, batch_size=batch_size, sampler=list[int](indices.tolist()))

    def images(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n,3,H,W] float32: center crops as the net sees them."""
        return self._crops(split).__getitems__(torch.as_tensor(indices).tolist()).image

    def pixels(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n,3,H,W] uint8: the same crops for display."""
        return self._crops(split).pixels(torch.as_tensor(indices).numpy())

    def labels(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n] int64."""
        return torch.from_numpy(self._store(split).split.labels[torch.as_tensor(indices).numpy()].astype(np.int64))

    @property
    def several(self) -> bool:
        """Whether an image may show several classes; its label is then one of them."""
        return targets(self._splits["train"], np.arange(0)) is not None

    def targets(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """[n, K] int8 of data with several classes: 1 shown, 0 difficult to see, -1 not there."""
        found = targets(self._store(split).split, torch.as_tensor(indices).numpy())
        assert found is not None, "images of one class have labels"
        return torch.from_numpy(found)

    def choose(self, split: SplitName, wanted: int | Sequence[int], seed: int) -> torch.Tensor:
        """Indices of so many images, evenly over the classes and chosen by seed; or those asked for, in their order.

        Raises UserError for an index that the split does not have, or for no images at all.
        """
        count = self.size(split)
        if isinstance(wanted, int):
            if wanted < 1:
                raise UserError(f"{wanted} images are none to look at; ask for 1 or more, of the {count} in {split}")
            return torch.from_numpy(evenly(self._store(split).split.labels, wanted, seed))
        if not isinstance(wanted, Sequence) or not all(isinstance(index, int) for index in wanted):
            raise UserError(f"{wanted!r} names no images; say how many, e.g. 5, or which, e.g. [3, 17]")
        if wrong := [index for index in wanted if not 0 <= index < count]:
            raise UserError(f"no image {', '.join(map(str, wrong))} in {split}; its images are 0 to {count - 1}")
        if not len(wanted):
            raise UserError(f"an empty list of images; name some of 0 to {count - 1}, or say how many")
        return torch.tensor(list(wanted))

    def names(self, split: SplitName, indices: Sequence[int] | torch.Tensor) -> list[str]:
        """What the images are called: the file's name, or the index where they come from no files."""
        held = self._splits[split]
        if isinstance(held, Pixels):
            return [str(index) for index in torch.as_tensor(indices).tolist()]
        if isinstance(held, Chunks):
            return [utf8_text(held.name(index)) for index in torch.as_tensor(indices).tolist()]
        left_out = {path for path, _ in self._store(split).bad}
        paths = [path for path in held.paths if path not in left_out] if left_out else held.paths
        return [utf8_text(paths[index].name) for index in torch.as_tensor(indices).tolist()]

    def read(self, paths: Sequence[Path]) -> tuple[torch.Tensor, torch.Tensor]:
        """Center crops of any image files, as the net sees them [n,3,H,W] float32 and for display [n,3,H,W] uint8.

        Raises UserError for a file that cannot be read.
        """
        chosen = self.settings
        look = CropSettings(chosen.image_size, self._mean, chosen.pixel_scale, interpolation=chosen.interpolation)
        crops, every = Crops(Files(list(paths), np.zeros(len(paths), np.int64)), look), np.arange(len(paths))
        return crops.__getitems__(every.tolist()).image, crops.pixels(every)

    @cached_property
    def _mean(self) -> np.ndarray:
        if self._given_mean is None:
            return self._store("train").statistics.mean
        side = self.settings.stored_size
        if tuple(self._given_mean.shape) != (3, side, side):
            raise UserError(
                f"the checkpoint's mean image is {self._given_mean.shape[-1]} pixels wide, data.image_size="
                f"{self.settings.image_size} needs {side}; leave data.image_size as it was in training"
            )
        return self._given_mean.permute(1, 2, 0).contiguous().numpy()

    def _store(self, split: SplitName) -> PreparedSplit:
        if split not in self._stored:
            chosen, size = self.settings, self.settings.stored_size
            cache = Cache(Path(chosen.cache_dir).expanduser(), chosen.cache_gib)
            keep = cache.fits(tuple(self._splits.values()), size)
            self._stored[split] = decoded_once(
                self._splits[split], size, cache, keep, chosen.on_bad_image, chosen.interpolation
            )
        return self._stored[split]

    def _crops(self, split: SplitName) -> Crops:
        chosen = self.settings
        look = CropSettings(chosen.image_size, self._mean, chosen.pixel_scale, chosen.color_noise, chosen.interpolation)
        return Crops(self._store(split).split, look, chosen.seed)

    def _loader(self, split: SplitName, sampler: Sampler) -> Loader:
        device = self.trainer.strategy.root_device.type if self.trainer else "cpu"
        workers, size = self._workers(self._store(split).split, device), self.settings.batch_size
        return self._loaded(self._crops(split), workers, batch_size=size, sampler=sampler, pin_memory=device == "cuda")

    def _loaded(self, images: Crops | UncroppedImages, workers: int, **options: Any) -> Loader:
        loader = Loader(images, num_workers=workers, collate_fn=unchanged, **options)
        self._loaders.add(loader)
        return loader

    def _workers(self, held: Split, device: str) -> int:
        if self.settings.workers is not None:
            return self.settings.workers
        if isinstance(held, Pixels) and device == "cpu":
            return 0  # the net takes far longer than the cutting, on the same cores
        return max(1, core_count() // self._share().world)

    def _share(self) -> Share:
        if self.trainer:
            return Share(self.trainer.global_rank, self.trainer.world_size)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return Share(torch.distributed.get_rank(), torch.distributed.get_world_size())
        return Share()

    def _progress(self) -> tuple[int, int]:
        """The epoch the trainer is in or about to begin, and how many of its batches are done."""
        if not self.trainer:
            return 0, 0
        loop = self.trainer.fit_loop
        epochs = cast(_ProcessedTracker, loop.epoch_progress.current)
        unfinished = epochs.started > epochs.processed
        return epochs.processed, loop.epoch_loop.batch_progress.current.ready if unfinished else 0
