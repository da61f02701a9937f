"""What a data set is (Source, with splits of Files, Pixels or Chunks), and sets of image folders."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convscope.data import folders
from convscope.data.classnames import readable, wnids_of
from convscope.data.decode import printable
from convscope.data.folder_contents import ClassFolders, SkippedFiles, images_under, remarks_on
from convscope.data.part_masks import KnownParts
from convscope.data.stream.chunks import Chunks
from convscope.errors import UserError


class Files(NamedTuple):
    """Images in their files. labels: [N] int64. targets: see Pixels."""

    paths: list[Path]
    labels: np.ndarray
    targets: np.ndarray | None = None


class Pixels(NamedTuple):
    """Decoded images: uint8 [N,H,W,3] (array or memory map), H = W. labels: [N] int64.

    targets: [N, K] int8 for images that may show several classes: 1 shown, 0 difficult to see, -1 absent. The label is
    then one of the classes shown. None: an image shows the class of its label alone. parts: of the images, if known.
    """

    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray | None = None
    parts: KnownParts | None = None


Split = Files | Pixels | Chunks


class Source(NamedTuple):
    """Class names in label order, and the two splits. folders: names of the class folders, where images lie in such.

    remarks: lines for the user, such as on files that are not read. test: a third split, where it was asked for.
    missing: a line for each split that is not there.
    """

    classes: list[str]
    train: Split
    val: Split
    folders: Sequence[str] = ()
    remarks: Sequence[str] = ()
    test: Split | None = None
    missing: Mapping[str, str] = {}

    def present(self) -> tuple[dict[str, Split], dict[str, str]]:
        """The splits that are there by name, and a line for each that is not."""
        no_test = {} if self.test else {"test": "these images have no split test; data=folder reads test/<class>/"}
        missing = {**no_test, **self.missing}
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None and name not in missing}, missing


def folder(root: str | Path | None, val_share: float | None = None) -> Source:
    """Images in root/train/<class>/ and root/val/<class>/ (or test), at any depth; classes in the order of their names.

    root/classes.csv with columns wnid,name gives the folders readable names. val_share: of the images of each class in
    root/train/<class>/, or in root/<class>/, that are for validation.
    """
    place = folders.existing(root)
    skipped, remarks = SkippedFiles(), list[str]()
    if val_share is None:
        train = folders.training_images(place, skipped)
        val = folders.validation_images(place, list(train), skipped)
    else:
        undivided, above = folders.undivided_images(place, val_share, skipped)
        folders.check_classes(undivided, above)
        train, val = folders.divided(undivided, above, val_share)
        remarks = folders.training_alone(undivided)
    source = Source(readable(list(train), place), files_of_classes(train), files_of_classes(val), list(train))
    return source._replace(remarks=[*remarks, *remarks_on(skipped, place)])


def present_splits(root: str | Path | None, with_test: bool = False, val_share: float | None = None) -> Source:
    """As `folder`, for a job that looks: whatever splits there are, with whatever classes; class folders alone, too.

    with_test: reads root/test besides root/val. Raises UserError where class folders hold no image at all.
    """
    place = folders.existing(root)
    skipped, images, missing = SkippedFiles(), dict[str, ClassFolders](), dict[str, str]()
    if val_share is not None:
        undivided = folders.undivided_images(place, val_share, skipped)
        images["train"], images["val"] = folders.divided(*undivided, val_share)
    names = [name for name in ("train", "val", *(["test"] if with_test else [])) if name not in images]
    places = {name: folders.split_folder(place, name) for name in names}
    if not images and not any(places.values()):
        return _class_folders_alone(place)
    for name, split in places.items():
        try:
            images[name] = {} if split is None else folders.class_images(split, skipped)
        except UserError as problem:
            images[name], missing[name] = {}, str(problem)
        if split is None:
            missing[name] = folders.no_split(place, name)
    if not any(images.values()):
        raise UserError(next(missing[name] for name in names if places[name]))
    classes = sorted({name for split in images.values() for name in split})
    files = {name: files_of_classes({key: split.get(key, []) for key in classes}) for name, split in images.items()}
    source = Source(readable(classes, place), files["train"], files["val"], classes, remarks_on(skipped, place))
    return source._replace(test=files.get("test"), missing=missing)


def _class_folders_alone(place: Path) -> Source:
    """The images of the class folders in `place`, which are all splits at once."""
    skipped: SkippedFiles = {}
    try:
        classes = {} if folders.sets_inside(place) else folders.class_images(place, skipped)
    except UserError:
        classes = {}
    if not classes:
        raise UserError(folders.no_split(place, "train"))
    files = files_of_classes(classes)
    remark = (
        f"{place} has no folders train and val: its {len(files.paths):,} images in class folders are every split, so "
        "what compares val with train compares images with themselves"
    )
    remarks = [remark, *remarks_on(skipped, place)]
    return Source(readable(list(classes), place), files, files, list(classes), remarks, files)


def images(root: str | Path | None) -> Source:
    """Every image under root, the same for training and validation: to examine a finished net with.

    The images are one unlabeled class, unless all lie in folders named by ImageNet's ids, side by side in root or in
    one folder of it, like ImageNet's validation set. An ImageNet net can be evaluated on such a folder.
    """
    place = folders.existing(root, "images, at any depth")
    skipped: SkippedFiles = {}
    paths = images_under(place, skipped)
    if not paths:
        raise UserError(f"data.root={root} holds no images; needed: files such as {' '.join(folders.ENDINGS)}")
    remarks = remarks_on(skipped, place)
    above = [path.relative_to(place).parent.parts for path in paths]  # ("val", "n01440764")
    depths = {next((at for at, wnid in enumerate(wnids_of(parts)) if wnid), None) for parts in above}
    depth = depths.pop() if len(depths) == 1 else None
    if depth is None or len({parts[:depth] for parts in above}) > 1:  # train and val together are no validation set
        files = Files(paths, np.zeros(len(paths), np.int64))
        return Source(["unlabeled"], files, files, test=files, remarks=remarks)
    ids = [parts[depth] for parts in above]
    names = sorted(set(ids))
    files = Files(paths, np.unique(ids, return_inverse=True)[1].astype(np.int64))
    return Source(readable(names, place), files, files, names, test=files, remarks=remarks)


def imagenet(root: str | Path | None) -> Source:
    """ImageNet 2012 as torchvision lays it out: root/{train,val}/<wnid>/*.JPEG. The devkit is not needed."""
    return folder(root)


def limited(split: Split, limit: int | None, seed: int) -> Split:
    """At most `limit` images in their order, chosen by seed, as evenly over the classes as the images allow."""
    if limit is None or limit >= len(split.labels):
        return split
    return subset(split, evenly(split.labels, limit, seed))


def all_limited(splits: Collection[Split], limit: int | None, seed: int) -> list[Split]:
    """At most `limit` images of each split; a set that is several splits stays one."""
    images = {id(split): limited(split, limit, seed) for split in splits}
    return [images[id(split)] for split in splits]


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
    parts = split.parts and split.parts.of(chosen)
    return Pixels(split.images[chosen], split.labels[chosen], targets(split, chosen), parts)


def without(split: Split, names: Collection[str]) -> Split:
    """The split without the files of these names, in the form of BadImage.name."""
    if not names or not isinstance(split, Files):
        return split
    return subset(split, np.flatnonzero([printable(path) not in names for path in split.paths]))


def image_name(split: Split, position: int) -> str:
    """The image's file, its name in its chunk, or its number where it has no name; one line of plain text."""
    if isinstance(split, Pixels):
        return str(position)
    return printable(split.paths[position] if isinstance(split, Files) else split.name(position))


def targets(split: Split, chosen: np.ndarray) -> np.ndarray | None:
    """Targets [n, K] of the images at these positions, None where an image shows one class alone."""
    return None if isinstance(split, Chunks) or split.targets is None else split.targets[chosen]


def files_of_classes(classes: ClassFolders) -> Files:
    """Images of all classes in one list; labels count the classes in the order of their folders' names."""
    sizes = [len(images) for images in classes.values()]
    return Files([path for images in classes.values() for path in images], np.repeat(np.arange(len(sizes)), sizes))
