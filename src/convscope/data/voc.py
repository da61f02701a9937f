"""PASCAL VOC 2012 (Table 6): photographs of objects of 20 classes, one or several in an image."""

import os
import shutil
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscope.data.public_sets import download_once, root_of_set
from convscope.data.sources import Files, Source
from convscope.errors import UserError, reason_of

ABSENT, DIFFICULT, SHOWN = -1, 0, 1  # the numbers of the set's own class files
SPLITS = "train", "val"
HELP = "type data.root=<its folder>, or data.download=true to fetch 2 GB"
Flags = NDArray[np.int8]


class MarkedObject(NamedTuple):
    """An object that is marked in an image. area: of its box in pixels."""

    name: str
    difficult: bool
    area: float


def voc2012(root: str | Path | None, download: bool = False) -> Source:
    """PASCAL VOC 2012 as torchvision's VOCDetection keeps it: JPEGImages, Annotations and ImageSets in
    root/VOCdevkit/VOC2012.

    train and val are the set's own splits. (Only the official server has the labels of the test images; the paper
    trained on train and val together and asked that server.) The targets come from ImageSets/Main/<class>_<split>.txt,
    or from the Annotations where those files are missing; where both exist they must agree. Jobs that need one label
    for an image get the class of its largest object that is not difficult, else of its largest object: our choice.
    """
    place = root_of_set(root, "voc2012")
    if download and not _devkit(place):
        download_once("PASCAL VOC 2012", place, lambda: _fetch(place))
    if not (devkit := _devkit(place)):
        raise UserError(f"no PASCAL VOC 2012 in {place}: needed is VOCdevkit/VOC2012/ImageSets/Main/train.txt; {HELP}")
    names = {split: _image_names(devkit, split) for split in SPLITS}
    objects = {name: _objects_in(devkit / "Annotations" / f"{name}.xml") for split in SPLITS for name in names[split]}
    classes = _classes(devkit, objects)
    train, val = (_files(devkit, split, names[split], objects, classes) for split in SPLITS)
    return Source(classes, train, val)


def _fetch(place: Path) -> None:
    """A killed download leaves nothing that looks like the data set."""
    from torchvision.datasets import VOCDetection

    if not _devkit(place):
        part = place / ".part"
        VOCDetection(part, year="2012", image_set="train", download=True)
        os.replace(part / "VOCdevkit", place / "VOCdevkit")
        shutil.rmtree(part)


def _devkit(place: Path) -> Path | None:
    tries = [place / "VOCdevkit" / "VOC2012", place / "VOC2012", place]
    return next((path for path in tries if (path / "ImageSets/Main/train.txt").is_file()), None)


def _image_names(devkit: Path, split: str) -> list[str]:
    """Names of the split's images, without their ending."""
    path = devkit / "ImageSets/Main" / f"{split}.txt"
    names = path.read_text().split() if path.is_file() else []
    if not names:
        raise UserError(f"{path} is missing or empty; it lists the images of {split}, one name to a line; {HELP}")
    return names


def _objects_in(annotation: Path) -> list[MarkedObject] | None:
    """The marked objects of an image; None where there is no such file."""
    if not annotation.is_file():
        return None
    try:
        return [_marked_object(marked) for marked in xml.parse(annotation).getroot().findall("object")]
    except (xml.ParseError, TypeError, ValueError) as error:
        raise UserError(f"{annotation} cannot be read: {reason_of(error)}; mend it, or copy the set anew") from None


def _marked_object(marked: xml.Element) -> MarkedObject:
    x0, y0, x1, y1 = (float(marked.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return MarkedObject(marked.findtext("name", ""), marked.findtext("difficult", "0") == "1", (x1 - x0) * (y1 - y0))


def _classes(devkit: Path, objects: dict[str, list[MarkedObject] | None]) -> list[str]:
    """Class names in alphabetical order: from the class files, else from the annotated objects."""
    files = sorted((devkit / "ImageSets/Main").glob("*_train.txt"))
    marked = {marked_object.name for image_objects in objects.values() for marked_object in image_objects or ()}
    classes = [path.name.removesuffix("_train.txt") for path in files] or sorted(marked)
    if len(classes) < 2:
        raise UserError(
            f"{devkit} names {len(classes)} classes; needed are ImageSets/Main/<class>_train.txt and <class>_val.txt, "
            "or Annotations/<image>.xml, with two classes or more"
        )
    return classes


def _files(
    devkit: Path, split: str, names: list[str], objects: dict[str, list[MarkedObject] | None], classes: list[str]
) -> Files:
    marked = np.stack([_flags(objects[name] or [], classes) for name in names])
    files = [devkit / "ImageSets/Main" / f"{name}_{split}.txt" for name in classes]
    targets = np.stack([_column(path, names) for path in files], 1) if any(map(Path.is_file, files)) else marked
    annotated = np.array([objects[name] is not None for name in names])
    for row, column in np.argwhere((targets != marked) & annotated[:, None])[:1]:
        raise UserError(
            f"{files[column]} says {targets[row, column]} of {names[row]}, its Annotations say {marked[row, column]} "
            "(1 shown, 0 difficult, -1 not there); mend one of them, or move all <class>_*.txt away to go by the "
            "Annotations"
        )
    if len(empty := np.flatnonzero((targets == ABSENT).all(1))):
        raise UserError(
            f"image {names[empty[0]]} of {split} shows no object of any class ({len(empty)} such images); take it out "
            f"of ImageSets/Main/{split}.txt"
        )
    paths = [devkit / "JPEGImages" / f"{name}.jpg" for name in names]
    labels = [_label(row, objects[name] or [], classes) for row, name in zip(targets, names, strict=True)]
    return Files(paths, np.array(labels, np.int64), targets)


def _flags(objects: list[MarkedObject], classes: list[str]) -> Flags:
    """[K] SHOWN, DIFFICULT or ABSENT. A class is difficult where all its objects are; other classes are ignored."""
    flags = np.full(len(classes), ABSENT, np.int8)
    for marked_object in objects:
        if marked_object.name in classes:
            at = classes.index(marked_object.name)
            flags[at] = max(flags[at], DIFFICULT if marked_object.difficult else SHOWN)
    return flags


def _column(path: Path, names: list[str]) -> Flags:
    """[N] flags of the images in the file of one class."""
    if not path.is_file():
        raise UserError(f"{path} is missing, other classes have theirs; copy the set anew")
    flags = dict(line.split()[:2] for line in path.read_text().splitlines() if len(line.split()) > 1)
    for name in names:
        if flags.get(name) not in ("-1", "0", "1"):
            entry = f"{name} {flags[name]}" if name in flags else f"nothing of {name}"
            raise UserError(f"{path} says {entry}; of each image it says 1 (shown), 0 (difficult) or -1 (not there)")
    return np.array([flags[name] for name in names]).astype(np.int8)


def _label(targets: Flags, objects: list[MarkedObject], classes: list[str]) -> int:
    """The class of the largest object that is not difficult; without annotations the first class that is shown."""
    candidates = [marked_object for marked_object in objects if marked_object.name in classes]
    if candidates:
        return classes.index(max(candidates, key=lambda candidate: (not candidate.difficult, candidate.area)).name)
    return int(targets.argmax())
