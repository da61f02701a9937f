"""The data sets: one short function each, all giving a Source. (critters has a file of its own.)"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convscope.data import folders
from convscope.data.classnames import WNID, readable
from convscope.data.decode import printable
from convscope.data.stream.chunks import Chunks
from convscope.errors import UserError


class Files(NamedTuple):
    """Images still in their files; labels [N] int64; targets as those of Pixels."""

    paths: list[Path]
    labels: np.ndarray
    targets: np.ndarray | None = None


class Pixels(NamedTuple):
    """Images already decoded: uint8 [N,H,W,3] (array or memmap), H = W; labels [N] int64.

    targets: of images that may show several classes, [N, K] int8: 1 shown, 0 difficult to see, -1 not there; labels
    then hold one of those shown. None where an image shows its label's class alone.
    """

    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray | None = None


Split = Files | Pixels | Chunks


class Source(NamedTuple):
    """Class names in label order, and the two splits. folders: of images in class folders, what those are called."""

    classes: list[str]
    train: Split
    val: Split
    folders: Sequence[str] = ()


def folder(root: str | Path | None) -> Source:
    """Images in root/train/<class>/ and root/val/<class>/ (or test), at any depth; classes in the order of their names.

    root/classes.csv with columns wnid,name gives the folders readable names.
    """
    place = folders.existing(root)
    train = folders.training_images(place)
    val = folders.validation_images(place, list(train))
    return Source(readable(list(train), place), files_of_classes(train), files_of_classes(val), list(train))


def unchecked_folder(root: str | Path | None) -> Source:
    """As `folder`, for a look at what it refuses: one class, other classes in val, classes without images.

    UserError where there is not one image in class folders.
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
    """Every image under root, training and validation alike: to look at a finished net with.

    They are one unlabeled class, unless all lie in folders that ImageNet's ids name, side by side in root or a folder
    of it: its validation set, a part of it. Then a net that knows those can be evaluated.
    """
    place = folders.existing(root)
    paths = folders.images_under(place)
    if not paths:
        raise UserError(f"data.root={root} holds no images; needed: files {' '.join(folders.ENDINGS)}")
    above = [path.relative_to(place).parent.parts for path in paths]  # ("val", "n01440764")
    depths = {next((at for at, part in enumerate(parts) if WNID.fullmatch(part)), None) for parts in above}
    depth = depths.pop() if len(depths) == 1 else None
    if depth is None or len({parts[:depth] for parts in above}) > 1:  # train and val together are no validation set
        every = Files(paths, np.zeros(len(paths), np.int64))
        return Source(["unlabeled"], every, every)
    ids = [parts[depth] for parts in above]
    names = sorted(set(ids))
    every = Files(paths, np.unique(ids, return_inverse=True)[1].astype(np.int64))
    return Source(readable(names, place), every, every, names)


def imagenet(root: str | Path | None) -> Source:
    """ImageNet 2012 as torchvision lays it out: root/{train,val}/<wnid>/*.JPEG. The devkit is not needed."""
    return folder(root)


def limited(split: Split, limit: int | None, seed: int) -> Split:
    """At most `limit` images, as evenly over the classes as there are images, chosen by seed, in their old order."""
    if limit is None or limit >= len(split.labels):
        return split
    return subset(split, evenly(split.labels, limit, seed))


def evenly(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of at most `count` of the labels [N], as evenly over the classes as there are images, ascending."""
    sizes = np.bincount(labels)
    wanted = _shares(sizes, min(count, len(labels)))
    small = labels.astype(np.uint16) if len(sizes) <= 2**16 else labels  # of 16 bits the sort is linear
    by_class, ends = np.argsort(small, kind="stable"), np.cumsum(sizes)
    taken = [  # in the random order of its class
        by_class[end - size : end][np.random.default_rng([seed, label]).permutation(size) < most]
        for label, (end, size, most) in enumerate(zip(ends, sizes, wanted, strict=True))
        if most
    ]
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, np.int64)


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many of each class make `count`: all the same where there are so many, one more of the first classes."""
    low, high = 0, int(sizes.max(initial=0))  # the largest share that every class can be asked for
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
    """Those [n, K] of the images at these positions, None where an image shows one class alone."""
    return None if isinstance(split, Chunks) or split.targets is None else split.targets[chosen]


def files_of_classes(classes: folders.ClassFolders) -> Files:
    """All classes' images one after the other; the labels count the classes in the order of their folders' names."""
    sizes = [len(images) for images in classes.values()]
    return Files([path for images in classes.values() for path in images], np.repeat(np.arange(len(sizes)), sizes))
