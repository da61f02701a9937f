"""The cache of decoded images: uint8 copies of the stored size in a memory map, and their mean image.

An entry of the cache is a folder that appears under its name only when it is complete: images.u8 (absent where the
images do not fit the budget and are decoded in every epoch), mean.npy, facts.json. The name is a digest of the images'
paths, sizes and times of change, and of the decoder: the next run on the same images opens the same entry.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from convscope.data import jpeg
from convscope.data.decode import BadImage, Interpolation, Unreadable, bad_images_error, decoded, fitted
from convscope.data.passes import BLOCK, Moments, Statistics, in_blocks
from convscope.data.sources import Files, Pixels, Split, subset, targets
from convscope.data.stream.chunks import Chunks
from convscope.errors import UserError

FORMAT = 2  # part of every entry's name; raise it when decoding or the entry's files change


class Cache(NamedTuple):
    """A folder on disk that holds at most `gib` GiB of decoded images."""

    folder: Path
    gib: float

    def fits(self, splits: tuple[Split, ...], size: int) -> bool:
        """Whether these splits together stay within the budget and the free disk."""
        needed = sum(_bytes(split, size) for split in splits)
        existing = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        return needed <= min(self.gib * 2**30, 0.95 * (shutil.disk_usage(existing).free + self.occupied()))

    def occupied(self) -> int:
        """Bytes of all entries."""
        return sum(path.stat().st_size for path in self._stored())

    def make_room(self, needed: int) -> None:
        """Removes what killed runs left, and the entries not used for longest, until `needed` bytes more fit."""
        for part in self.folder.glob("images-*.part"):
            with suppress(Timeout), FileLock(part.with_suffix(".lock"), timeout=0):  # else another process decodes
                shutil.rmtree(part)
        for path in sorted(self._stored(), key=lambda path: path.parent.stat().st_mtime):
            if self.occupied() + needed > self.gib * 2**30:
                shutil.rmtree(path.parent)

    def _stored(self) -> list[Path]:
        return [path for path in self.folder.glob("images-*/images.u8") if path.parent.suffix != ".part"]


class PreparedSplit(NamedTuple):
    """A split as training reads it: Pixels of the stored size (a memory map), or Files without the unreadable ones.

    bad: the images left out.
    """

    split: Split
    statistics: Statistics
    bad: list[BadImage]


def decoded_once(
    split: Split,
    size: int,
    cache: Cache,
    keep: bool,
    on_bad: Literal["stop", "skip"],
    interpolation: Interpolation = "bilinear",
) -> PreparedSplit:
    """The split with images of smallest side `size`, center size x size (section 3), from the cache or put into it.

    keep=False reads all images too, for their mean and to find the unreadable ones, but stores no pixels.
    Raises UserError: an unreadable image (on_bad="stop"), no readable one, no room on the disk.
    """
    if isinstance(split, Chunks):  # read and counted at their conversion
        return PreparedSplit(split, split.statistics, [])
    if isinstance(split, Pixels) and split.images.shape[1:3] == (size, size):
        return PreparedSplit(split, _statistics(split.images), [])
    entry = cache.folder / f"images-{_key(split, size, interpolation)}{'' if keep else '-stream'}"
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.with_suffix(".lock")):  # of several processes one decodes, the others wait for it
            if not entry.is_dir():
                _build(split, _Resizing(size, interpolation), entry, cache if keep else None, on_bad)
            os.utime(entry)
            return _opened(entry, split, size, on_bad)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"data.cache_dir={cache.folder}: {reason}; name another folder, or less data.cache_gib"
        ) from None


class _Resizing(NamedTuple):
    """How images are resized to the stored size."""

    size: int
    interpolation: Interpolation


def _build(split: Files | Pixels, resizing: _Resizing, entry: Path, cache: Cache | None, on_bad: str) -> None:
    part = entry.with_name(f"{entry.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # left by a run that was killed
    if cache:
        cache.make_room(_bytes(split, resizing.size))
    part.mkdir()
    try:
        _decode_into(split, resizing, part, cache is not None, on_bad)
        os.replace(part, entry)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _decode_into(split: Files | Pixels, resizing: _Resizing, part: Path, keep: bool, on_bad: str) -> None:
    """Writes a file instead of a memory map: a full disk is then an error instead of a crash."""
    side = resizing.size
    moments, bad, count = Moments(side), list[tuple[int, str]](), 0
    with open(part / "images.u8" if keep else os.devnull, "wb") as file:
        for block in in_blocks(_reader(split, resizing), len(split.labels), f"decoding to {side} x {side}"):
            bad += [(count + place, str(image)) for place, image in enumerate(block) if isinstance(image, Unreadable)]
            count += len(block)
            if bad and on_bad == "stop":
                raise bad_images_error(_named(split, bad), count)
            good = [image for image in block if not isinstance(image, Unreadable)]
            if good:
                images = np.stack(good)
                moments.add_(images)
                file.write(images.data)
    if not moments.count:
        raise UserError(
            f"none of {count} images can be read; the first: {bad_images_error(_named(split, bad[:1]), count)}"
        )
    mean, std = moments.statistics()
    np.save(part / "mean.npy", mean)
    (part / "facts.json").write_text(json.dumps({"std": std, "bad": bad}))


def _opened(entry: Path, split: Files | Pixels, size: int, on_bad: str) -> PreparedSplit:
    facts = json.loads((entry / "facts.json").read_text())
    if facts["bad"] and on_bad == "stop":
        raise bad_images_error(_named(split, facts["bad"]), len(split.labels))
    good = np.setdiff1d(np.arange(len(split.labels)), [place for place, _ in facts["bad"]])
    bad = _named(split, facts["bad"])
    statistics = Statistics(np.load(entry / "mean.npy"), facts["std"])
    if not (entry / "images.u8").exists():
        return PreparedSplit(subset(split, good) if bad else split, statistics, bad)
    images = np.memmap(entry / "images.u8", np.uint8, "r", shape=(len(good), size, size, 3))
    return PreparedSplit(Pixels(images, split.labels[good], targets(split, good)), statistics, bad)


def _reader(split: Files | Pixels, resizing: _Resizing) -> Callable[[int], np.ndarray | Unreadable]:
    def read(number: int) -> np.ndarray | Unreadable:
        if isinstance(split, Pixels):
            return fitted(split.images[number], *resizing)
        try:
            return decoded(split.paths[number], *resizing)
        except Unreadable as error:
            return error

    return read


def _named(split: Files | Pixels, bad: list[tuple[int, str]]) -> list[BadImage]:
    return [BadImage(split.paths[place], reason) for place, reason in bad] if isinstance(split, Files) else []


def _statistics(images: np.ndarray) -> Statistics:
    moments = Moments(images.shape[1])
    for start in range(0, len(images), BLOCK):
        moments.add_(images[start : start + BLOCK])
    return moments.statistics()


def _bytes(split: Split, size: int) -> int:
    return len(split.labels) * size * size * 3


def _key(split: Files | Pixels, size: int, interpolation: Interpolation) -> str:
    """A digest of the size and the images: of files the paths, sizes and times of change, of pixels their content.

    Bilinear interpolation and torchvision's decoder add nothing to the digest: entries from before there was a choice
    remain valid.
    """
    method = "" if interpolation == "bilinear" else f" {interpolation}"
    digest = hashlib.sha1(f"{FORMAT} {size} {len(split.labels)}{method}".encode())
    if isinstance(split, Pixels):
        digest.update(np.ascontiguousarray(split.images).data)
        return digest.hexdigest()[:20]
    if jpeg.DECODER.name != "torchvision":
        digest.update(f"{jpeg.DECODER.name}\n".encode())
    for path in split.paths:
        try:
            status = path.stat()
            digest.update(os.fsencode(path.absolute()) + f" {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:  # a broken link counts as an unreadable image
            digest.update(os.fsencode(path.absolute()) + b"\n")
    return digest.hexdigest()[:20]
