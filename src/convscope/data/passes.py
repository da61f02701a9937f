"""One pass over all images of a split, in blocks of bounded memory, and the statistics that it collects."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from convscope.data import decoders
from convscope.data.decode import Interpolation, Unreadable, decoded, fitted
from convscope.engine.progress import track_parts

BLOCK = 128  # images decoded ahead
DEPTHS = " 2"  # how images that are no JPEGs are decoded; to be changed with their pixels


def core_count() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_blocks(read: Callable[[int], object], count: int, title: str) -> Iterator[list]:
    """read(0), ..., read(count - 1) in order, a block at a time; one thread per core reads two blocks ahead.

    Decoding and resizing release Python's lock, so threads are enough. A progress bar shows `title` on a terminal.
    """
    yield from track_parts(_read_ahead(read, count), title, count, len)


def _read_ahead(read: Callable[[int], object], count: int) -> Iterator[list]:
    with ThreadPoolExecutor(core_count()) as pool:
        ahead = deque[list]()
        for start in range(0, count + BLOCK, BLOCK):
            ahead.append([pool.submit(read, number) for number in range(start, min(start + BLOCK, count))])
            if len(ahead) == 2:
                yield [future.result() for future in ahead.popleft()]


class Statistics(NamedTuple):
    """mean [R,R,3] float32: the per-pixel mean image, grey levels. std: of the pixels around it, grey levels."""

    mean: np.ndarray
    std: float


class Moments:
    """Sums over images, for the mean image and the spread around it."""

    def __init__(self, size: int):
        self.total, self.squares, self.count = np.zeros((size, size, 3)), 0.0, 0

    def add_(self, images: np.ndarray) -> None:
        """images: [N,R,R,3] uint8."""
        self.total += images.sum(0, dtype=np.uint32)
        flat = images.reshape(-1).astype(np.float32)
        self.squares += float(flat @ flat)
        self.count += len(images)

    def statistics(self) -> Statistics:
        mean = self.total / self.count
        variance = self.squares / (self.count * mean.size) - float((mean**2).mean())
        return Statistics(mean.astype(np.float32), max(variance, 0.0) ** 0.5)


class Failure(NamedTuple):
    """An image that could not be read: its position in the split. is_lasting: see Unreadable."""

    place: int
    reason: str
    is_lasting: bool


ImageReader = Callable[[int], np.ndarray | Unreadable]


def image_reader(images: Sequence[Path] | np.ndarray, size: int, interpolation: Interpolation) -> ImageReader:
    """A function from a position to the image, [size, size, 3] uint8, or to the error of reading its file."""

    def read(position: int) -> np.ndarray | Unreadable:
        if isinstance(images, np.ndarray):
            return fitted(images[position], size, interpolation)
        try:
            return decoded(images[position], size, interpolation)
        except Unreadable as error:
            return error

    return read


def digest(images: Sequence[Path] | np.ndarray, settings: str) -> str:
    """20 letters that change with the images: of files the paths, sizes and times of change, of pixels their content.

    settings: what they are read with. Torchvision's decoder of JPEGs adds nothing: digests of 0.1 remain the same.
    """
    result = hashlib.sha1(settings.encode())
    if isinstance(images, np.ndarray):
        result.update(np.ascontiguousarray(images).data)
        return result.hexdigest()[:20]
    if decoders.DECODER.name != "torchvision":
        result.update(f"{decoders.DECODER.name}\n".encode())
    for path in images:
        depths = "" if path.suffix.lower() in (".jpg", ".jpeg") else DEPTHS
        try:
            status = path.stat()
            times = f" {status.st_size} {status.st_mtime_ns}{depths}\n"
            result.update(os.fsencode(path.absolute()) + times.encode())
        except OSError:  # a broken link counts as an unreadable image
            result.update(os.fsencode(path.absolute()) + b"\n")
    return result.hexdigest()[:20]


def failure_of(place: int, error: Unreadable) -> Failure:
    """The failure of the image at `place`."""
    return Failure(place, str(error), error.is_lasting)


def decoded_into(
    file: BinaryIO, read: ImageReader, count: int, side: int, refuse: Callable[[list[Failure], int], None]
) -> tuple[Statistics, list[Failure]]:
    """Writes the images that can be read, [side, side, 3] each, and returns their statistics and the failures.

    refuse: called after each block with the failures so far among the number of images so far; may raise an error. A
    file is written instead of a memory map: a full disk is then an error instead of a crash.
    """
    moments, failures, done = Moments(side), list[Failure](), 0
    for block in in_blocks(read, count, f"decoding to {side} x {side}"):
        failures += [failure_of(done + at, image) for at, image in enumerate(block) if isinstance(image, Unreadable)]
        done += len(block)
        refuse(failures, done)
        if good := [image for image in block if not isinstance(image, Unreadable)]:
            images = np.stack(good)
            moments.add_(images)
            file.write(images.data)
    return moments.statistics(), failures


def statistics_of(images: np.ndarray) -> Statistics:
    """Statistics of images [N,R,R,3] uint8."""
    moments = Moments(images.shape[1])
    for start in range(0, len(images), BLOCK):
        moments.add_(images[start : start + BLOCK])
    return moments.statistics()
