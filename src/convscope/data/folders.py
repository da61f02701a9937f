"""A folder of photographs: <root>/train/<class>/ and <root>/val/<class>/ (or test)."""

import os
from pathlib import Path
from typing import NoReturn

from convscope.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
LAYOUT = "train/<class>/ and val/<class>/"

ClassFolders = dict[str, list[Path]]  # class folder -> its images, both in the order of their names


def existing(root: str | Path | None) -> Path:
    """The data set's folder; a UserError where none was named or it is not there."""
    if root is None:
        raise UserError(f"this data set is a folder of your own: type data.root=/path/to/photos (it holds {LAYOUT})")
    place = Path(root).expanduser()
    if not place.is_dir():
        raise UserError(f"data.root={root} is no folder; name one that holds {LAYOUT}")
    _listing(place)
    return place


def training_images(root: Path) -> ClassFolders:
    """The images of root/train; UserError: no such folder, no class or only one, a class without images."""
    split = root / "train"
    if not split.is_dir():
        raise UserError(f"{root} has no folder train (it holds {_listed(os.listdir(root))}); needed: {LAYOUT}")
    found = _images(split)
    if not any(found.values()):
        raise UserError(f"{split} has no images in class folders; needed: {LAYOUT} with files {' '.join(ENDINGS)}")
    if empty := [name for name, images in found.items() if not images]:
        raise UserError(f"{split} has class folders without images: {_listed(empty)}; fill or remove them")
    if len(found) == 1:
        raise UserError(f"{split} has only one class, {_listed(list(found))}; a classifier needs two or more folders")
    return found


def validation_images(root: Path, classes: list[str]) -> ClassFolders:
    """The images of root/val, else root/test; UserError: neither is there, no images, other classes than `classes`."""
    split = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if split is None:
        raise UserError(f"{root} has no folder val or test (it holds {_listed(os.listdir(root))}); needed: {LAYOUT}")
    found = _images(split)
    if not found:
        raise UserError(
            f"{split} has no class folders; sort its images into the same class folders as {root / 'train'}"
        )
    missing, extra = [name for name in classes if name not in found], [name for name in found if name not in classes]
    if missing or extra:
        only = [f"only in train: {_listed(missing)}"] if missing else []
        only += [f"only in {split.name}: {_listed(extra)}"] if extra else []
        raise UserError(f"{root}: train and {split.name} need the same class folders; {'; '.join(only)}")
    if not any(found.values()):
        raise UserError(f"{split} has no images in its class folders; needed: files {' '.join(ENDINGS)}")
    return found


def unchecked_splits(root: Path) -> tuple[ClassFolders, ClassFolders]:
    """The class folders of training and of validation, whatever is wrong with them: none where a split is not there."""
    places = [root / "train", next((root / name for name in ("val", "test") if (root / name).is_dir()), root / "val")]
    train, val = (_images(place) if place.is_dir() else {} for place in places)
    return train, val


def skipped_files(root: Path) -> dict[str, list[Path]]:
    """Files of the splits that are not taken for images, by the reason why."""
    found: dict[str, list[Path]] = {}
    for split in (root / name for name in ("train", "val", "test") if (root / name).is_dir()):
        for place, _, files in os.walk(split):
            for name in sorted(files):
                if reason := _no_image(name, Path(place) == split):
                    found.setdefault(reason, []).append(Path(place, name))
    return found


def _no_image(name: str, astray: bool) -> str:
    if name.startswith("."):
        return "hidden"
    if not name.lower().endswith(ENDINGS):
        ending = os.path.splitext(name)[1]
        return f"no ending of an image: {ending}" if ending else "no ending"
    return "in no class folder" if astray else ""


def _images(split: Path) -> ClassFolders:
    """Per class folder all images at any depth; hidden files and folders are passed over."""
    folders = [name for name in _listing(split) if (split / name).is_dir() and not name.startswith(".")]
    return {name: images_under(split / name) for name in folders}


def images_under(folder: Path) -> list[Path]:
    """All images of a folder at any depth, in the order of their names; hidden files and folders are passed over."""
    found, seen = list[Path](), set[tuple[int, int]]()
    _is_new(folder, seen)
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_closed):
        inner[:] = [name for name in sorted(inner) if not name.startswith(".") and _is_new(Path(place, name), seen)]
        images = (name for name in files if name.lower().endswith(ENDINGS) and not name.startswith("."))
        found += [Path(place, name) for name in sorted(images)]
    return found


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        _closed(error)


def _closed(error: OSError) -> NoReturn:
    raise UserError(f"the folder {error.filename} cannot be read: {error.strerror}; open it to yourself, or remove it")


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Links may lead around in circles: of a folder's several names the first counts."""
    about = folder.stat()
    known = (about.st_dev, about.st_ino) in seen
    seen.add((about.st_dev, about.st_ino))
    return not known


def _listed(names: list[str], most: int = 8) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(sorted(names)[:most]) or "nothing"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
