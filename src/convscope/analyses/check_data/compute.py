"""Every image of a data set read once: what it is, whether it can be read, which others have the very same pixels."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convscope.data.decode import BadImage, Unreadable, content, decoded_bytes, described, fitted, printable
from convscope.data.passes import in_blocks
from convscope.data.sources import Files, Source, Split
from convscope.data.stream.chunks import Chunks
from convscope.data.transforms import stored_size
from convscope.errors import UserError

LISTED = 8  # classes that a warning names
SMALL = 0.1  # share of enlarged images that is worth a warning


@dataclass(frozen=True)
class CheckData:
    """conf/job/check_data.yaml. few: training images that a class should have. classes, shown: of the picture."""

    few: int = 10
    classes: int = 20
    shown: int = 8

    def __post_init__(self) -> None:
        for name, least in (("few", 0), ("classes", 1), ("shown", 1)):
            if getattr(self, name) < least:
                raise UserError(f"check_data.{name}={getattr(self, name)} is too small; it is {least} or more")


class Found(NamedTuple):
    """A data set as it was found. refused: what training says of it, "" where it takes it. passed_over: files that are
    not taken for images, by the reason.
    """

    source: Source
    refused: str = ""
    passed_over: dict[str, list[Path]] = {}


class SplitImages(NamedTuple):
    """A split of N images. equal [N] int64: the same number for the same pixels, 0 for a bad one. width, height [N]:
    as they are seen, before anything is cut. modes [N]: Pillow's. bad: position -> reason.
    """

    name: str
    split: Split
    equal: np.ndarray
    width: np.ndarray
    height: np.ndarray
    modes: list[str]
    bad: dict[int, str]

    @property
    def good(self) -> np.ndarray:
        """[N] bool."""
        return self.equal != 0

    def file(self, position: int) -> str:
        if isinstance(self.split, Files):
            return printable(self.split.paths[position])
        return printable(self.split.name(position)) if isinstance(self.split, Chunks) else str(position)


class Copies(NamedTuple):
    """Images with the very same pixels, (split, position) each, two at least."""

    members: list[tuple[SplitImages, int]]

    @property
    def classes(self) -> list[int]:
        return sorted({int(seen.split.labels[at]) for seen, at in self.members})

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(seen.name for seen, _ in self.members))


class Survey(NamedTuple):
    """size: side of the images as they are stored, to which smaller ones are enlarged. margin: cut off at each side."""

    found: Found
    splits: list[SplitImages]
    copies: list[Copies]
    size: int
    margin: int

    def bad(self) -> list[BadImage]:
        return [BadImage(Path(seen.file(at)), reason) for seen in self.splits for at, reason in seen.bad.items()]

    @property
    def shared(self) -> int:
        """How many images of val are in train, too."""
        both = [group for group in self.copies if len(group.splits) > 1]
        return sum(seen.name == "val" for group in both for seen, _ in group.members)

    def small(self, seen: SplitImages) -> int:
        """How many images are enlarged."""
        return int((np.minimum(seen.width, seen.height)[seen.good] < self.size).sum())


def survey(found: Found, image_size: int) -> Survey:
    """Both splits, read by all cores; one where both are the same images."""
    size, source = stored_size(image_size), found.source
    named = [("train", source.train), *([] if source.val is source.train else [("val", source.val)])]
    splits = [_seen(name, split, size) for name, split in named]
    return Survey(found, splits, list(_copies(splits)), size, (size - image_size) // 2)


def complaints(survey: Survey, plan: CheckData) -> list[str]:
    """What is wrong, the worst first, a line each."""
    found = survey.found
    told = [f"training refuses this set: {found.refused}"] if found.refused else []
    bad, total = survey.bad(), sum(len(seen.equal) for seen in survey.splits)
    if bad:
        told.append(f"{_images(len(bad))} of {total} cannot be read (bad_images.csv); training stops there unless "
                    "data.on_bad_image=skip is typed")  # fmt: skip
    told += _of_copies(survey)
    for seen in survey.splits:
        told += _of_split(survey, seen, plan.few if seen.name == "train" else 1)
    if files := sum(map(len, found.passed_over.values())):
        reasons = [f"{why} ({len(of)})" for why, of in found.passed_over.items()]
        told.append(f"not taken for images: {files} files, {_listed(reasons)}")
    return told


def _of_split(survey: Survey, seen: SplitImages, few: int) -> list[str]:
    told, names = list[str](), survey.found.source.classes
    counts = np.bincount(seen.split.labels[seen.good], minlength=len(names))
    thin = [at for at in np.argsort(counts, kind="stable").tolist() if counts[at] < few]
    if thin:
        listed = _listed([f"{names[at]} ({counts[at]})" for at in thin])
        told.append(f"{seen.name}: classes with fewer than {_images(few)} to read: {listed}")
    if (small := survey.small(seen)) > SMALL * len(seen.equal):
        told.append(f"{seen.name}: {_images(small)} of {len(seen.equal)} with a side under {survey.size} pixels, which "
                    "will be enlarged")  # fmt: skip
    return told


def _of_copies(survey: Survey) -> list[str]:
    told = list[str]()
    torn = [group for group in survey.copies if len(group.classes) > 1]
    if survey.shared:
        told.append(f"{_images(survey.shared)} of val in train, too, pixel by pixel: what is seen tests nothing")
    if torn:
        classes = [" and ".join(survey.found.source.classes[at] for at in group.classes) for group in torn]
        told.append(f"{_images(len(torn))} in several classes at once: {_listed(list(dict.fromkeys(classes)))}")
    for seen in survey.splits:
        more = sum(max(0, sum(one is seen for one, _ in group.members) - 1) for group in survey.copies)
        if more:
            told.append(f"{_images(more)} of {seen.name} the same as others there, pixel by pixel")
    return told


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:LISTED]))
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"


def _seen(name: str, split: Split, size: int) -> SplitImages:
    count = len(split.labels)
    equal, width, height = np.zeros((3, count), np.int64)
    seen = SplitImages(name, split, equal, width, height, [""] * count, {})
    read, at = _reader(split, size), 0
    for block in in_blocks(read, count, f"reading {name}"):
        for one in block:
            if isinstance(one, Unreadable):
                seen.bad[at] = str(one)
            else:
                seen.equal[at], seen.width[at], seen.height[at], seen.modes[at] = one
            at += 1
    return seen


def _reader(split: Split, size: int) -> Callable[[int], tuple[int, int, int, str] | Unreadable]:
    """A number for the pixels that a net gets, width, height, mode."""

    def read(position: int) -> tuple[int, int, int, str] | Unreadable:
        try:
            if isinstance(split, Files):
                data = content(split.paths[position])
                return _number(decoded_bytes(data, size)), *described(data)
            image = split.image(position) if isinstance(split, Chunks) else split.images[position]
            return _number(fitted(image, size)), image.shape[1], image.shape[0], "RGB"
        except Unreadable as error:
            return error

    return read


def _number(pixels: np.ndarray) -> int:
    """Of a million images two different ones get the same with a chance of one to ten million."""
    found = int.from_bytes(hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8).digest(), signed=True)
    return found or 1


def _copies(splits: list[SplitImages]) -> Iterator[Copies]:
    """Those of several classes first, then those of both splits."""
    whole = np.concatenate([seen.equal for seen in splits])
    place = [(seen, at) for seen in splits for at in range(len(seen.equal))]
    order = np.argsort(whole, kind="stable")
    starts = np.flatnonzero(np.diff(whole[order], prepend=np.int64(0)) != 0)
    parts = [part for part in np.split(order, starts) if len(part) > 1 and whole[part[0]]]  # 0: bad ones
    groups = [Copies([place[at] for at in part]) for part in parts]
    groups.sort(key=lambda group: (-len(group.classes), -len(group.splits), -len(group.members)))
    yield from groups


def modes(survey: Survey) -> list[dict[str, Any]]:
    """A row for each kind of pixels, the most frequent first."""
    counts = {seen.name: Counter(mode for mode in seen.modes if mode) for seen in survey.splits}
    every = sum(counts.values(), Counter[str]())
    return [{"mode": mode, **{name: found[mode] for name, found in counts.items()}} for mode, _ in every.most_common()]


def tile(seen: SplitImages, position: int, survey: Survey) -> np.ndarray:
    """[S, S, 3] uint8: the center that a net sees in validation."""
    split = seen.split
    if isinstance(split, Files):
        image = decoded_bytes(content(split.paths[position]), survey.size)
    else:
        image = fitted(split.image(position) if isinstance(split, Chunks) else split.images[position], survey.size)
    kept = slice(survey.margin, survey.size - survey.margin or None)
    return image[kept, kept]
