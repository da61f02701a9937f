"""Public data sets as scikit-learn and torchvision keep them on disk: digits, CIFAR-10, Imagenette, Caltech."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from convscope.data.folder_contents import SkippedFiles, class_folders, remarks_on
from convscope.data.sources import Files, Pixels, Source, files_of_classes, folder, subset
from convscope.errors import UserError, install, reason_of


def digits() -> Source:
    """scikit-learn's 1,797 scanned digits, 8 x 8 pixels in 16 grey levels; every fifth of a class is for validation."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise UserError(f"data=digits needs scikit-learn; type {install('train')}") from None
    scans = load_digits()
    grey = np.round(scans.images * (255 / 16)).astype(np.uint8)  # [N,8,8]
    digits = Pixels(np.repeat(grey[..., None], 3, axis=3), scans.target.astype(np.int64))
    return _split_off_fifth([str(digit) for digit in range(10)], digits)


def imagenette(root: str | Path | None, download: bool = False) -> Source:
    """Ten ImageNet classes (fastai's Imagenette): a plain folder, or torchvision's root/imagenette2*/{train,val}/."""
    return folder(imagenette_folder(root, download))


def imagenette_folder(root: str | Path | None, download: bool = False) -> Path:
    """The folder of Imagenette's splits. Raises UserError where there is none.

    The download takes the pictures whose smallest side is 320 pixels.
    """
    from torchvision.datasets import Imagenette

    place = root_of_set(root, "imagenette")

    def fetch() -> None:  # a killed download leaves nothing that looks like the data set
        if not _imagenette(place):
            Imagenette(place / ".part", "train", "320px", download=True)
            os.replace(place / ".part" / "imagenette2-320", place / "imagenette2-320")

    if download:
        download_once("Imagenette", place, fetch)
    if not (pictures := _imagenette(place)):
        raise UserError(f"no Imagenette in {place}; type data.root=<its folder>, or data.download=true to fetch 340 MB")
    return pictures


def _imagenette(place: Path) -> Path | None:
    """The folder of the pictures: `place` itself, or the largest of torchvision's imagenette2, -320, -160 in it."""
    tries = [place, *(place / f"imagenette2{size}" for size in ("", "-320", "-160"))]
    return next((path for path in tries if (path / "train").is_dir() or (path / "val").is_dir()), None)


def cifar10(root: str | Path | None, download: bool = False) -> Source:
    """CIFAR-10 as torchvision keeps it: 50,000 training and 10,000 test images of 32 x 32 pixels."""
    from torchvision.datasets import CIFAR10

    place = root_of_set(root, "cifar10")
    if download:
        download_once("CIFAR-10", place, lambda: CIFAR10(place, download=True))
    try:
        parts = CIFAR10(place, train=True), CIFAR10(place, train=False)
    except RuntimeError:
        raise UserError(
            f"no complete CIFAR-10 in {place}; type data.root=<its folder>, or data.download=true to fetch 170 MB"
        ) from None
    train, val = (Pixels(part.data, np.asarray(part.targets, np.int64)) for part in parts)
    return Source(list(parts[0].classes), train, val)


def caltech101(root: str | Path | None, download: bool = False) -> Source:
    """Caltech-101 as torchvision keeps it: root/caltech101/101_ObjectCategories/<class>/, without BACKGROUND_Google.

    The set has no splits: every fifth image of a class is for validation (ours; job=transfer pools them again).
    """
    from torchvision.datasets import Caltech101

    place, objects = root_of_set(root, "caltech101"), "101_ObjectCategories"
    if download:
        download_once("Caltech-101", place, lambda: Caltech101(place, download=True))
    return _classes_of(place, "Caltech-101", [f"caltech101/{objects}", objects, "."], "BACKGROUND_Google")


def caltech256(root: str | Path | None, download: bool = False) -> Source:
    """Caltech-256 as torchvision keeps it: root/caltech256/256_ObjectCategories/<001.class>/, without 257.clutter.

    The set has no splits: every fifth image of a class is for validation (ours; job=transfer pools them again).
    """
    from torchvision.datasets import Caltech256

    place, objects = root_of_set(root, "caltech256"), "256_ObjectCategories"
    if download:
        download_once("Caltech-256", place, lambda: Caltech256(place, download=True))
    source = _classes_of(place, "Caltech-256", [f"caltech256/{objects}", objects, "."], "257.clutter")
    return source._replace(classes=[name.partition(".")[2] or name for name in source.classes])


def _classes_of(place: Path, name: str, inside: list[str], no_class: str) -> Source:
    """A source of the class folders in the first folder of `inside` that is in `place`. no_class: a folder to skip."""
    tries = [place / part for part in inside]
    root = next((path for path in tries[:-1] if path.is_dir()), tries[-1])
    skipped: SkippedFiles = {}
    classes = class_folders(root, skipped) if root.is_dir() else {}
    classes.pop(no_class, None)
    if len(classes) < 2 or not all(classes.values()):
        raise UserError(
            f"no complete {name} in {place}: needed are {inside[0]}/<class>/*.jpg; type data.root=<its folder>, or "
            "data.download=true to fetch it"
        )
    source = _split_off_fifth(list(classes), files_of_classes(classes))
    return source._replace(remarks=remarks_on(skipped, root))


def _split_off_fifth(classes: list[str], images: Files | Pixels) -> Source:
    """The fifth, tenth, ... image of each class for validation, the others for training."""
    labels = images.labels
    val = np.sort(np.concatenate([np.flatnonzero(labels == label)[4::5] for label in np.unique(labels)]))
    train = np.setdiff1d(np.arange(len(labels)), val)
    return Source(classes, subset(images, train), subset(images, val))


def root_of_set(root: str | Path | None, name: str) -> Path:
    """The folder that data.root names. Raises UserError where it names none."""
    if root is None:
        raise UserError(f"data={name} needs a place: type data.root=/path/to/{name}")
    return Path(root).expanduser()


def download_once(name: str, place: Path, fetch: Callable[[], object]) -> None:
    """Calls `fetch` in one process at a time. Raises UserError where the download fails."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".download.lock"):
            fetch()
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{name} could not be fetched into {place}: {reason_of(error)}; copy it there by hand"
        ) from None
