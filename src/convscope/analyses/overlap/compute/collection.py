"""The two sets of images that job=overlap compares, all images reduced to one small size."""

from functools import cache as cache_results
from os.path import realpath
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from convscope.data.cache import Cache, decoded_once
from convscope.data.classnames import utf8_text
from convscope.data.decode import content, decoded, fitted, rgb
from convscope.data.folder_contents import images_under
from convscope.data.settings import DataSettings
from convscope.data.sources import Files, Pixels, Source, Split, all_limited, subset
from convscope.data.stream.chunks import Chunks
from convscope.errors import UserError


class Collection(NamedTuple):
    """N images. name: in pictures and tables. reduced [N, S, S, 3] uint8, memory-mapped from a file in the cache.

    original: the same N images unreduced, labels [N] counting classes. bad: how many unreadable ones were left out.
    """

    name: str
    original: Split
    classes: list[str]
    reduced: np.ndarray
    bad: int

    @property
    def total(self) -> int:
        """N."""
        return len(self.reduced)

    def file(self, number: int) -> str:
        """Absolute path of an image's file; the image's number where images come from no files."""
        split = self.original
        return str(split.paths[number].absolute()) if isinstance(split, Files) else str(number)

    def label(self, number: int) -> str:
        """Name of an image's class; for images of a folder, the folder around the file."""
        return self.classes[self.original.labels[number]]

    def tile(self, number: int, side: int) -> np.ndarray:
        """An image for display, [side, side, 3] uint8: its central square, which is what is compared."""
        split = self.original
        assert not isinstance(split, Chunks)
        return decoded(split.paths[number], side) if isinstance(split, Files) else fitted(split.images[number], side)

    def whole(self, number: int, side: int) -> Image.Image:
        """An image uncropped, its smallest side `side` pixels."""
        split = self.original
        assert not isinstance(split, Chunks)
        pixels = rgb(content(split.paths[number])) if isinstance(split, Files) else np.asarray(split.images[number])
        image = Image.fromarray(pixels)
        scale = side / min(image.size)
        width, height = (max(side, round(scale * edge)) for edge in image.size)
        return image.resize((width, height), Image.Resampling.BICUBIC)


def train_and_val(source: Source, name: str, size: int, settings: DataSettings) -> tuple[Collection, Collection]:
    """The two splits of a source, reduced to `size`. Raises UserError as `with_folder`, and for a split missing."""
    if source.missing or source.val is source.train:
        line = next(iter(source.missing.values()), f"train and val of {name} are the same images")
        raise UserError(f"{line}; to compare {name} with other images type overlap.other=<their folder>")
    train, val = _limited(source, settings)
    return collections_of(
        (f"{name} train", train, source.classes), (f"{name} val", val, source.classes), size, settings
    )


def with_folder(
    source: Source, name: str, folder: Path, size: int, settings: DataSettings
) -> tuple[Collection, Collection]:
    """All images of a source, and all in a folder at any depth.

    Raises UserError: no such folder, or none in it; an image that is in both; one that cannot be read
    (on_bad_image=stop); too little room for the reduced images.
    """
    if not folder.is_dir():
        raise UserError(f"overlap.other={folder} is no folder; name one that holds images, at any depth")
    paths = images_under(folder)
    if not paths:
        raise UserError(f"overlap.other={folder} holds no images; name a folder of image files, at any depth")
    whole = _both(*_limited(source, settings))
    _distinct(whole, paths, folder)
    in_folder = str(folder.name or folder), *files_by_folder(paths)
    return collections_of((name, whole, source.classes), in_folder, size, settings)


def files_by_folder(paths: list[Path]) -> tuple[Files, list[str]]:
    """Image files, and their classes: the names of the folders that they lie in."""
    classes, labels = np.unique([utf8_text(path.parent.name) for path in paths], return_inverse=True)
    return Files(paths, labels.astype(np.int64)), classes.tolist()


def _limited(source: Source, settings: DataSettings) -> tuple[Split, Split]:
    """train and val, each with data.limit images at most."""
    if isinstance(source.train, Chunks):
        raise UserError("job=overlap compares files; name the source that data=stream was made of, e.g. data=folder")
    train, val = all_limited((source.train, source.val), settings.limit, settings.seed)
    return train, val


def _both(train: Split, val: Split) -> Split:
    """The images of train, then those of val; once where these are the same images."""
    if train is val:
        return train
    labels = np.concatenate([train.labels, val.labels])
    if isinstance(train, Files) and isinstance(val, Files):
        return Files([*train.paths, *val.paths], labels)
    assert isinstance(train, Pixels) and isinstance(val, Pixels), "a source has files, or pixels"
    return Pixels(np.concatenate([train.images, val.images]), labels)


def _distinct(split: Split, paths: list[Path], folder: Path) -> None:
    """Raises UserError where a file is in both sets, by whatever links: it would match as its own copy."""
    if not isinstance(split, Files):
        return
    resolve = cache_results(realpath)  # few folders hold many files
    resolved = {(resolve(path.parent), path.name) for path in split.paths}
    if both := [path for path in paths if (resolve(path.parent), path.name) in resolved]:
        raise UserError(
            f"overlap.other={folder}: {len(both)} of its {len(paths)} images are in data=... too, e.g. {both[0]}; name "
            f"another folder, or overlap.other=null to compare data's train with its val"
        )


def collections_of(
    first: tuple[str, Split, list[str]], second: tuple[str, Split, list[str]], size: int, settings: DataSettings
) -> tuple[Collection, Collection]:
    """Reduces the images of two sets, each a name, a split and names of classes."""
    cache = Cache(Path(settings.cache_dir).expanduser(), settings.cache_gib)
    if not cache.fits((first[1], second[1]), size):
        count = len(first[1].labels) + len(second[1].labels)
        raise UserError(
            f"{count:,} images at overlap.size={size} take {count * size**2 * 3 / 2**30:.2g} GiB in data.cache_dir="
            f"{cache.folder}, which has less; raise data.cache_gib, free the disk, or lower overlap.size"
        )
    collections = []
    for name, split, classes in (first, second):
        stored = decoded_once(split, size, cache, True, settings.on_bad_image)
        if stored.remark:
            raise UserError(f"{stored.remark}, where job=overlap can write the reduced images")
        assert isinstance(stored.split, Pixels), "cached images are decoded"
        original = split if stored.good is None else subset(split, stored.good)
        collections.append(Collection(name, original, classes, stored.split.images, len(stored.bad)))
    return collections[0], collections[1]
