"""The images that a net was trained on: told from others by their classes and their number, wherever they lie now."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from convscope.config import Settings
from convscope.data.classnames import folder_names
from convscope.data.decode import printable
from convscope.data.passes import core_count
from convscope.data.sources import Source
from convscope.errors import UserError

if TYPE_CHECKING:
    from convscope.data.module import ImageData

MEAN_TOLERANCE = 2.0  # grey levels; other decoders change single ones, other photographs all
PLAIN = {"folder", "imagenet", "imagenette"}  # sources that read the class folders of their root


def trained_data(trained: Settings, typed: Settings, machine: Settings) -> dict[str, Any]:
    """conf/data of a checkpoint with the keys that were typed, and with the cache and the cores of this machine.

    machine: conf/data as composed here. Raises UserError for a folder or download of images that lie in none.
    """
    for key in ("root", "download"):
        if key in typed and key not in trained:
            raise UserError(
                f"data.{key}={typed[key]}: the images of this checkpoint are of data={trained.get('source')}, which "
                f"has no {key}; for other images type data=folder too"
            )
    data, cache = {**trained, **typed}, str(trained.get("cache_dir") or "")
    if cache and "cache_dir" not in typed and not Path(cache).expanduser().is_dir() and machine.get("cache_dir"):
        data["cache_dir"] = machine["cache_dir"]
        root = str(data.get("root") or "")
        if "root" not in typed and f"{root}/".startswith(f"{cache}/") and not Path(root).expanduser().exists():
            data["root"] = str(machine["cache_dir"]) + root.removeprefix(cache)
    workers = data.get("workers")
    if "workers" not in typed and isinstance(workers, int) and workers > core_count():
        data["workers"] = None
    return data


class TrainedImages(NamedTuple):
    """The images that a net was trained on, by what tells whether others are the same, wherever they lie.

    folders: of their classes; empty where they have none, and for nets of older versions. sizes: images of each split,
    empty for older versions. mean [3, R, R]: None where it is not known.
    """

    classes: list[str]
    folders: list[str]
    sizes: Mapping[str, int]
    mean: Tensor | None


def trained_images(description: Mapping[str, Any]) -> TrainedImages:
    """The images of a net, from the description in its checkpoint."""
    folders, sizes, mean = (description.get(key) for key in ("class_folders", "images", "mean"))
    return TrainedImages(list(description["class_names"]), list(folders or []), sizes or {}, mean)


def check_images(
    trained: TrainedImages,
    now: Source | ImageData,
    remedy: str,
    sizes: Mapping[str, int] | None = None,
    mean: Tensor | None = None,
) -> None:
    """Raises UserError where images are others than a net was trained on: other classes, another number or mean.

    sizes: the images of each split now. mean [3, R, R] in grey levels: of the training images. What is None is not
    compared.
    """
    folders = folder_names(now.folders)
    by_folder = bool(trained.folders and folders)
    before, current = (trained.folders, folders) if by_folder else (trained.classes, list(now.classes))
    if before != current and (by_folder or before != folders):
        raise UserError(f"the net was trained on other classes of images: {_difference(before, current)}; {remedy}")
    for split, count in (sizes or {}).items():
        if (number := trained.sizes.get(split, count)) != count:
            raise UserError(f"the net was trained with {number:,} images in {split}, now {count:,}; {remedy}")
    if trained.mean is not None and mean is not None and trained.mean.shape == mean.shape:
        distance = float((trained.mean - mean).abs().mean())
        if distance > MEAN_TOLERANCE:
            raise UserError(
                f"the net was trained on other images: their mean differs by {distance:.1f} grey levels; {remedy}"
            )


def _difference(before: Sequence[str], now: Sequence[str]) -> str:
    """How names of classes differ, in words."""
    gone, new = ([name for name in names if name not in others] for names, others in ((before, now), (now, before)))
    listed = {
        word: ", ".join([*map(printable, names[:4]), *["..."][: len(names) - 4]])
        for word, names in (("without", gone), ("with", new))
        if names
    }
    words = " and ".join(f"{word} {names}" for word, names in listed.items()) or "in another order"
    return f"{len(before)} of them, now {len(now)}, {words}"


def are_own_images(
    description: Mapping[str, Any], data: Settings, typed: Collection[str] | None, images: Source
) -> bool:
    """Whether a net was trained on these images, whatever part of them is taken.

    description: of its checkpoint. data: conf/data as it holds now. typed: the keys that were typed beside those of the
    checkpoint, None for a data set of its own. Raises UserError where a typed data.root holds other images.
    """
    trained, is_moved = description["data"], typed is not None and "root" in typed
    here = data if typed is None or is_moved else {**data, "root": trained.get("root")}
    are_same = same_images(here, trained)
    if typed is not None or are_same:
        _check_val_share(trained.get("val_share"), data.get("val_share"))
    if (is_moved and not are_same) or (typed is not None and data.get("val_share")):
        sizes = None if data.get("on_bad_image") == "skip" or "limit" in (typed or ()) else _sizes(images, data)
        check_images(trained_images(description), images, "for other images type data=folder too", sizes)
    return are_same or is_moved


def _check_val_share(trained: Any, share: Any) -> None:
    """Raises UserError where images that a net was trained on would be for validation."""
    if trained != share:
        before, now = (f"data.val_share={'null' if value is None else value}" for value in (trained, share))
        raise UserError(f"the net was trained with {before} on these images, not with {now}; type {before}")


def _sizes(images: Source, data: Settings) -> dict[str, int]:
    """The images of each split as training takes them."""
    limit = data.get("limit") or math.inf
    splits = {"train": images.train, "val": images.val}
    present = {name: split for name, split in splits.items() if name not in images.missing}
    return {name: int(min(len(split.labels), limit)) for name, split in present.items()}


def same_images(first: Settings, second: Settings) -> bool:
    """Whether two conf/data are of one set of images, or one drawing of animals, whatever part of it they take."""
    names = {first.get("source"), second.get("source")}
    roots = {str(Path(data["root"]).expanduser().resolve()) if data.get("root") else None for data in (first, second)}
    if len(roots) > 1 or not (len(names) == 1 or (names <= PLAIN and roots != {None})):
        return False
    return first.get("draw_seed") == second.get("draw_seed")
