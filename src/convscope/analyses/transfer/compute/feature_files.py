"""Features of all images in files: one array for each layer of each net, filled row by row and read back in parts.

Memory holds no more than a batch, however many images there are.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from convscope.data.module import SplitName
from convscope.errors import UserError

SPLITS: tuple[SplitName, SplitName] = ("train", "val")  # the order of the rows in every file
READ_AT_ONCE = 512  # images whose features are read from disk at a time


class StoredFeatures(NamedTuple):
    """layers: features [N, D] of one net, in files. labels [N]: the data's classes. Training images come first."""

    layers: dict[str, NDArray[np.floating]]
    labels: NDArray[np.int64]


@contextmanager
def feature_files(
    sizes: Mapping[str, Mapping[str, int]], count: int, kind: str, keep: str | None, cache: Path
) -> Iterator[dict[str, StoredFeatures]]:
    """Empty features and labels of `count` images while the block runs, by net. sizes: values of an image, by layer.

    kind: float16 or float32. keep: a folder where the files stay, those of the first net in the folder itself; None: a
    folder of its own in the cache, whose files have no name from the start: whatever ends the process, the room is free
    again. Raises UserError where the disk has too little room or cannot be written.
    """
    folder, labels = _make_folder(keep, cache), np.zeros(count, np.int64)
    try:
        values = sum(sum(by_layer.values()) for by_layer in sizes.values())
        _check_room(folder, count * values * np.dtype(kind).itemsize, count)
        stored = {
            net: StoredFeatures(_create_files(folder / (net if number else ""), by_layer, count, kind), labels)
            for number, (net, by_layer) in enumerate(sizes.items())
        }
        with ExitStack() as until_reserved:
            files = [until_reserved.enter_context(open(path, "r+b")) for path in folder.rglob("*.npy")]
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)  # an open file keeps its room; Windows takes it at the end
            for file in files:
                _reserve_room(file, folder)
        yield stored
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def storable(values: Tensor, layer: str, kind: np.dtype) -> NDArray[np.floating]:
    """A layer's values as this kind of float. Raises UserError for values that are not finite or too large for it."""
    if not values.isfinite().all():
        raise UserError(f"layer {layer} puts out values that are not finite, so nothing can be learned from them")
    largest = float(values.abs().max())
    if largest > np.finfo(kind).max:
        raise UserError(
            f"layer {layer} puts out values up to {largest:.3g}, too large for {kind}; type transfer.store=float32"
        )
    return values.float().cpu().numpy().astype(kind)


def read_vectors(features: NDArray[np.floating], positions: NDArray[np.int64], unit_length: bool) -> Tensor:
    """Features [n, D] float32 of the images at these positions; unit_length: each divided by its length."""
    order = np.argsort(positions)  # the file is read forwards
    vectors = torch.empty(len(positions), features.shape[1])
    vectors[torch.from_numpy(order)] = torch.from_numpy(np.asarray(features[positions[order]], np.float32))
    return F.normalize(vectors, dim=1) if unit_length else vectors


def _make_folder(keep: str | None, cache: Path) -> Path:
    """The folder transfer.keep, or a new one in the cache."""
    folder = Path(keep).expanduser() if keep else cache
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder if keep else Path(tempfile.mkdtemp(prefix="features-", dir=cache))
    except OSError as error:
        key = "transfer.keep" if keep else "data.cache_dir"
        raise UserError(f"{key}={folder} cannot be written: {error.strerror}; name another folder") from None


def _check_room(folder: Path, needed: int, count: int) -> None:
    free = shutil.disk_usage(folder).free
    words = f"features of {count} images take {needed / 2**30:.2f} GiB in {folder}"
    if needed > free:
        raise UserError(
            f"{words}, where {free / 2**30:.2f} GiB are free; type transfer.store=float16, a smaller transfer.grid, "
            "fewer transfer.layers, or transfer.keep=<folder on a larger disk>"
        )
    print(words, flush=True)


def _create_files(folder: Path, sizes: Mapping[str, int], count: int, kind: str) -> dict[str, NDArray[np.floating]]:
    files = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for layer, size in sizes.items():
            path = folder / f"{layer}.npy"
            path.unlink(missing_ok=True)
            files[layer] = cast(NDArray[np.floating], open_memmap(path, "w+", np.dtype(kind), (count, size)))
    except OSError as error:
        raise UserError(f"features cannot be kept in {folder}: {error.strerror}") from None
    return files


def _reserve_room(file: IO[bytes], folder: Path) -> None:
    """Takes the file's room on disk before it is filled.

    Without it a full disk is met when a page of memory is written, and the system ends the process without a message.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # other file systems cannot take room beforehand
            raise UserError(f"features cannot be kept in {folder}: {error.strerror}") from None
