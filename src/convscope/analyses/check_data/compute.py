"""Every image of a data set read once: its size, whether it can be read, which images have the very same pixels."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convscope.analyses.check_data.about import CheckDataConfig
from convscope.data.decode import BadImage, Unreadable, content, decoded_bytes, described, fitted, printable
from convscope.data.folder_contents import Skipped
from convscope.data.passes import in_blocks
from convscope.data.sources import Files, Source, Split, image_name
from convscope.data.stream.chunks import Chunks
from convscope.data.transforms import stored_size

LISTED = 8  # classes that a warning names
SMALL = 0.1  # share of enlarged images that is worth a warning


class DataSet(NamedTuple):
    """A data set as it is on disk. refusal: the error of training on it, "" where there is none.

    ignored_files: files that do not count as images, by the reason.
    """

    source: Source
    refusal: str = ""
    ignored_files: dict[str, Skipped] = {}


class SplitImages(NamedTuple):
    """A split of N images. pixel_hash [N] int64: the same for the same pixels, 0 for an unreadable image.

    width, height [N]: before anything is cut. modes [N]: Pillow's. bad: position of an unreadable image -> reason.
    """

    name: str
    split: Split
    pixel_hash: np.ndarray
    width: np.ndarray
    height: np.ndarray
    modes: list[str]
    bad: dict[int, str]

    @property
    def good(self) -> np.ndarray:
        """Which images can be read, [N] bool."""
        return self.pixel_hash != 0

    def file(self, position: int) -> str:
        """Path or name of an image, for display; its number where it has none."""
        return image_name(self.split, position)


class DuplicateGroup(NamedTuple):
    """Two or more images with the very same pixels, each (split, position)."""

    members: list[tuple[SplitImages, int]]

    @property
    def classes(self) -> list[int]:
        """Numbers of the images' classes, ascending."""
        return sorted({int(images.split.labels[position]) for images, position in self.members})

    @property
    def splits(self) -> list[str]:
        """Names of the images' splits."""
        return list(dict.fromkeys(images.name for images, _ in self.members))


class Survey(NamedTuple):
    """size: side of the images as they are stored, to which smaller ones are enlarged. margin: cut off at each side."""

    data_set: DataSet
    splits: list[SplitImages]
    duplicates: list[DuplicateGroup]
    size: int
    margin: int

    def bad(self) -> list[BadImage]:
        """All unreadable images."""
        return [
            BadImage(Path(images.file(position)), reason)
            for images in self.splits
            for position, reason in images.bad.items()
        ]

    @property
    def shared(self) -> int:
        """How many images of val are also in train."""
        in_both = [group for group in self.duplicates if len(group.splits) > 1]
        return sum(images.name == "val" for group in in_both for images, _ in group.members)

    def small(self, images: SplitImages) -> int:
        """How many images are enlarged."""
        return int((np.minimum(images.width, images.height)[images.good] < self.size).sum())


def survey(data_set: DataSet, image_size: int) -> Survey:
    """Reads both splits on all cores; one split where both are the same images."""
    size, source = stored_size(image_size), data_set.source
    splits = {"train": source.train} | ({} if source.val is source.train else {"val": source.val})
    images = [_read_split(name, split, size) for name, split in splits.items()]
    return Survey(data_set, images, _duplicates(images), size, (size - image_size) // 2)


def complaints(survey: Survey, plan: CheckDataConfig) -> list[str]:
    """What is wrong, the worst first, a line each."""
    data_set = survey.data_set
    lines = [f"training refuses this set: {data_set.refusal}"] if data_set.refusal else []
    bad, total = survey.bad(), sum(len(images.pixel_hash) for images in survey.splits)
    if bad:
        lines.append(f"{_count(len(bad))} of {total} cannot be read (bad_images.csv); training stops there unless "
                     "data.on_bad_image=skip is typed")  # fmt: skip
    lines += _duplicate_complaints(survey)
    for images in survey.splits:
        lines += _split_complaints(survey, images, plan.few if images.name == "train" else 1)
    if ignored := data_set.ignored_files:
        reasons = [f"{why} ({files.number})" for why, files in ignored.items()]
        total = sum(files.number for files in ignored.values())
        lines.append(f"not taken for images: {total} files, {_first_names(reasons)}")
    return lines


def _split_complaints(survey: Survey, images: SplitImages, minimum: int) -> list[str]:
    """Classes with fewer than `minimum` images, and images that will be enlarged."""
    lines, names = list[str](), survey.data_set.source.classes
    counts = np.bincount(images.split.labels[images.good], minlength=len(names))
    thin = [label for label in np.argsort(counts, kind="stable").tolist() if counts[label] < minimum]
    if thin:
        listed = _first_names([f"{names[label]} ({counts[label]})" for label in thin])
        lines.append(f"{images.name}: classes with fewer than {_count(minimum)} to read: {listed}")
    if (small := survey.small(images)) > SMALL * len(images.pixel_hash):
        lines.append(f"{images.name}: {_count(small)} of {len(images.pixel_hash)} with a side under {survey.size} "
                     "pixels, which will be enlarged")  # fmt: skip
    return lines


def _duplicate_complaints(survey: Survey) -> list[str]:
    lines, names = list[str](), survey.data_set.source.classes
    conflicting = [group for group in survey.duplicates if len(group.classes) > 1]
    if survey.shared:
        lines.append(f"{_count(survey.shared)} of val in train, too, pixel by pixel: what is seen tests nothing")
    if conflicting:
        classes = [" and ".join(names[label] for label in group.classes) for group in conflicting]
        listed = _first_names(list(dict.fromkeys(classes)))
        lines.append(f"{_count(len(conflicting))} in several classes at once: {listed}")
    for images in survey.splits:
        in_split = [sum(member is images for member, _ in group.members) for group in survey.duplicates]
        if repeats := sum(max(0, count - 1) for count in in_split):
            lines.append(f"{_count(repeats)} of {images.name} the same as others there, pixel by pixel")
    return lines


def _count(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


def _first_names(names: list[str]) -> str:
    listed = ", ".join(map(printable, names[:LISTED]))
    return listed if len(names) <= LISTED else f"{listed} and {len(names) - LISTED} more"


def _read_split(name: str, split: Split, size: int) -> SplitImages:
    count = len(split.labels)
    pixel_hash, width, height = np.zeros((3, count), np.int64)
    images = SplitImages(name, split, pixel_hash, width, height, [""] * count, {})
    read, position = _reader(split, size), 0
    for block in in_blocks(read, count, f"reading {name}"):
        for facts in block:
            if isinstance(facts, Unreadable):
                images.bad[position] = str(facts)
            else:
                pixel_hash[position], width[position], height[position], images.modes[position] = facts
            position += 1
    return images


def _reader(split: Split, size: int) -> Callable[[int], tuple[int, int, int, str] | Unreadable]:
    """A function from a position to the image's pixel hash, width, height and mode, or to the error of reading it."""

    def read(position: int) -> tuple[int, int, int, str] | Unreadable:
        try:
            if isinstance(split, Files):
                data = content(split.paths[position])
                return _hash(decoded_bytes(data, size)), *described(data)
            image = split.image(position) if isinstance(split, Chunks) else split.images[position]
            return _hash(fitted(image, size)), image.shape[1], image.shape[0], "RGB"
        except Unreadable as error:
            return error

    return read


def _hash(pixels: np.ndarray) -> int:
    """A hash that is never 0. The chance that two of a million images have the same by accident is 1 to ten million."""
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8).digest()
    return int.from_bytes(digest, signed=True) or 1


def _duplicates(splits: list[SplitImages]) -> list[DuplicateGroup]:
    """Groups of several classes first, then those of both splits."""
    hashes = np.concatenate([images.pixel_hash for images in splits])
    members = [(images, position) for images in splits for position in range(len(images.pixel_hash))]
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=np.int64(0)) != 0)
    parts = [part for part in np.split(order, starts) if len(part) > 1 and hashes[part[0]]]  # 0: unreadable images
    groups = [DuplicateGroup([members[number] for number in part]) for part in parts]
    return sorted(groups, key=lambda group: (-len(group.classes), -len(group.splits), -len(group.members)))


def mode_rows(survey: Survey) -> list[dict[str, Any]]:
    """A row for each of Pillow's modes with counts by split, the most frequent first."""
    by_split = {images.name: Counter(mode for mode in images.modes if mode) for images in survey.splits}
    ordered = sum(by_split.values(), Counter[str]()).most_common()
    return [{"mode": mode, **{name: counts[mode] for name, counts in by_split.items()}} for mode, _ in ordered]


def sample_tile(images: SplitImages, position: int, survey: Survey) -> np.ndarray:
    """The center of an image that a net gets in validation, [S, S, 3] uint8."""
    split = images.split
    if isinstance(split, Files):
        image = decoded_bytes(content(split.paths[position]), survey.size)
    else:
        image = fitted(split.image(position) if isinstance(split, Chunks) else split.images[position], survey.size)
    center = slice(survey.margin, survey.size - survey.margin or None)
    return image[center, center]
