"""The cache of decoded images: uint8 copies of the stored size in a memory map, and their mean image.

An entry of the cache is a folder that appears under its name only when it is complete: images.u8 (absent where the
images do not fit the budget and are decoded in every epoch), mean.npy, facts.json. The name is a digest of the images'
paths, sizes and times of change, and of the decoder: the next run on the same images opens the same entry.
"""

import json
import os
import shutil
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from convscope.data import passes
from convscope.data.decode import BadImage, Interpolation, Unreadable, bad_images_error, check_plugins, fingerprint
from convscope.data.decoders import decoder_versions
from convscope.data.passes import Failure, ImageReader, Statistics
from convscope.data.sources import Files, Pixels, Split, subset, targets
from convscope.data.stream.chunks import Chunks
from convscope.errors import UserError

FORMAT = 2  # part of every entry's name; raise it when decoding or the entry's files change


class Cache(NamedTuple):
    """A folder on disk that holds at most `gib` GiB of decoded images."""

    folder: Path
    gib: float

    def fits(self, splits: tuple[Split, ...], size: int) -> bool:
        """Whether these splits together stay within the budget and the free disk; not in a folder that is closed."""
        needed = sum(_bytes(split, size) for split in splits)
        with suppress(OSError):
            existing = next(path for path in (self.folder, *self.folder.parents) if path.exists())
            return needed <= min(self.gib * 2**30, 0.95 * (shutil.disk_usage(existing).free + self.occupied()))
        return False

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

    bad: the images left out. good: positions of the others; None: none is left out. remark: why images are decoded in
    every epoch though they fit; "" where they are not.
    """

    split: Split
    statistics: Statistics
    bad: list[BadImage]
    good: np.ndarray | None = None
    remark: str = ""


class Decoding(NamedTuple):
    """What is decoded: images of a split to size x size pixels. read: an image of it. on_bad: stop or skip."""

    split: Files | Pixels
    size: int
    read: ImageReader
    on_bad: str

    def pass_into(self, file: BinaryIO) -> tuple[Statistics, list[Failure]]:
        """Decodes all images into a file. Raises UserError as decoded_once."""
        if self.on_bad == "stop" and isinstance(self.split, Files):
            check_plugins(self.split.paths)
        return passes.decoded_into(file, self.read, len(self.split.labels), self.size, self.refuse)

    def refuse(self, failures: Sequence[Failure], count: int) -> None:
        """Raises UserError for failures among the first `count` images where they are not to be skipped."""
        if failures and (self.on_bad == "stop" or len(failures) == count == len(self.split.labels)):
            problem = bad_images_error(self.named(failures), count)
            none = f"none of {count} images can be read; the first: " if self.on_bad == "skip" else ""
            raise UserError(f"{none}{problem}") if none else problem

    def named(self, failures: Iterable[Failure]) -> list[BadImage]:
        """The files that failed; pixels never do."""
        paths = self.split.paths if isinstance(self.split, Files) else []
        return [BadImage(paths[failure.place], failure.reason) for failure in failures]


class StoredEntry(NamedTuple):
    """An entry of the cache. files: place of each failure with a lasting reason -> its file's fingerprint then.

    images: those that could be read, [N, R, R, 3]; None where no pixels are stored. decoders: that failed.
    """

    statistics: Statistics
    failures: list[Failure]
    images: np.ndarray | None = None
    files: dict[int, list[int] | None] = {}
    decoders: str = ""

    def doubtful(self, split: Files | Pixels) -> list[int]:
        """The failures that may have been mended: all but those of the same bytes and the same decoders."""
        if isinstance(split, Pixels) or not self.failures:
            return []
        is_same = self.decoders == decoder_versions()
        places, files = (failure.place for failure in self.failures), self.files
        return [place for place in places if not is_same or files.get(place) != fingerprint(split.paths[place])]


def decoded_once(
    split: Split,
    size: int,
    cache: Cache,
    keep: bool,
    on_bad: Literal["stop", "skip"],
    interpolation: Interpolation = "bilinear",
) -> PreparedSplit:
    """The split with images of smallest side `size`, center size x size (section 3), from the cache or put into it.

    keep=False reads all images too, for their mean and to find the unreadable ones, but stores no pixels; so does a
    cache that cannot be read or written. Raises UserError: an unreadable image (on_bad="stop"), no readable one.
    """
    if isinstance(split, Chunks):  # read and counted at their conversion
        return PreparedSplit(split, split.statistics, [])
    if isinstance(split, Pixels) and split.images.shape[1:3] == (size, size):
        return PreparedSplit(split, passes.statistics_of(split.images), [])
    images = split.paths if isinstance(split, Files) else split.images
    task = Decoding(split, size, passes.image_reader(images, size, interpolation), on_bad)
    method = "" if interpolation == "bilinear" else f" {interpolation}"  # of bilinear, entries of 0.1 remain valid
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        key = passes.digest(images, f"{FORMAT} {size} {len(split.labels)}{method}")
        entry = cache.folder / f"images-{key}{'' if keep else '-stream'}"
        with _locked(entry):
            return _prepared(task, _entry(task, entry, cache if keep else None))
    except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
        reason = getattr(error, "strerror", None) or error
    remark = f"data.cache_dir={cache.folder}: {reason}; images are decoded in every epoch: name another folder"
    with open(os.devnull, "wb") as nowhere:
        return _prepared(task, StoredEntry(*task.pass_into(nowhere)))._replace(remark=remark)


@contextmanager
def _locked(entry: Path) -> Iterator[None]:
    """Of several processes one decodes, the others wait. An entry in a folder that is only to be read needs no lock."""
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(entry.with_suffix(".lock")))
        except (OSError, NotImplementedError):
            if not entry.is_dir():
                raise
        yield


def _entry(task: Decoding, entry: Path, cache: Cache | None) -> StoredEntry:
    """The entry as it is stored, or built: where there is none, a damaged one, or one that lacks mended images."""
    if (stored := _stored_entry(task, entry, cache)) is None:
        _build(task, entry, cache)
    elif doubtful := stored.doubtful(task.split):
        again = dict(zip(doubtful, map(task.read, doubtful), strict=True))
        failures = [passes.failure_of(place, error) for place, error in again.items() if isinstance(error, Unreadable)]
        if len(failures) < len(doubtful):
            _build(task._replace(read=_reusing(task.read, stored)), entry, cache)
        else:
            unchanged = [failure for failure in stored.failures if failure.place not in again]
            with suppress(OSError):  # somebody else's cache
                _write_facts(task, entry, stored.statistics.std, sorted([*failures, *unchanged]))
    with suppress(OSError):
        os.utime(entry)
    if (built := _stored_entry(task, entry, cache)) is None:
        raise OSError(f"{entry.name} cannot be read")
    return built


def _stored_entry(task: Decoding, entry: Path, cache: Cache | None) -> StoredEntry | None:
    """None where there is no entry, or a damaged one."""
    try:
        facts = json.loads((entry / "facts.json").read_text())
        files = {int(place): file for place, file in facts.get("files", {}).items()}  # 0.1 had none
        failures = [Failure(place, reason, place in files) for place, reason in facts["bad"]]
        shape = len(task.split.labels) - len(failures), task.size, task.size, 3
        images = np.memmap(entry / "images.u8", np.uint8, "r", shape=shape) if cache else None
        statistics = Statistics(np.load(entry / "mean.npy"), facts["std"])
        return StoredEntry(statistics, failures, images, files, facts.get("decoders", ""))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None


def _prepared(task: Decoding, stored: StoredEntry) -> PreparedSplit:
    split, count = task.split, len(task.split.labels)
    task.refuse(stored.failures, count)
    good, bad = np.setdiff1d(np.arange(count), [failure.place for failure in stored.failures]), stored.failures
    readable: Split = subset(split, good) if bad else split
    if stored.images is not None:
        readable = Pixels(stored.images, readable.labels, targets(split, good))
    return PreparedSplit(readable, stored.statistics, task.named(bad), good if bad else None)


def _build(task: Decoding, entry: Path, cache: Cache | None) -> None:
    part = entry.with_name(f"{entry.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # left by a run that was killed
    if cache:
        cache.make_room(_bytes(task.split, task.size))
    part.mkdir()
    try:
        with open(part / "images.u8" if cache else os.devnull, "wb") as file:
            statistics, failures = task.pass_into(file)
        np.save(part / "mean.npy", statistics.mean)
        _write_facts(task, part, statistics.std, failures)
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one, or one that lacks mended images
        os.replace(part, entry)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_facts(task: Decoding, entry: Path, std: float, failures: Sequence[Failure]) -> None:
    facts: dict[str, Any] = {"std": std, "bad": [(failure.place, failure.reason) for failure in failures]}
    if isinstance(task.split, Files) and failures:
        paths, lasting = task.split.paths, [failure.place for failure in failures if failure.is_lasting]
        facts |= {"decoders": decoder_versions(), "files": {place: fingerprint(paths[place]) for place in lasting}}
    part = entry / "facts.part"
    part.write_text(json.dumps(facts))
    os.replace(part, entry / "facts.json")


def _reusing(read: ImageReader, stored: StoredEntry) -> ImageReader:
    """Reads the images that an entry lacks, and takes the others from it."""
    images, bad = stored.images, sorted(failure.place for failure in stored.failures)
    if images is None:
        return read
    failed = set(bad)
    return lambda number: read(number) if number in failed else images[number - bisect_left(bad, number)]


def _bytes(split: Split, size: int) -> int:
    return len(split.labels) * size * size * 3
