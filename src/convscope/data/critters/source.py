"""The drawn set as a Source: pictures are drawn on first use, by one process per core, and cached."""

import errno
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from filelock import FileLock

from convscope.data.critters.face import MASKED_PARTS
from convscope.data.critters.scene import check_size, drawn, part_masks, scene
from convscope.data.critters.species import SPECIES
from convscope.data.part_masks import KnownParts, Masks
from convscope.data.passes import core_count
from convscope.data.sources import Pixels, Source
from convscope.engine.progress import track_parts
from convscope.errors import UserError
from convscope.models.memory import check_memory

VERSION = 1  # part of the cache's file names; raise it when a picture changes
BLOCK = 64  # images that a process draws at a time
FEW = 4 * BLOCK  # fewer are drawn sooner than a second process has started
IN_MEMORY = 2**30  # bytes of images that are drawn into memory at every start where the disk is full
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class Truth(NamedTuple):
    """Where the animal and its parts are in N pictures of `size` pixels."""

    masks: np.ndarray  # [N, size, size] uint8, 1 where the animal is seen
    boxes: np.ndarray  # [N, 6, 4] float32, x0, y0, x1, y1 in pixels, of each of PARTS (left is the viewer's left)


def critters(train: int, val: int, size: int, seed: int, cache_dir: Path | None) -> Source:
    """`train` and `val` images [size, size, 3] uint8, species taking turns; drawn on first use.

    With a cache_dir the images are stored there, size * size * 3 bytes each, and read as a memory map from then on; in
    one that cannot be used they are drawn into memory, and a remark says so. Raises UserError: fewer images than
    species, a size below 16, a disk without room, a script that cannot be imported.
    """
    count = len(SPECIES)
    if min(train, val) < count:
        raise UserError(
            f"{train} train and {val} val critters cannot show {count} species: ask for {count} or more each"
        )
    check_size(size)
    names = [species.name for species in SPECIES]
    remarks = list[str]()
    train_images = _split("train", train, size, seed, cache_dir, remarks)
    val_images = _split("val", val, size, seed, cache_dir, remarks)
    train_images, val_images = (
        images._replace(parts=_known_parts(seed, split, len(images.labels)))
        for split, images in (("train", train_images), ("val", val_images))
    )
    return Source(names, train_images, val_images, remarks=list(dict.fromkeys(remarks)))


def truth(seed: int, split: str, indices: list[int], size: int) -> Truth:
    """Masks and boxes of the images that critters() returns, uncropped, not flipped. Drawn again, about 10 ms each."""
    drawings = [scene(seed, split, index, size) for index in indices]
    return Truth(np.stack([drawing.mask for drawing in drawings]), np.stack([drawing.boxes for drawing in drawings]))


def _known_parts(seed: int, split: str, count: int) -> KnownParts:
    return KnownParts([*MASKED_PARTS, "background"], partial(_part_masks, seed, split), np.arange(count))


@lru_cache(maxsize=1)  # the same images are measured after each epoch of a training
def _part_masks(seed: int, split: str, indices: tuple[int, ...], size: int) -> Masks:
    """[n, P, size, size]: scene.part_masks of these images. Drawn again, about 10 ms each."""
    return np.stack([part_masks(seed, split, index, size) for index in indices])


def _split(split: str, count: int, size: int, seed: int, cache_dir: Path | None, remarks: list[str]) -> Pixels:
    if cache_dir is None:
        return _drawn_into_memory(split, count, size, seed)
    path = Path(cache_dir) / f"critters-v{VERSION}-{split}-{count}x{size}-seed{seed}.npy"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):  # of several processes one draws, the others wait for it
                if not path.exists():
                    _check_room(path.parent, split, count, size)
                    _draw_into(path, split, count, size, seed)
        return Pixels(np.load(path, mmap_mode="r"), _labels(count))
    except (OSError, NotImplementedError, ValueError, EOFError) as error:  # the last two: a damaged file
        reason = getattr(error, "strerror", None) or error
    remarks.append(f"data.cache_dir={cache_dir}: {reason}; critters are drawn at every start: name another folder")
    return _drawn_into_memory(split, count, size, seed)


def _check_room(folder: Path, split: str, count: int, size: int) -> None:
    """Raises OSError where the disk has no room for images that memory holds, UserError for more than that."""
    needed, free = count * size * size * 3, shutil.disk_usage(folder).free
    if needed > free and needed <= IN_MEMORY:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if needed > free:
        have = f"{free / 2**30:.1f} GiB are free in data.cache_dir={folder}"
        raise UserError(
            f"{count:,} {split} critters of {size} x {size} pixels need {needed // 2**30:,} GiB and "
            f"{have}; fewer (data.{split}), smaller ones (data.image_size), or another folder"
        )


def _drawn_into_memory(split: str, count: int, size: int, seed: int) -> Pixels:
    check_memory(count * size * size * 3, f"a set of {count:,} critters", "name another data.cache_dir, or draw fewer")
    return Pixels(np.concatenate(list(_blocks(split, count, size, seed))), _labels(count))


def _labels(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) % len(SPECIES)


def _draw_into(path: Path, split: str, count: int, size: int, seed: int) -> None:
    part = path.with_suffix(".part")  # the lock is held: what a killed process left under this name is overwritten
    try:
        with open(part, "wb") as file:
            _write_header(file, (count, size, size, 3))
            for block in _blocks(split, count, size, seed):
                file.write(block.data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Plain writes rather than a map for writing: a full disk is then an error that can be told."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _blocks(split: str, count: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """The images in order, in blocks [n, size, size, 3] uint8; many are drawn by one fresh process per core."""
    tasks = [(seed, split, range(start, min(start + BLOCK, count)), size) for start in range(0, count, BLOCK)]
    blocks = map(drawn, *zip(*tasks, strict=True)) if count < FEW else _in_processes(tasks)
    yield from track_parts(blocks, f"drawing {split} critters", count, len)


@contextmanager
def held_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect at the end of the block. Other threads than the main one receive no signals."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {
        interrupt: signal.signal(interrupt, lambda number, _: received.append(number)) for interrupt in INTERRUPTS
    }
    try:
        yield
    finally:
        for interrupt, handler in handlers.items():
            signal.signal(interrupt, handler)
        for number in received:
            signal.raise_signal(number)


def _in_processes(tasks: list[tuple[int, str, range, int]]) -> Iterator[np.ndarray]:
    """Processes are spawned, not forked: a fork of a process whose torch or CUDA threads run can hang."""
    pool = ProcessPoolExecutor(min(core_count(), len(tasks)), multiprocessing.get_context("spawn"))
    try:
        with held_signals():  # a process whose start is interrupted would print a traceback
            blocks = pool.map(drawn, *zip(*tasks, strict=True))
        yield from blocks
    except BrokenProcessPool:
        raise UserError(
            "a process that draws critters ended early: too little memory, or a script that starts training when it is "
            "imported; put the script's code under  if __name__ == '__main__':"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
