"""A folder of photographs: <root>/train/<class>/ and <root>/val/<class>/ (or test), or class folders to be divided."""

import hashlib
import os
from pathlib import Path

from convscope.data.decode import printable
from convscope.data.folder_contents import (
    ClassFolders,
    SkippedFiles,
    class_folders,
    holds_images,
    inner_folders,
    listing,
)
from convscope.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".avif")  # the usual ones, for messages
LAYOUT = "train/<class>/ and val/<class>/"
DIVIDE = "type data.val_share=0.2 to validate with a fifth of each class"
LONGEST = 60  # letters of a folder's name in a message
LEVELS, WIDTH = 3, 200  # folders in which a set is searched that lies deeper than was typed
SPLITS = {  # split -> the names of its folder, in any case; a folder for tests serves where none is for validation
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval", "test", "testing"),
    "test": ("test", "testing"),
}


def existing(root: str | Path | None, content: str = LAYOUT) -> Path:
    """The data set's folder. content: what it should hold. Raises UserError where no folder is given or it is none."""
    if root is None:
        raise UserError(f"this data set is a folder of your own: type data.root=/path/to/photos (it holds {content})")
    place = Path(root).expanduser()
    if not place.is_dir():
        raise UserError(f"data.root={root} is no folder; name one that holds {content}")
    listing(place)
    return place


def split_folder(root: Path, split: str) -> Path | None:
    """The folder of a split; None where there is none. Among folders of images, train with images is a class."""
    names = listing(root)
    by_name = {name.casefold(): name for name in names} | {name: name for name in names}
    places = [root / by_name[name] for name in SPLITS[split] if name in by_name and (root / by_name[name]).is_dir()]
    if any(holds_images(place) and not inner_folders(place) for place in places):
        others = [
            place for place in inner_folders(root) if place.name.casefold() not in SPLITS["train"] + SPLITS["val"]
        ]
        if any(map(holds_images, others)):
            places = [place for place in places if inner_folders(place)]
    return places[0] if places else None


def no_split(root: Path, split: str) -> str:
    """The line for a folder that lacks a split: what it holds, what is needed, and what to do or type."""
    layout = "test/<class>/" if split == "test" else LAYOUT
    name = {"train": "train", "val": "val or test", "test": "test"}[split]
    line = f"{root} has no folder {name} (it holds {_listed(listing(root))}); needed: {layout}"
    if sets := sets_inside(root):
        return f"{line}: type data.root={sets[0]}"
    if split == "val" and split_folder(root, "train"):
        return f"{line}: {DIVIDE}, or move some images of each class from train/<class>/ to val/<class>/"
    if split == "train" and split_folder(root, "val"):
        return f"{line}: put the images to learn from into train/<class>/"
    classes = [place.name for place in inner_folders(root) if any(map(holds_images, _with_inner_folders(place)))]
    if classes and split == "train":
        move = f"move the class folders ({_listed(classes)}) to train/, and some images of each to val/<class>/"
        return f"{line}: {DIVIDE}, or {move}" if len(classes) > 1 else f"{line}: {move}"
    return f"{line}; for images without classes type data=images" if holds_images(root) else line


def _with_inner_folders(place: Path) -> list[Path]:
    return [place, *inner_folders(place)[:WIDTH]]


def sets_inside(root: Path) -> list[Path]:
    """The folders in `root`, at most LEVELS below it, that have splits of class folders, where it has none itself."""
    if any(split_folder(root, split) for split in SPLITS):
        return []
    level = [root]
    for _ in range(LEVELS):
        level = [place for above in level for place in inner_folders(above)][:WIDTH]
        splits = [(place, split_folder(place, split)) for place in level for split in SPLITS]
        if sets := [place for place, split in splits if split and inner_folders(split)]:
            return sets
    return []


def training_images(root: Path, skipped: SkippedFiles | None = None) -> ClassFolders:
    """Images of root/train. Raises UserError: no such folder, no class or only one, a class without images.

    skipped, here and below: what is not read is added to it.
    """
    split = split_folder(root, "train")
    if split is None:
        raise UserError(no_split(root, "train"))
    classes = class_folders(split, skipped)
    check_classes(classes, split)
    return classes


def check_classes(classes: ClassFolders, place: Path) -> None:
    """Raises UserError where a net cannot learn from class folders: without images, an empty class, only one class."""
    if not any(classes.values()):
        raise UserError(
            f"{place} has no images in class folders; needed: {LAYOUT} with files such as {' '.join(ENDINGS)}"
        )
    if empty := [name for name, images in classes.items() if not images]:
        raise UserError(f"{place} has class folders without images: {_listed(empty)}; fill or remove them")
    if len(classes) == 1:
        raise UserError(f"{place} has only one class, {_listed(list(classes))}; a classifier needs two or more folders")


def undivided_images(root: Path, share: float, skipped: SkippedFiles | None = None) -> tuple[ClassFolders, Path]:
    """Images that data.val_share divides: of root/train, else of the class folders in root; and the folder of these.

    Raises UserError where there are none, or where root has a folder for validation. One for tests stays aside.
    """
    validation = split_folder(root, "val")
    if validation and validation.name.casefold() not in SPLITS["test"]:
        raise UserError(
            f"data.val_share={share:g} takes validation images from the training images, but {root} has a folder "
            f"{validation.name} of its own; type data.val_share=null to validate with it"
        )
    place = split_folder(root, "train")
    if place is None and sets_inside(root):
        raise UserError(no_split(root, "train"))
    aside = {"classes.csv", *(folder.name for folder in [split_folder(root, "test")] if folder)}
    classes = class_folders(root, skipped, aside) if place is None else class_folders(place, skipped)
    if not any(classes.values()):
        raise UserError(no_split(root, "train") if place is None else f"{place} has no images in class folders")
    return classes, place or root


def divided(classes: ClassFolders, place: Path, share: float) -> tuple[ClassFolders, ClassFolders]:
    """The images of the class folders in `place` for training, and a share of each class for validation.

    An image's path in `place` decides, by its hash: the division is the same on every machine and for every seed, and
    more images of a class move few of the others. A class has an image or more in both parts; a single one is trained
    on. Raises UserError where no class has two images.
    """
    training, validation = ClassFolders(), ClassFolders()
    start = len((place / "x").as_posix()) - 1
    for name, images in classes.items():
        count = min(max(1, round(share * len(images))), len(images) - 1) if images else 0
        hashes = [hashlib.sha256(os.fsencode(path.as_posix()[start:])).digest() for path in images]
        chosen = set(sorted(hashes)[:count])
        validation[name] = [path for path, hash_ in zip(images, hashes, strict=True) if hash_ in chosen]
        training[name] = [path for path, hash_ in zip(images, hashes, strict=True) if hash_ not in chosen]
    if not any(validation.values()):
        raise UserError(f"data.val_share={share:g} needs two images or more of a class; those of {place} have one each")
    return training, validation


def training_alone(classes: ClassFolders) -> list[str]:
    """A line on the classes whose only image is for training, where `divided` has divided the others; none without."""
    single = [name for name, images in classes.items() if len(images) == 1]
    return [f"classes with one image have none for validation: {_listed(single)}"] if single else []


def validation_images(root: Path, classes: list[str], skipped: SkippedFiles | None = None) -> ClassFolders:
    """Images of root/val, else root/test. Raises UserError: neither exists, no images, other classes than `classes`."""
    split = split_folder(root, "val")
    if split is None:
        raise UserError(no_split(root, "val"))
    images = class_folders(split, skipped)
    if not images:
        raise UserError(
            f"{split} has no class folders; sort its images into the same class folders as {root / 'train'}"
        )
    missing, extra = [name for name in classes if name not in images], [name for name in images if name not in classes]
    if missing or extra:
        only = [f"only in train: {_listed(missing)}"] if missing else []
        only += [f"only in {split.name}: {_listed(extra)}"] if extra else []
        raise UserError(
            f"{root}: train and {split.name} need the same class folders; {'; '.join(only)}; complete or move them"
        )
    if not any(images.values()):
        raise UserError(f"{split} has no images in its class folders; needed: files such as {' '.join(ENDINGS)}")
    return images


def class_images(place: Path, skipped: SkippedFiles | None = None) -> ClassFolders:
    """Images of the class folders in `place`, without any check. Raises UserError where they hold no image at all."""
    images = class_folders(place, skipped)
    if any(images.values()):
        return images
    line = f"{place} has no images in class folders; needed: {LAYOUT} with files {' '.join(ENDINGS)}"
    raise UserError(f"{line}; for images without classes type data=images data.root={place}"
                    if holds_images(place) else line)  # fmt: skip


def _listed(names: list[str], limit: int = 8) -> str:
    """The first names as plain text, long ones cut, and how many more there are."""
    texts = [printable(name) for name in sorted(names)[:limit]]
    first = ", ".join(text if len(text) <= LONGEST else f"{text[:LONGEST]}..." for text in texts) or "nothing"
    return first if len(names) <= limit else f"{first} and {len(names) - limit} more"
