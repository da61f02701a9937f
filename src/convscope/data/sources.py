"""What a data set is (Source, with splits of Files, Pixels or Chunks), and sets of image folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convscope.data import folders
from convscope.data.classnames import WNID, readable
from convscope.data.decode import printable
from convscope.data.decoders import HIDDEN
from convscope.data.stream.chunks import Chunks
from convscope.errors import UserError

NAMED_REASONS = 8  # of files that are not read, in a line


class Files(NamedTuple):
    """Images in their files. labels: [N] int64. targets: see Pixels."""

    paths: list[Path]
    labels: np.ndarray
    targets: np.ndarray | None = None


class Pixels(NamedTuple):
    """Decoded images: uint8 [N,H,W,3] (array or memory map), H = W. labels: [N] int64.

    targets: [N, K] int8 for images that may show several classes: 1 shown, 0 difficult to see, -1 absent. The label is
    then one of the classes shown. None: an image shows the class of its label alone.
    """

    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray | None = None


Split = Files | Pixels | Chunks


class Source(NamedTuple):
    """Class names in label order, and the two splits. folders: names of the class folders, where images lie in such.

    remarks: lines for the user, such as on files that are not read.
    """

    classes: list[str]
    train: Split
    val: Split
    folders: Sequence[str] = ()
    remarks: Sequence[str] = ()


def folder(root: str | Path | None) -> Source:
    """Images in root/train/<class>/ and root/val/<class>/ (or test), at any depth; classes in the order of their names.

    root/classes.csv with columns wnid,name gives the folders readable names.
    """
    place = folders.existing(root)
    train = folders.training_images(place)
    val = folders.validation_images(place, list(train))
    remarks = remarks_on(folders.skipped_files(*folders.split_folders(place)), place)
    source = Source(readable(list(train), place), files_of_classes(train), files_of_classes(val), list(train))
    return source._replace(remarks=remarks)


def unchecked_folder(root: str | Path | None) -> Source:
    """As `folder`, without its checks: accepts one class, other classes in val, classes without images.

    Raises UserError where class folders hold no image at all.
    """
    place = folders.existing(root)
    splits = folders.unchecked_splits(place)
    names = sorted({name for split in splits for name in split})
    whole = [{name: split.get(name, []) for name in names} for split in splits]
    if not any(images for split in whole for images in split.values()):
        raise UserError(f"data.root={root} holds no images in class folders; needed: {folders.LAYOUT}")
    train, val = map(files_of_classes, whole)
    return Source(readable(names, place), train, val, names)


def images(root: str | Path | None) -> Source:
    """Every image under root, the same for training and validation: to examine a finished net with.

    The images are one unlabeled class, unless all lie in folders named by ImageNet's ids, side by side in root or in
    one folder of it, like ImageNet's validation set. An ImageNet net can be evaluated on such a folder.
    """
    place = folders.existing(root)
    paths = folders.images_under(place)
    if not paths:
        raise UserError(f"data.root={root} holds no images; needed: files such as {' '.join(folders.ENDINGS)}")
    remarks = remarks_on(folders.skipped_under(place), place)
    above = [path.relative_to(place).parent.parts for path in paths]  # ("val", "n01440764")
    depths = {next((at for at, part in enumerate(parts) if WNID.fullmatch(part)), None) for parts in above}
    depth = depths.pop() if len(depths) == 1 else None
    if depth is None or len({parts[:depth] for parts in above}) > 1:  # train and val together are no validation set
        files = Files(paths, np.zeros(len(paths), np.int64))
        return Source(["unlabeled"], files, files, remarks=remarks)
    ids = [parts[depth] for parts in above]
    names = sorted(set(ids))
    files = Files(paths, np.unique(ids, return_inverse=True)[1].astype(np.int64))
    return Source(readable(names, place), files, files, names, remarks=remarks)


def imagenet(root: str | Path | None) -> Source:
    """ImageNet 2012 as torchvision lays it out: root/{train,val}/<wnid>/*.JPEG. The devkit is not needed."""
    return folder(root)


def limited(split: Split, limit: int | None, seed: int) -> Split:
    """At most `limit` images in their order, chosen by seed, as evenly over the classes as the images allow."""
    if limit is None or limit >= len(split.labels):
        return split
    return subset(split, evenly(split.labels, limit, seed))


def chosen(labels: np.ndarray, choice: int | Sequence[int], seed: int, split: str) -> np.ndarray:
    """Positions [n] int64 of a number of images, evenly over the classes and chosen by seed; or the listed positions.

    split: its name, for errors. Raises UserError for a position out of range, or for no images at all.
    """
    count = len(labels)
    if isinstance(choice, int):
        if choice < 1:
            raise UserError(f"{choice} images are none to look at; ask for 1 or more, of the {count} in {split}")
        return evenly(labels, choice, seed)
    if not isinstance(choice, Sequence) or not all(isinstance(position, int) for position in choice):
        raise UserError(f"{choice!r} names no images; say how many, e.g. 5, or which, e.g. [3, 17]")
    if wrong := [position for position in choice if not 0 <= position < count]:
        raise UserError(f"no image {', '.join(map(str, wrong))} in {split}; its images are 0 to {count - 1}")
    if not len(choice):
        raise UserError(f"an empty list of images; name some of 0 to {count - 1}, or say how many")
    return np.array(choice, np.int64)


def evenly(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Ascending positions of at most `count` of the labels [N], as evenly over the classes as the images allow."""
    sizes = np.bincount(labels)
    shares = _shares(sizes, min(count, len(labels)))
    small = labels.astype(np.uint16) if len(sizes) <= 2**16 else labels  # of 16 bits the sort is linear
    by_class, ends = np.argsort(small, kind="stable"), np.cumsum(sizes)
    positions = [  # in the random order of its class
        by_class[end - size : end][np.random.default_rng([seed, label]).permutation(size) < share]
        for label, (end, size, share) in enumerate(zip(ends, sizes, shares, strict=True))
        if share
    ]
    return np.sort(np.concatenate(positions)) if positions else np.empty(0, np.int64)


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """Numbers of images of each class that make up `count`: equal as far as sizes allow, one more of the first."""
    low, high = 0, int(sizes.max(initial=0))  # the largest equal share of all classes
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= count else (low, middle - 1)
    shares = np.minimum(sizes, low)
    shares[np.flatnonzero(sizes > low)[: count - shares.sum()]] += 1
    return shares


def subset(split: Split, chosen: np.ndarray) -> Split:
    """The images at these positions."""
    if isinstance(split, Files):
        return Files([split.paths[position] for position in chosen], split.labels[chosen], targets(split, chosen))
    if isinstance(split, Chunks):
        return split.of(chosen)
    return Pixels(split.images[chosen], split.labels[chosen], targets(split, chosen))


def image_name(split: Split, position: int) -> str:
    """The image's file, its name in its chunk, or its number where it has no name; one line of plain text."""
    if isinstance(split, Pixels):
        return str(position)
    return printable(split.paths[position] if isinstance(split, Files) else split.name(position))


def targets(split: Split, chosen: np.ndarray) -> np.ndarray | None:
    """Targets [n, K] of the images at these positions, None where an image shows one class alone."""
    return None if isinstance(split, Chunks) or split.targets is None else split.targets[chosen]


def remarks_on(skipped: Mapping[str, folders.Skipped], root: Path) -> list[str]:
    """One line on all that is not read but hidden files; none where there is nothing."""
    reasons = [
        f"{reason} ({count}, e.g. {printable(example.relative_to(root) if example.is_relative_to(root) else example)})"
        for reason, (count, example) in skipped.items()
        if reason != HIDDEN
    ]
    more = f" and {len(reasons) - NAMED_REASONS} more kinds" if len(reasons) > NAMED_REASONS else ""
    return [f"not read, beside the images of {root}: {', '.join(reasons[:NAMED_REASONS])}{more}"] if reasons else []


def files_of_classes(classes: folders.ClassFolders) -> Files:
    """Images of all classes in one list; labels count the classes in the order of their folders' names."""
    sizes = [len(images) for images in classes.values()]
    return Files([path for images in classes.values() for path in images], np.repeat(np.arange(len(sizes)), sizes))
