"""What a folder holds: its images, by their content where their endings say nothing, and what is not read, and why."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from convscope.data.decode import printable
from convscope.data.decoders import RAW_ENDINGS, endings, format_of
from convscope.errors import UserError

NAMED_REASONS = 8  # of files that are not read, in a line
LOOKS = 16  # files of an ending that are opened in vain before the others count as no images
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
MARKS = {"parts.csv", "boxes.csv"}  # what people mark with job=annotate lies beside their photographs
HIDDEN, MARKED, EMPTY = "hidden", "marked parts", "a class folder without images"


class Skipped(NamedTuple):
    """Files and folders that are not read, for one reason: how many, and the first of them."""

    number: int
    example: Path


SkippedFiles = dict[str, Skipped]  # reason -> files and folders that are not read
ClassFolders = dict[str, list[Path]]  # class folder -> its images, both in the order of their names


def images_under(folder: Path, skipped: SkippedFiles | None = None) -> list[Path]:
    """All images of a folder at any depth, in the order of their names, without hidden files and folders.

    skipped: the files that are no images are added to it.
    """
    images = list[Path]()
    for place, names, others in _all_files(folder):
        images += (Path(place, name) for name in names)
        if skipped is not None:
            _count_(skipped, place, others)
    return images


def _all_files(folder: Path) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Each folder in a folder, without hidden ones: its images, and its other files with why they are no images."""
    visited, vain, image_endings = set[tuple[int, int]](), Counter[str](), endings()
    _is_new(folder, visited)
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_closed):
        inner[:] = [name for name in sorted(inner) if not is_hidden(name) and _is_new(Path(place, name), visited)]
        names, others = list[str](), dict[str, str]()
        for name in sorted(files):
            is_usual = os.path.splitext(name)[1].lower() in image_endings and name[0] != "."  # most files: no call
            if is_usual or not (reason := _no_image(os.path.join(place, name), vain)):
                names.append(name)
            else:
                others[name] = reason
        yield place, names, others


def holds_images(folder: Path) -> bool:
    """Whether the folder itself holds an image."""
    vain = Counter[str]()
    paths = (os.path.join(folder, name) for name in listing(folder))
    return any(not _no_image(path, vain) for path in paths if not os.path.isdir(path))


def inner_folders(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of their names, without hidden ones."""
    try:
        with os.scandir(folder) as entries:  # does not ask the file system about each of many files
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError as error:
        _closed(error)
    return [folder / name for name in sorted(names)]


def class_folders(
    split: Path, skipped: SkippedFiles | None = None, without: Container[str] = frozenset()
) -> ClassFolders:
    """All images of each class folder at any depth, without hidden files and folders. skipped: see `images_under`.

    without: names of files and folders that are neither classes nor skipped.
    """
    skipped, classes = {} if skipped is None else skipped, ClassFolders()
    for path in (split / name for name in listing(split) if name not in without):
        if not path.is_dir():
            _count_(skipped, str(split), {path.name: _no_image(str(path), Counter()) or "in no class folder"})
        elif not is_hidden(path.name):
            classes[path.name] = images_under(path, skipped)
            if not classes[path.name]:
                _count_(skipped, str(split), {path.name: EMPTY})
    return classes


def skipped_files(*splits: Path) -> SkippedFiles:
    """What the folders of splits hold besides images in class folders, by the reason why it is not read."""
    skipped: SkippedFiles = {}
    for split in splits:
        class_folders(split, skipped)
    return skipped


def remarks_on(skipped: SkippedFiles, root: Path) -> list[str]:
    """One line on all that is not read but hidden files and marked parts; none where there is nothing."""
    reasons = [
        f"{reason} ({count}, e.g. {printable(example.relative_to(root) if example.is_relative_to(root) else example)})"
        for reason, (count, example) in skipped.items()
        if reason not in (HIDDEN, MARKED)
    ]
    more = f" and {len(reasons) - NAMED_REASONS} more kinds" if len(reasons) > NAMED_REASONS else ""
    return [f"not read, beside the images of {root}: {', '.join(reasons[:NAMED_REASONS])}{more}"] if reasons else []


def _count_(skipped: SkippedFiles, place: str, reasons: dict[str, str]) -> None:
    """reasons: name of a file in the folder `place` -> why it is not read."""
    for name, reason in reasons.items():
        number, example = skipped.get(reason) or (0, Path(place, name))
        skipped[reason] = Skipped(number + 1, example)


def _no_image(path: str, vain: Counter[str]) -> str:
    """Why a file is not taken for an image; "" for an image. vain: endings of the files that were opened in vain.

    Files without the ending of an image are opened until LOOKS of their ending were none: not each of a million texts.
    """
    name = os.path.basename(path).lower()
    if name.startswith(".") or name in SYSTEM_FILES:
        return HIDDEN
    if name in MARKS:
        return MARKED
    ending = os.path.splitext(name)[1]
    if ending in endings():
        return ""
    if ending in RAW_ENDINGS:
        return f"a raw photograph: {ending}"
    kind = "number" if ending[1:].isdigit() else ending
    if vain[kind] < LOOKS:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would wait for ever
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
    try:
        status = folder.stat()
    except OSError as error:
        _closed(error)
    inode = status.st_dev, status.st_ino
    is_new = inode not in visited
    visited.add(inode)
    return is_new
