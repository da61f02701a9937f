"""Two sets of images of the user's own, in any form, as `overlap` compares them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from convscope.analyses.overlap.compute.collection import Collection, collections_of, files_by_folder
from convscope.analyses.subject import Subject
from convscope.api.image_sets import dataset_of, image_files, images_of_dataset, is_of_files
from convscope.config import build_config
from convscope.data.config import default_keys
from convscope.data.dataset_images import DatasetImages
from convscope.data.images import SplitName
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels
from convscope.data.sources import Split as ImageSplit
from convscope.errors import UserError

Named = tuple[str, ImageSplit, list[str]]  # name, images, names of their classes
PART = 256  # images of a data set at a time


def two_collections(images: Any, other: Any, size: int) -> tuple[Collection, Collection]:
    """Both sets, reduced to `size` pixels. Raises UserError for what holds no images, and for one set alone."""
    if isinstance(images, Subject):
        if other is not None:
            raise UserError("a Subject has both sets, train and val; leave other out, or pass two sets of images")
        pair = _of_subject(images)
    elif other is None:
        raise UserError("other is missing: pass a second set of images to compare with")
    else:
        pair = _named(images, "first set"), _named(other, "second set")
    cache_dir = default_keys()["cache_dir"]
    settings = build_config(DataSettings, {"image_size": size, "batch_size": 1, "cache_dir": cache_dir})
    return collections_of(*pair, size, settings)


def _named(images: Any, name: str) -> Named:
    if is_of_files(images):
        folder = str(Path(images).name) if isinstance(images, str | Path) else ""
        return folder or name, *files_by_folder(image_files(images))
    labeled = images_of_dataset({"val": dataset_of(images)}, None, PART)
    return name, *_pixels(labeled.images, "val", labeled.names if labeled.limit else ["unlabeled"])


def _of_subject(subject: Subject) -> tuple[Named, Named]:
    splits: tuple[SplitName, SplitName] = "train", "val"
    data: Any = subject.data
    if data.missing.keys() & {*splits}:
        raise UserError(next(line for split, line in data.missing.items() if split in splits))
    first, second = ((f"{split} of {subject.data_name}", *_pixels(data, split, data.classes)) for split in splits)
    return first, second


def _pixels(data: Any, split: SplitName, names: list[str] | None) -> tuple[Pixels, list[str]]:
    """All images of a split as pictures [N, H, W, 3], center squares of those that are not square."""
    count = data.size(split)
    parts = [data.pixels(split, part).permute(0, 2, 3, 1) for part in torch.arange(count).split(PART)]
    pictures = torch.cat(parts).numpy()
    side = min(pictures.shape[1:3])
    top, left = ((edge - side) // 2 for edge in pictures.shape[1:3])
    labels = data.labels(split, range(count)).numpy().astype(np.int64)
    classes = names or (data.classes if isinstance(data, DatasetImages) else ["unlabeled"])
    return Pixels(np.ascontiguousarray(pictures[:, top : top + side, left : left + side]), labels), list(classes)
