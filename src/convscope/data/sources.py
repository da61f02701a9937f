"""The data sets: one short function each, all giving a Source. (critters has a file of its own.)"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from convscope.data import folders
from convscope.data.classnames import WNID, readable
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


def digits() -> Source:
    """scikit-learn's 1,797 scanned digits, 8 x 8 pixels in 16 grey levels; every fifth of a class is for validation."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    grey = np.round(scans.images * (255 / 16)).astype(np.uint8)  # [N,8,8]
    whole = Pixels(np.repeat(grey[..., None], 3, axis=3), scans.target.astype(np.int64))
    held = _every_fifth(whole.labels)
    rest = np.setdiff1d(np.arange(len(whole.labels)), held)
    return Source([str(digit) for digit in range(10)], subset(whole, rest), subset(whole, held))


def folder(root: str | Path | None) -> Source:
    """Images in root/train/<class>/ and root/val/<class>/ (or test), at any depth; classes in the order of their names.

    root/classes.csv with columns wnid,name gives the folders readable names.
    """
    place = folders.existing(root)
    train = folders.training_images(place)
    val = folders.validation_images(place, list(train))
    return Source(readable(list(train), place), _files(train), _files(val), list(train))


def as_it_lies(root: str | Path | None) -> Source:
    """As `folder`, for a look at what it refuses: one class, other classes in val, classes without images.

    UserError where there is not one image in class folders.
    """
    place = folders.existing(root)
    splits = folders.as_it_lies(place)
    names = sorted({name for split in splits for name in split})
    whole = [{name: split.get(name, []) for name in names} for split in splits]
    if not any(images for split in whole for images in split.values()):
        raise UserError(f"data.root={root} holds no images in class folders; needed: {folders.LAYOUT}")
    train, val = map(_files, whole)
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


def imagenette(root: str | Path | None, download: bool = False) -> Source:
    """Ten ImageNet classes (fastai's Imagenette): a plain folder, or torchvision's root/imagenette2*/{train,val}/.

    The download takes the pictures whose smallest side is 320 pixels.
    """
    from torchvision.datasets import Imagenette

    place = named_place(root, "imagenette")

    def fetch() -> None:  # a killed download leaves nothing that looks like the data set
        if not _imagenette(place):
            Imagenette(place / ".part", "train", "320px", download=True)
            os.replace(place / ".part" / "imagenette2-320", place / "imagenette2-320")

    if download:
        fetched_once("Imagenette", place, fetch)
    if not (found := _imagenette(place)):
        raise UserError(f"no Imagenette in {place}; type data.root=<its folder>, or data.download=true to fetch 340 MB")
    return folder(found)


def _imagenette(place: Path) -> Path | None:
    """Where the pictures lie: the folder itself or the largest of torchvision's imagenette2, -320, -160 in it."""
    tries = [place, *(place / f"imagenette2{size}" for size in ("", "-320", "-160"))]
    return next((path for path in tries if (path / "train").is_dir()), None)


def cifar10(root: str | Path | None, download: bool = False) -> Source:
    """CIFAR-10 as torchvision keeps it: 50,000 training and 10,000 test images of 32 x 32 pixels."""
    from torchvision.datasets import CIFAR10

    place = named_place(root, "cifar10")
    if download:
        fetched_once("CIFAR-10", place, lambda: CIFAR10(place, download=True))
    try:
        parts = CIFAR10(place, train=True), CIFAR10(place, train=False)
    except RuntimeError:
        raise UserError(
            f"no complete CIFAR-10 in {place}; type data.root=<its folder>, or data.download=true to fetch 170 MB"
        ) from None
    train, val = (Pixels(part.data, np.asarray(part.targets, np.int64)) for part in parts)
    return Source(list(parts[0].classes), train, val)


def caltech101(root: str | Path | None, download: bool = False) -> Source:
    """Caltech-101 as torchvision keeps it: root/caltech101/101_ObjectCategories/<class>/, without BACKGROUND_Google.

    It has no splits of its own: every fifth image of a class is for validation (ours; job=transfer pools them again).
    """
    from torchvision.datasets import Caltech101

    place, objects = named_place(root, "caltech101"), "101_ObjectCategories"
    if download:
        fetched_once("Caltech-101", place, lambda: Caltech101(place, download=True))
    return _classes_of(place, "Caltech-101", [f"caltech101/{objects}", objects, "."], "BACKGROUND_Google")


def caltech256(root: str | Path | None, download: bool = False) -> Source:
    """Caltech-256 as torchvision keeps it: root/caltech256/256_ObjectCategories/<001.class>/, without 257.clutter.

    It has no splits of its own: every fifth image of a class is for validation (ours; job=transfer pools them again).
    """
    from torchvision.datasets import Caltech256

    place, objects = named_place(root, "caltech256"), "256_ObjectCategories"
    if download:
        fetched_once("Caltech-256", place, lambda: Caltech256(place, download=True))
    found = _classes_of(place, "Caltech-256", [f"caltech256/{objects}", objects, "."], "257.clutter")
    return found._replace(classes=[name.partition(".")[2] or name for name in found.classes])


def _classes_of(place: Path, name: str, inside: list[str], no_class: str) -> Source:
    """The class folders in the first of the places `inside` that has what is no class (`no_class`) or is not `.`."""
    tries = [place / part for part in inside]
    found = next((path for path in tries[:-1] if path.is_dir()), tries[-1])
    shelves = [entry for entry in sorted(found.iterdir()) if entry.is_dir()] if found.is_dir() else []
    classes = {entry.name: folders.images_under(entry) for entry in shelves if entry.name != no_class}
    if len(classes) < 2 or not all(classes.values()):
        raise UserError(
            f"no complete {name} in {place}: needed are {inside[0]}/<class>/*.jpg; type data.root=<its folder>, or "
            "data.download=true to fetch it"
        )
    whole = _files(classes)
    held = _every_fifth(whole.labels)
    rest = np.setdiff1d(np.arange(len(whole.labels)), held)
    return Source(list(classes), subset(whole, rest), subset(whole, held))


def _every_fifth(labels: np.ndarray) -> np.ndarray:
    """Positions of the fifth, tenth, ... image of each class, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[4::5] for label in np.unique(labels)]))


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


def targets(split: Split, chosen: np.ndarray) -> np.ndarray | None:
    """Those [n, K] of the images at these positions, None where an image shows one class alone."""
    return None if isinstance(split, Chunks) or split.targets is None else split.targets[chosen]


def _files(classes: folders.ClassFolders) -> Files:
    """All classes' images one after the other; the labels count the classes in the order of their folders' names."""
    sizes = [len(images) for images in classes.values()]
    return Files([path for images in classes.values() for path in images], np.repeat(np.arange(len(sizes)), sizes))


def named_place(root: str | Path | None, name: str) -> Path:
    if root is None:
        raise UserError(f"data={name} needs a place: type data.root=/path/to/{name}")
    return Path(root).expanduser()


def fetched_once(name: str, place: Path, fetch: Callable[[], object]) -> None:
    """Downloads in one process at a time; a UserError where it fails."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".download.lock"):
            fetch()
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name} could not be fetched into {place}: {reason}; copy it there by hand") from None
