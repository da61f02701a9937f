"""Features of every image of a data set, from one pass through the net for all layers, kept in files.

The pass fills one array on disk for each layer, so memory holds no more than a batch, however many images there are.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from convscope.data.module import SplitName
from convscope.look.features import features
from convscope.nets.trace import trace
from convscope.problem import Problem
from convscope.progress import track
from convscope.subject import Subject

SPLITS: tuple[SplitName, SplitName] = ("train", "val")
BLOCK = 512  # images read from disk at once


class OnDisk(NamedTuple):
    """layers: features [N, D], in files. labels [N]: the data's classes. Training images come first."""

    layers: dict[str, NDArray[np.floating]]
    labels: NDArray[np.int64]


@contextmanager
def features_on_disk(
    subject: Subject, layers: Sequence[str], grid: int, kind: str, keep: str | None
) -> Iterator[OnDisk]:
    """Features of all images of both splits while the block runs.

    grid: each map becomes its maxima in grid x grid parts of it. kind: float16 or float32. keep: a folder where the
    files stay as <layer>.npy and labels.npy; None: a folder beside the decoded images that is removed at the end.
    Raises Problem where the disk has too little room, for an unknown layer, and for values that are not finite.
    """
    count = sum(subject.data.size(split) for split in SPLITS)
    sizes = _sizes(subject, layers, grid)
    cache = Path(subject.data.settings.cache_dir).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    place = Path(keep).expanduser() if keep else Path(tempfile.mkdtemp(prefix="features-", dir=cache))
    try:
        place.mkdir(parents=True, exist_ok=True)
        _room(place, count * sum(sizes.values()) * np.dtype(kind).itemsize, count)
        files = {layer: _file(place / f"{layer}.npy", (count, size), kind) for layer, size in sizes.items()}
        labels = np.zeros(count, np.int64)
        _fill(subject, OnDisk(files, labels), pooled(grid))
        if keep:
            np.save(place / "labels.npy", labels)
        yield OnDisk(files, labels)
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


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


def _sizes(subject: Subject, layers: Sequence[str], grid: int) -> dict[str, int]:
    side = subject.data.settings.image_size
    pass_ = trace(subject.net, (3, side, side))
    shapes = {layer: pass_.shapes[pass_.layer(layer).output] for layer in layers}
    return {layer: pooled(grid)(torch.zeros(1, *shape[1:])).shape[1] for layer, shape in shapes.items()}


def _room(place: Path, needed: int, count: int) -> None:
    free = shutil.disk_usage(place).free
    words = f"features of {count} images take {needed / 2**30:.2f} GiB in {place}"
    if needed > free:
        raise Problem(
            f"{words}, where {free / 2**30:.2f} GiB are free; type transfer.store=float16, a smaller transfer.grid, "
            "fewer transfer.layers, or transfer.keep=<folder on a larger disk>"
        )
    print(words, flush=True)


def _file(path: Path, shape: tuple[int, int], kind: str) -> NDArray[np.floating]:
    path.unlink(missing_ok=True)
    return cast(NDArray[np.floating], open_memmap(path, "w+", np.dtype(kind), shape))


def _fill(subject: Subject, kept: OnDisk, take: Callable[[Tensor], Tensor]) -> None:
    start = 0
    for split in SPLITS:
        for batch in track(subject.data.shown_dataloader(split), f"features of the {split} images"):
            seen = features(subject.net, batch.image, kept.layers, take).layers
            rows = start + batch.index.numpy()
            kept.labels[rows] = batch.label.numpy()
            for layer, values in seen.items():
                kept.layers[layer][rows] = _storable(values, layer, kept.layers[layer].dtype)
        start += subject.data.size(split)


def _storable(values: Tensor, layer: str, kind: np.dtype) -> NDArray[np.floating]:
    if not values.isfinite().all():
        raise Problem(f"layer {layer} puts out values that are not finite, so nothing can be learned from them")
    most = float(values.abs().max())
    if most > np.finfo(kind).max:
        raise Problem(
            f"layer {layer} puts out values up to {most:.3g}, too large for {kind}; type transfer.store=float32"
        )
    return values.float().cpu().numpy().astype(kind)
