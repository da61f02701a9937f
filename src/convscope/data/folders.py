"""A folder of photographs: <root>/train/<class>/ and <root>/val/<class>/ (or test)."""

import os
from pathlib import Path

from convscope.problem import Problem

ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
LAYOUT = "train/<class>/ and val/<class>/"

ClassFolders = dict[str, list[Path]]  # class folder -> its images, both in the order of their names


def existing(root: str | Path | None) -> Path:
    """The data set's folder; a Problem where none was named or it is not there."""
    if root is None:
        raise Problem(f"this data set is a folder of your own: type data.root=/path/to/photos (it holds {LAYOUT})")
    place = Path(root).expanduser()
    if not place.is_dir():
        raise Problem(f"data.root={root} is no folder; name one that holds {LAYOUT}")
    return place


def training_images(root: Path) -> ClassFolders:
    """The images of root/train; Problem: no such folder, no class or only one, a class without images."""
    split = root / "train"
    if not split.is_dir():
        raise Problem(f"{root} has no folder train (it holds {_listed(os.listdir(root))}); needed: {LAYOUT}")
    found = _images(split)
    if not any(found.values()):
        raise Problem(f"{split} has no images in class folders; needed: {LAYOUT} with files {' '.join(ENDINGS)}")
    if empty := [name for name, images in found.items() if not images]:
        raise Problem(f"{split} has class folders without images: {_listed(empty)}; fill or remove them")
    if len(found) == 1:
        raise Problem(f"{split} has only one class, {_listed(list(found))}; a classifier needs two or more folders")
    return found


def validation_images(root: Path, classes: list[str]) -> ClassFolders:
    """The images of root/val, else root/test; Problem: neither is there, no images, other classes than `classes`."""
    split = next((root / name for name in ("val", "test") if (root / name).is_dir()), None)
    if split is None:
        raise Problem(f"{root} has no folder val or test (it holds {_listed(os.listdir(root))}); needed: {LAYOUT}")
    found = _images(split)
    if not found:
        raise Problem(f"{split} has no class folders; sort its images into the same class folders as {root / 'train'}")
    missing, extra = [name for name in classes if name not in found], [name for name in found if name not in classes]
    if missing or extra:
        only = [f"only in train: {_listed(missing)}"] if missing else []
        only += [f"only in {split.name}: {_listed(extra)}"] if extra else []
        raise Problem(f"{root}: train and {split.name} need the same class folders; {'; '.join(only)}")
    if not any(found.values()):
        raise Problem(f"{split} has no images in its class folders; needed: files {' '.join(ENDINGS)}")
    return found


def _images(split: Path) -> ClassFolders:
    """Per class folder all images at any depth; hidden files and folders are passed over."""
    folders = sorted(entry.name for entry in os.scandir(split) if entry.is_dir() and not entry.name.startswith("."))
    return {name: images_under(split / name) for name in folders}


def images_under(folder: Path) -> list[Path]:
    """All images of a folder at any depth, in the order of their names; hidden files and folders are passed over."""
    found: list[Path] = []
    for place, inner, files in os.walk(folder, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        images = (name for name in files if name.lower().endswith(ENDINGS) and not name.startswith("."))
        found += [Path(place, name) for name in sorted(images)]
    return found


def _listed(names: list[str], most: int = 8) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(sorted(names)[:most]) or "nothing"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
