"""What a folder holds: its images, by their content where their endings say nothing, and what is not read, and why."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from convscope.data.decoders import RAW_ENDINGS, endings, format_of
from convscope.errors import UserError

LOOKS = 16  # files of an ending that are opened in vain before the others count as no images
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
HIDDEN, EMPTY = "hidden", "a class folder without images"


def images_under(folder: Path) -> list[Path]:
    """All images of a folder at any depth, in the order of their names, without hidden files and folders."""
    return [path for path, reason in _all_files(folder) if not reason]


def _all_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """All files of a folder at any depth, without those in hidden folders, each with why it is no image."""
    visited, vain = set[tuple[int, int]](), Counter[str]()
    _is_new(folder, visited)
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_closed):
        inner[:] = [name for name in sorted(inner) if not is_hidden(name) and _is_new(Path(place, name), visited)]
        for path in (Path(place, name) for name in sorted(files)):
            yield path, _no_image(path, vain)


def holds_images(folder: Path) -> bool:
    """Whether the folder itself holds an image."""
    vain = Counter[str]()
    return any(not _no_image(path, vain) for path in (folder / name for name in listing(folder)) if not path.is_dir())


def inner_folders(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of their names, without hidden ones."""
    try:
        with os.scandir(folder) as entries:  # does not ask the file system about each of many files
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError as error:
        _closed(error)
    return [folder / name for name in sorted(names)]


class Skipped(NamedTuple):
    """Files and folders that are not read, for one reason: how many, and the first of them."""

    count: int
    example: Path


def skipped_files(*splits: Path) -> dict[str, Skipped]:
    """What the folders of splits hold besides images in class folders, by the reason why it is not read."""
    skipped: dict[str, Skipped] = {}
    for path in (split / name for split in splits if split.is_dir() for name in listing(split)):
        if path.is_dir():
            inside = [] if is_hidden(path.name) else list(_all_files(path))
            is_empty = not is_hidden(path.name) and all(reason for _, reason in inside)
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
            count, example = skipped.get(reason, (0, path))
            skipped[reason] = Skipped(count + 1, example)


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


def is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in SYSTEM_FILES


def listing(folder: Path) -> list[str]:
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
