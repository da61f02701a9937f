"""Images of the user's own, in any form that PyTorch people have them, as the images that analyses look at."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from convscope.config import build_config
from convscope.data import sources
from convscope.data.config import default_keys
from convscope.data.dataset_images import DatasetImages
from convscope.data.folder_contents import images_under
from convscope.data.folders import ENDINGS
from convscope.data.images import SplitName
from convscope.data.items import COLORS, class_names_of, read_item
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Files, Source
from convscope.errors import UserError
from convscope.models.library_metadata import IMAGENET_COLORS, Colors

Numbers = float | Sequence[float]
POSSIBLE = (
    "a data set, a DataLoader, a tensor [N, C, H, W], a pair (images, labels), a folder of images, or a list of files"
)
RANDOM = (
    "the first image of the data set is another one each time it is read, as with random transforms; an analysis needs "
    "the same image again, so pass a data set without them"
)
NO_TRAIN = "there are no train images; pass train=<images> to convscope.subject"


class FileInput(NamedTuple):
    """How image files become a net's input. size: pixels of its side. colors: mean and deviation, None if unknown.

    stored, interpolation: side that images are resized to, whose center the net sees (None: 256/224 of size), and how.
    """

    size: int
    colors: Colors | None
    stored: int | None = None
    interpolation: str = "bilinear"


def is_of_files(images: Any) -> bool:
    """Whether images are a folder, a file, or a list of files."""
    several = isinstance(images, Sequence) and not isinstance(images, str) and len(images) > 0
    return isinstance(images, str | Path) or (several and all(isinstance(path, str | Path) for path in images))


def images_of_files(images: Any, train: Any, input_: FileInput, batch_size: int) -> ImageData:
    """The images of a folder or of files, cut and resized as the program does. Raises UserError without colors."""
    source = _source(images, train)
    if input_.colors is None:
        raise UserError(
            "images of files need the mean and std by which your net's images were normalized, pixels from 0 to 1; "
            f"pass e.g. subject(net, images, mean={IMAGENET_COLORS.mean}, std={IMAGENET_COLORS.std}) (ImageNet's)"
        )
    mean, std = (torch.tensor(values, dtype=torch.float32).expand(3) for values in input_.colors)
    settings = build_config(DataSettings, {
        "image_size": input_.size, "batch_size": batch_size, "cache_dir": default_keys()["cache_dir"],
        "pixel_scale": tuple((1 / (255 * std)).tolist()), "stored": input_.stored,
        "interpolation": input_.interpolation,
    })  # fmt: skip
    side = settings.stored_size
    return ImageData(source, settings, (255 * mean).view(3, 1, 1).expand(3, side, side).contiguous())


def _source(images: Any, train: Any) -> Source:
    """Files as val, those of `train` as train; a folder with train/ and val/ is both."""
    both = isinstance(images, str | Path) and Path(images).expanduser().is_dir() and train is None
    looked_at = _folder(Path(images).expanduser()) if both else _files(images)
    if train is None:
        if looked_at.train is not looked_at.val and "train" not in looked_at.missing:
            return looked_at
        nothing = Files([], np.zeros(0, np.int64))
        return looked_at._replace(train=nothing, missing={**looked_at.missing, "train": NO_TRAIN})
    compared = _files(train)
    if compared.classes != looked_at.classes:
        raise UserError(
            f"train has the classes {', '.join(compared.classes[:4])}, ..., and images "
            f"{', '.join(looked_at.classes[:4])}, ...; pass two sets of the same classes"
        )
    return looked_at._replace(train=compared.val, missing={})


def _folder(root: Path) -> Source:
    """A folder with train/ and val/, with class folders, or with images at any depth."""
    try:
        return sources.present_splits(root)
    except UserError:
        return sources.images(root)


def _files(images: Any) -> Source:
    """The images of a folder, all of them, or of a list of files, which show no known class."""
    if isinstance(images, str | Path) and (folder := Path(images).expanduser()).is_dir():
        source = _folder(folder)
        return source if source.train is source.val else sources.images(folder)
    paths = image_files(images)
    files = Files(paths, np.zeros(len(paths), np.int64))
    return Source(["unlabeled"], files, files)


def image_files(images: Any) -> list[Path]:
    """The files in a folder, at any depth, or in a list. Raises UserError for a file that is not there."""
    paths = [Path(path).expanduser() for path in ([images] if isinstance(images, str | Path) else images)]
    if len(paths) == 1 and paths[0].is_dir():
        if files := images_under(paths[0]):
            return files
        raise UserError(f"images: {paths[0]} holds no images; needed: files such as {' '.join(ENDINGS)}")
    if absent := [path for path in paths if not path.is_file()]:
        raise UserError(f"images: {absent[0]} is no file{' or folder' if len(paths) == 1 else ''}; pass {POSSIBLE}")
    return paths


def dataset_of(images: Any, labels: Any = None) -> Any:
    """A map-style data set of images in any form but files. Raises UserError for what holds no images."""
    if isinstance(images, tuple | list) and len(images) == 2 and isinstance(images[0], Tensor | np.ndarray):
        images, labels = images
    if isinstance(images, DataLoader):
        images = images.dataset
    if isinstance(images, IterableDataset):
        raise UserError("images is an IterableDataset, whose images have no numbers to find them again; pass "
                        f"{POSSIBLE}")  # fmt: skip
    if isinstance(images, Tensor | np.ndarray):
        return _tensors(torch.as_tensor(images), labels)
    if labels is not None:
        raise UserError("labels= goes with a tensor of images; a data set has its own")
    if (
        not hasattr(images, "__getitem__")
        or not hasattr(images, "__len__")
        or isinstance(images, Mapping | tuple | list)
    ):
        raise UserError(f"images is a {type(images).__name__}; pass {POSSIBLE}")
    return images


def _tensors(images: Tensor, labels: Any) -> TensorDataset:
    if images.dim() != 4 or not images.is_floating_point() or images.shape[1] not in COLORS:
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(
            f"images is a {kind} tensor {list(images.shape)}; pass [N, C, H, W] of floating point with 1 or 3 colors, "
            "as the net takes it"
        )
    if not len(images):
        raise UserError("images is an empty tensor; pass one image or more")
    images = images.detach().cpu()
    if labels is None:
        return TensorDataset(images)
    numbers = torch.as_tensor(labels).detach().cpu()
    if numbers.shape != images.shape[:1] or numbers.is_floating_point() or numbers.min() < 0:
        raise UserError(f"labels are not {len(images)} whole numbers from 0, one for each image: {list(numbers.shape)}")
    labeled: Any = TensorDataset(images, numbers.long())
    labeled.targets = numbers.tolist()  # as torchvision's data sets have them: else every item is read for its label
    return labeled


class LabeledSet(NamedTuple):
    """Images of a data set. names: of their classes, None where labels are numbers. limit: the labels are below it; 0
    for images without labels."""

    images: DatasetImages
    names: list[str] | None
    limit: int


def images_of_dataset(datasets: Mapping[SplitName, Any], colors: Colors | None, batch_size: int) -> LabeledSet:
    """The images of map-style data sets and what is known of their classes. Raises UserError as DatasetImages does."""
    images = DatasetImages(datasets, None, colors, batch_size)
    images.settings = replace(images.settings, cache_dir=default_keys()["cache_dir"])
    if colors is not None and len(colors.mean) == 3 and images.image_shape[0] == 1:
        raise UserError("mean and std are of 3 colors, and these images have 1; pass one number each")
    first = next(iter(datasets))
    if not torch.equal(images.images(first, [0]), images.images(first, [0])):
        warnings.warn(RANDOM, stacklevel=3)
    names = class_names_of(datasets[first])
    if names is None and not is_labeled(datasets[first]):
        return LabeledSet(images, None, 0)
    if names is not None:
        return LabeledSet(images, names, len(names))
    return LabeledSet(images, None, 1 + max(int(images.all_labels(split).max()) for split in datasets))


def is_labeled(dataset: Any) -> bool:
    """Whether the first item has a label."""
    return read_item(dataset[0]).label is not None
