"""A folder of photographs: <root>/train/<class>/ and <root>/val/<class>/ (or test)."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from convscope.data.decoders import SYSTEM_FILES, endings, why_no_image
from convscope.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".avif")  # the usual ones, for messages
LAYOUT = "train/<class>/ and val/<class>/"
EMPTY = "a class folder without images"

ClassFolders = dict[str, list[Path]]  # class folder -> its images, both in the order of their names


def existing(root: str | Path | None) -> Path:
    """The data set's folder. Raises UserError where no folder is given or it does not exist."""
    if root is None:
        raise UserError(f"this data set is a folder of your own: type data.root=/path/to/photos (it holds {LAYOUT})")
    place = Path(root).expanduser()
    if not place.is_dir():
        raise UserError(f"data.root={root} is no folder; name one that holds {LAYOUT}")
    _listing(place)
    return place


def training_images(root: Path) -> ClassFolders:
    """Images of root/train. Raises UserError: no such folder, no class or only one, a class without images."""
    split = root / "train"
    if not split.is_dir():
        raise UserError(f"{root} has no folder train (it holds {_listed(os.listdir(root))}); needed: {LAYOUT}")
    classes = _images(split)
    if not any(classes.values()):
        raise UserError(
            f"{split} has no images in class folders; needed: {LAYOUT} with files such as {' '.join(ENDINGS)}"
        )
    if empty := [name for name, images in classes.items() if not images]:
        raise UserError(f"{split} has class folders without images: {_listed(empty)}; fill or remove them")
    if len(classes) == 1:
        raise UserError(f"{split} has only one class, {_listed(list(classes))}; a classifier needs two or more folders")
    return classes


def validation_images(root: Path, classes: list[str]) -> ClassFolders:
    """Images of root/val, else root/test. Raises UserError: neither exists, no images, other classes than `classes`."""
    split = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if split is None:
        raise UserError(f"{root} has no folder val or test (it holds {_listed(os.listdir(root))}); needed: {LAYOUT}")
    images = _images(split)
    if not images:
        raise UserError(
            f"{split} has no class folders; sort its images into the same class folders as {root / 'train'}"
        )
    missing, extra = [name for name in classes if name not in images], [name for name in images if name not in classes]
    if missing or extra:
        only = [f"only in train: {_listed(missing)}"] if missing else []
        only += [f"only in {split.name}: {_listed(extra)}"] if extra else []
        raise UserError(f"{root}: train and {split.name} need the same class folders; {'; '.join(only)}")
    if not any(images.values()):
        raise UserError(f"{split} has no images in its class folders; needed: files such as {' '.join(ENDINGS)}")
    return images


def unchecked_splits(root: Path) -> tuple[ClassFolders, ClassFolders]:
    """Class folders of training and of validation without any check: none where a split is missing."""
    places = [root / "train", next((root / name for name in ("val", "test") if (root / name).is_dir()), root / "val")]
    train, val = (_images(place) if place.is_dir() else {} for place in places)
    return train, val


def split_folders(root: Path) -> list[Path]:
    """The folders that are read: of training, and of validation or else of test; those that exist."""
    places = [root / "train", next((root / name for name in ("val", "test") if (root / name).is_dir()), root / "val")]
    return [place for place in places if place.is_dir()]


class Skipped(NamedTuple):
    """Files and folders that are not read, for one reason: how many, and the first of them."""

    number: int
    example: Path


def skipped_files(*splits: Path) -> dict[str, Skipped]:
    """What the folders of splits hold besides images in class folders, by the reason why it is not read."""
    skipped: dict[str, Skipped] = {}
    for path in (split / name for split in splits if split.is_dir() for name in _listing(split)):
        if not path.is_dir():
            _count_(skipped, str(path.parent), {path.name: why_no_image(str(path), Counter()) or "in no class folder"})
        elif not _is_hidden(path.name) and not _count_skipped_(skipped, path):
            _count_(skipped, str(path.parent), {path.name: EMPTY})
    return skipped


def skipped_under(folder: Path) -> dict[str, Skipped]:
    """The files of a folder, at any depth, that are no images."""
    skipped: dict[str, Skipped] = {}
    _count_skipped_(skipped, folder)
    return skipped


def _count_skipped_(skipped: dict[str, Skipped], folder: Path) -> int:
    """Counts the files of a folder that are no images, and returns the number of those that are."""
    images = 0
    for place, names, others in _all_files(folder):
        images += len(names)
        _count_(skipped, place, others)
    return images


def _count_(skipped: dict[str, Skipped], place: str, reasons: dict[str, str]) -> None:
    """reasons: name of a file in the folder `place` -> why it is not read."""
    for name, reason in reasons.items():
        number, example = skipped.get(reason) or (0, Path(place, name))
        skipped[reason] = Skipped(number + 1, example)


def _images(split: Path) -> ClassFolders:
    """All images of each class folder at any depth, without hidden files and folders."""
    folders = [name for name in _listing(split) if (split / name).is_dir() and not _is_hidden(name)]
    return {name: images_under(split / name) for name in folders}


def images_under(folder: Path) -> list[Path]:
    """All images of a folder at any depth, in the order of their names, without hidden files and folders."""
    return [Path(place, name) for place, names, _ in _all_files(folder) for name in names]


def _all_files(folder: Path) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Each folder in a folder, without hidden ones: its images, and its other files with why they are no images."""
    visited, vain, image_endings = set[tuple[int, int]](), Counter[str](), endings()
    _is_new(folder, visited)
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_closed):
        inner[:] = [name for name in sorted(inner) if not _is_hidden(name) and _is_new(Path(place, name), visited)]
        names, others = list[str](), dict[str, str]()
        for name in sorted(files):
            is_usual = os.path.splitext(name)[1].lower() in image_endings and name[0] != "."  # most files: no call
            if is_usual or not (reason := why_no_image(os.path.join(place, name), vain)):
                names.append(name)
            else:
                others[name] = reason
        yield place, names, others


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in SYSTEM_FILES


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        _closed(error)


def _closed(error: OSError) -> NoReturn:
    raise UserError(f"the folder {error.filename} cannot be read: {error.strerror}; open it to yourself, or remove it")


def _is_new(folder: Path, visited: set[tuple[int, int]]) -> bool:
    """Whether the folder was not visited under another name: links may lead around in circles."""
    status = folder.stat()
    inode = status.st_dev, status.st_ino
    is_new = inode not in visited
    visited.add(inode)
    return is_new


def _listed(names: list[str], limit: int = 8) -> str:
    """The first names, and how many more there are."""
    first = ", ".join(sorted(names)[:limit]) or "nothing"
    return first if len(names) <= limit else f"{first} and {len(names) - limit} more"
