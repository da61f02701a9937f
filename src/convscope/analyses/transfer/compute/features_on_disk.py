"""Features of every image of a data set, from one pass over the images for all layers and nets, kept in files.

The pass fills one array on disk for each layer, so memory holds no more than a batch, however many images there are.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from convscope.analyses.subject import Subject
from convscope.analyses.transfer.compute.dense import DENSE, Dense, Scales
from convscope.data.module import SplitName
from convscope.engine.axes import axes_of, maps_shape
from convscope.engine.features import features
from convscope.engine.progress import track, track_parts
from convscope.engine.trace import trace
from convscope.errors import UserError

SPLITS: tuple[SplitName, SplitName] = ("train", "val")
BLOCK = 512  # images read from disk at once


class OnDisk(NamedTuple):
    """layers: features [N, D] of one net, in files. labels [N]: the data's classes. Training images come first."""

    layers: dict[str, NDArray[np.floating]]
    labels: NDArray[np.int64]


class Wanted(NamedTuple):
    """What of the images is put on disk.

    layers: by module path. grid: each map becomes its maxima in grid x grid parts of it. scales: whole images at these
    sizes too, as the layer "dense" (VGG). kind: float16 or float32. keep: a folder where the files stay, <layer>.npy
    and labels.npy, those of other nets in folders of their names; None: no file is left.
    """

    layers: list[str]
    grid: int
    scales: Scales | None = None
    kind: str = "float32"
    keep: str | None = None


@contextmanager
def features_on_disk(subjects: Mapping[str, Subject], wanted: Wanted) -> Iterator[dict[str, OnDisk]]:
    """Features of all images of both splits while the block runs, of several nets by name on the images of the first.

    Files that do not stay have no name from the start: whatever ends the process, the room is free again.
    Raises UserError where the disk has too little room or cannot be written, for an unknown layer, and for values that
    are not finite.
    """
    data = next(iter(subjects.values())).data
    count = sum(data.size(split) for split in SPLITS)
    dense = {name: Dense(subject, wanted.scales) for name, subject in subjects.items() if wanted.scales}
    sizes = {name: _sizes(subject, wanted) for name, subject in subjects.items()}
    for name, each in dense.items():
        sizes[name][DENSE] = each.size
    place, labels = _place(wanted.keep, Path(data.settings.cache_dir).expanduser()), np.zeros(count, np.int64)
    try:
        _room(place, count * sum(sum(each.values()) for each in sizes.values()) * np.dtype(wanted.kind).itemsize, count)
        kept = {
            name: OnDisk(_files(place / (name if number else ""), each, count, wanted.kind), labels)
            for number, (name, each) in enumerate(sizes.items())
        }
        with ExitStack() as until:
            files = [until.enter_context(open(path, "r+b")) for path in place.rglob("*.npy")]
            if not wanted.keep:
                shutil.rmtree(place, ignore_errors=True)  # an open file keeps its room; Windows takes it at the end
            for file in files:
                _take_room(file, place)
        _fill(subjects, kept, pooled(wanted.grid))
        if wanted.scales:
            _fill_dense(subjects, dense, kept, wanted.scales)
        if wanted.keep:
            np.save(place / "labels.npy", labels)
        yield kept
    finally:
        if not wanted.keep:
            shutil.rmtree(place, ignore_errors=True)


def _place(keep: str | None, cache: Path) -> Path:
    """The folder transfer.keep, or one of its own in the cache."""
    folder = Path(keep).expanduser() if keep else cache
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder if keep else Path(tempfile.mkdtemp(prefix="features-", dir=cache))
    except OSError as error:
        key = "transfer.keep" if keep else "data.cache_dir"
        raise UserError(f"{key}={folder} cannot be written: {error.strerror}; name another folder") from None


def pooled(grid: int) -> Callable[[Tensor], Tensor]:
    """Makes vectors [N, D] of a layer's output: maps [N, C, h, w] become maxima on at most grid x grid places, because
    conv1 alone has 1.2 million values at 224 pixels; units [N, D] stay as they are. The paper does not say what it took
    of the maps: a grid of 6 is what its own last pool leaves of layer 5.
    """

    def take(output: Tensor) -> Tensor:
        if output.dim() != 4:
            return output.flatten(1).clone()
        sides = min(grid, output.shape[2]), min(grid, output.shape[3])
        return F.adaptive_max_pool2d(output, sides).flatten(1)

    return take


def vectors(held: NDArray[np.floating], positions: NDArray[np.int64], unit_length: bool) -> Tensor:
    """Features [n, D] float32 of these images, in their order; unit_length: each divided by its length."""
    order = np.argsort(positions)  # the file is read forwards
    found = torch.empty(len(positions), held.shape[1])
    found[torch.from_numpy(order)] = torch.from_numpy(np.asarray(held[positions[order]], np.float32))
    return F.normalize(found, dim=1) if unit_length else found


def as_seen_by(subject: Subject, first: Subject) -> Callable[[Tensor], Tensor]:
    """From center crops as `first` takes them to those that `subject` takes: another mean image, another scale."""
    if subject.data is first.data:
        return lambda images: images
    size, sides = subject.data.settings.image_size, (first.data.mean.shape[-1], subject.data.mean.shape[-1])
    if sides[0] != sides[1] or size != first.data.settings.image_size:
        raise UserError(f"a net of {size} pixels beside one of {first.data.settings.image_size}: transfer.beside takes "
                      "nets of one image size; look at them one by one")  # fmt: skip
    start = (sides[0] - size) // 2
    cut = slice(start, start + size)
    means = [one.data.mean[:, cut, cut] for one in (first, subject)]
    was, now = (torch.as_tensor(one.data.settings.pixel_scale).view(-1, 1, 1) for one in (first, subject))
    return lambda images: ((images / was + means[0] - means[1]) * now).contiguous(memory_format=torch.channels_last)


def _sizes(subject: Subject, wanted: Wanted) -> dict[str, int]:
    side = subject.data.settings.image_size
    pass_ = trace(subject.net, (3, side, side))
    axes, numbers = axes_of(pass_), {layer: pass_.layer(layer).output for layer in wanted.layers}
    shapes = {layer: maps_shape(pass_.shapes[number], axes.get(number)) for layer, number in numbers.items()}
    return {layer: pooled(wanted.grid)(torch.zeros(1, *shape[1:])).shape[1] for layer, shape in shapes.items()}


def _room(place: Path, needed: int, count: int) -> None:
    free = shutil.disk_usage(place).free
    words = f"features of {count} images take {needed / 2**30:.2f} GiB in {place}"
    if needed > free:
        raise UserError(
            f"{words}, where {free / 2**30:.2f} GiB are free; type transfer.store=float16, a smaller transfer.grid, "
            "fewer transfer.layers, or transfer.keep=<folder on a larger disk>"
        )
    print(words, flush=True)


def _files(place: Path, sizes: Mapping[str, int], count: int, kind: str) -> dict[str, NDArray[np.floating]]:
    files = {}
    try:
        place.mkdir(parents=True, exist_ok=True)
        for layer, size in sizes.items():
            path = place / f"{layer}.npy"
            path.unlink(missing_ok=True)
            files[layer] = cast(NDArray[np.floating], open_memmap(path, "w+", np.dtype(kind), (count, size)))
    except OSError as error:
        raise UserError(f"features cannot be kept in {place}: {error.strerror}") from None
    return files


def _take_room(file: IO[bytes], place: Path) -> None:
    """Now: of a disk that is full when a page of memory is written the system tells nothing, it ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # other file systems cannot take room beforehand
            raise UserError(f"features cannot be kept in {place}: {error.strerror}") from None


def _fill(subjects: Mapping[str, Subject], kept: Mapping[str, OnDisk], take: Callable[[Tensor], Tensor]) -> None:
    first = next(iter(subjects.values()))
    looks = {name: as_seen_by(subject, first) for name, subject in subjects.items()}
    start = 0
    for split in SPLITS:
        for batch in track(first.data.ordered_dataloader(split), f"features of the {split} images"):
            rows = start + batch.index.numpy()
            for name, subject in subjects.items():
                held = kept[name]
                held.labels[rows] = batch.label.numpy()
                layers = [layer for layer in held.layers if layer != DENSE]
                seen = features(subject.net, looks[name](batch.image), layers, take).layers
                for layer, values in seen.items():
                    held.layers[layer][rows] = _storable(values, layer, held.layers[layer].dtype)
        start += first.data.size(split)


def _fill_dense(
    subjects: Mapping[str, Subject], dense: Mapping[str, Dense], kept: Mapping[str, OnDisk], scales: Scales
) -> None:
    first, start = next(iter(subjects.values())), 0
    settings = first.data.settings
    pixels = settings.batch_size * settings.image_size**2 // 2  # a batch of the net's own, with the mirror images
    for split in SPLITS:
        words = f"whole {split} images of {', '.join(map(str, scales.sides))} pixels"
        groups = first.data.rectangles(split, torch.arange(count := first.data.size(split)), scales.sides, pixels)
        for group in track_parts(groups, words, count, lambda group: len(group.index)):
            for name, look in dense.items():
                file = kept[name].layers[DENSE]
                file[start + group.index.numpy()] = _storable(look.of(group.images), DENSE, file.dtype)
        start += count


def _storable(values: Tensor, layer: str, kind: np.dtype) -> NDArray[np.floating]:
    if not values.isfinite().all():
        raise UserError(f"layer {layer} puts out values that are not finite, so nothing can be learned from them")
    most = float(values.abs().max())
    if most > np.finfo(kind).max:
        raise UserError(
            f"layer {layer} puts out values up to {most:.3g}, too large for {kind}; type transfer.store=float32"
        )
    return values.float().cpu().numpy().astype(kind)
