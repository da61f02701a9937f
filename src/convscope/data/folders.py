"""A folder of photographs: <root>/train/<class>/ and <root>/val/<class>/ (or test)."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from convscope.data.decoders import RAW_ENDINGS, endings, format_of
from convscope.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".avif")  # the usual ones, for messages
LAYOUT = "train/<class>/ and val/<class>/"
LOOKS = 16  # files of an ending that are opened in vain before the others count as no images
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
HIDDEN, EMPTY = "hidden", "a class folder without images"

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
        if path.is_dir():
            inside = [] if _is_hidden(path.name) else list(_all_files(path))
            is_empty = not _is_hidden(path.name) and all(reason for _, reason in inside)
            _count_(skipped, [(path, EMPTY if is_empty else ""), *inside])
        else:
            _count_(skipped, [(path, _no_image(path, Counter()) or "in no class folder")])
    return skipped


def skipped_under(folder: Path) -> dict[str, Skipped]:
    """The files of a folder, at any depth, that are no images."""
    skipped: dict[str, Skipped] = {}
    _count_(skipped, _all_files(folder))
    return skipped


def _count_(skipped: dict[str, Skipped], files: Iterable[tuple[Path, str]]) -> None:
    for path, reason in files:
        if reason:
            number, example = skipped.get(reason, (0, path))
            skipped[reason] = Skipped(number + 1, example)


def _no_image(path: Path, vain: Counter[str]) -> str:
    """Why a file is not taken for an image; "" for an image. vain: endings of the files that were opened in vain.

    Files without the ending of an image are opened until LOOKS of their ending were none: not each of a million texts.
    """
    name = path.name.lower()
    if name.startswith(".") or name in SYSTEM_FILES:
        return HIDDEN
    ending = os.path.splitext(name)[1]
    if ending in endings():
        return ""
    if ending in RAW_ENDINGS:
        return f"a raw photograph: {ending}"
    kind = "number" if ending[1:].isdigit() else ending
    if vain[kind] < LOOKS:
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
                return "no file"
            with open(path, "rb") as file:
                if format_of(file.read(16)):
                    return ""
        except OSError as error:
            return "a dangling link" if error.errno in (errno.ENOENT, errno.ELOOP) else "cannot be opened"
        vain[kind] += 1
    return f"no image: {ending}" if ending else "no image, without ending"


def _images(split: Path) -> ClassFolders:
    """All images of each class folder at any depth, without hidden files and folders."""
    folders = [name for name in _listing(split) if (split / name).is_dir() and not _is_hidden(name)]
    return {name: images_under(split / name) for name in folders}


def images_under(folder: Path) -> list[Path]:
    """All images of a folder at any depth, in the order of their names, without hidden files and folders."""
    return [path for path, reason in _all_files(folder) if not reason]


def _all_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """All files of a folder at any depth, without those in hidden folders, each with why it is no image."""
    visited, vain = set[tuple[int, int]](), Counter[str]()
    _is_new(folder, visited)
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_closed):
        inner[:] = [name for name in sorted(inner) if not _is_hidden(name) and _is_new(Path(place, name), visited)]
        for path in (Path(place, name) for name in sorted(files)):
            yield path, _no_image(path, vain)


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
