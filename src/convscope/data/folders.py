"""A folder of photographs: <root>/train/<class>/ and <root>/val/<class>/ (or test)."""

import os
from pathlib import Path
from typing import NoReturn

from convscope.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
LAYOUT = "train/<class>/ and val/<class>/"

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
        raise UserError(f"{split} has no images in class folders; needed: {LAYOUT} with files {' '.join(ENDINGS)}")
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
        raise UserError(f"{split} has no images in its class folders; needed: files {' '.join(ENDINGS)}")
    return images


def unchecked_splits(root: Path) -> tuple[ClassFolders, ClassFolders]:
    """Class folders of training and of validation without any check: none where a split is missing."""
    places = [root / "train", next((root / name for name in ("val", "test") if (root / name).is_dir()), root / "val")]
    train, val = (_images(place) if place.is_dir() else {} for place in places)
    return train, val


def skipped_files(root: Path) -> dict[str, list[Path]]:
    """Files of the splits that are not read as images, by reason."""
    skipped: dict[str, list[Path]] = {}
    for split in (root / name for name in ("train", "val", "test") if (root / name).is_dir()):
        for place, _, files in os.walk(split):
            for name in sorted(files):
                if reason := _no_image(name, Path(place) == split):
                    skipped.setdefault(reason, []).append(Path(place, name))
    return skipped


def _no_image(name: str, astray: bool) -> str:
    if name.startswith("."):
        return "hidden"
    if not name.lower().endswith(ENDINGS):
        ending = os.path.splitext(name)[1]
        return f"no ending of an image: {ending}" if ending else "no ending"
    return "in no class folder" if astray else ""


def _images(split: Path) -> ClassFolders:
    """All images of each class folder at any depth, without hidden files and folders."""
    folders = [name for name in _listing(split) if (split / name).is_dir() and not name.startswith(".")]
    return {name: images_under(split / name) for name in folders}


def images_under(folder: Path) -> list[Path]:
    """All images of a folder at any depth, in the order of their names, without hidden files and folders."""
    paths, visited = list[Path](), set[tuple[int, int]]()
    _is_new(folder, visited)
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_closed):
        inner[:] = [name for name in sorted(inner) if not name.startswith(".") and _is_new(Path(place, name), visited)]
        images = (name for name in files if name.lower().endswith(ENDINGS) and not name.startswith("."))
        paths += [Path(place, name) for name in sorted(images)]
    return paths


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
