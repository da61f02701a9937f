"""PASCAL VOC 2012 (Table 6): photographs of objects in 20 classes, one or several to an image."""

import os
import shutil
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscope.data.public_sets import download_once, root_of_set
from convscope.data.sources import Files, Source
from convscope.errors import UserError

ABSENT, DIFFICULT, SHOWN = -1, 0, 1  # the numbers of the set's own class files
SPLITS = "train", "val"
HELP = "type data.root=<its folder>, or data.download=true to fetch 2 GB"
Flags = NDArray[np.int8]


class Thing(NamedTuple):
    """An object that is marked in an image; area of its box in pixels."""

    name: str
    difficult: bool
    area: float


def voc2012(root: str | Path | None, download: bool = False) -> Source:
    """PASCAL VOC 2012 as torchvision's VOCDetection keeps it: JPEGImages, Annotations and ImageSets in
    root/VOCdevkit/VOC2012.

    train and val are the set's own. (The labels of its test images are with the official server alone; the paper
    trained on train and val together and asked that server.) The targets come from ImageSets/Main/<class>_<split>.txt,
    without those from the Annotations; where both are there they must agree. An image's one label, for the jobs that
    want one, is the class of its largest object, of those not difficult where there are any: ours.
    """
    place = root_of_set(root, "voc2012")
    if download and not _devkit(place):
        download_once("PASCAL VOC 2012", place, lambda: _fetch(place))
    if not (found := _devkit(place)):
        raise UserError(f"no PASCAL VOC 2012 in {place}: needed is VOCdevkit/VOC2012/ImageSets/Main/train.txt; {HELP}")
    names = {split: _listed(found, split) for split in SPLITS}
    things = {name: _things(found / "Annotations" / f"{name}.xml") for split in SPLITS for name in names[split]}
    classes = _classes(found, things)
    train, val = (_files(found, split, names[split], things, classes) for split in SPLITS)
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


def _listed(devkit: Path, split: str) -> list[str]:
    """Names of the split's images, without their ending."""
    path = devkit / "ImageSets/Main" / f"{split}.txt"
    names = path.read_text().split() if path.is_file() else []
    if not names:
        raise UserError(f"{path} is missing or empty; it lists the images of {split}, one name to a line; {HELP}")
    return names


def _things(annotation: Path) -> list[Thing] | None:
    """What is marked in an image; None where there is no such file."""
    if not annotation.is_file():
        return None
    try:
        return [_thing(marked) for marked in xml.parse(annotation).getroot().findall("object")]
    except (xml.ParseError, TypeError, ValueError) as error:
        raise UserError(f"{annotation} cannot be read: {error}; mend it, or copy the set anew") from None


def _thing(marked: xml.Element) -> Thing:
    x0, y0, x1, y1 = (float(marked.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return Thing(marked.findtext("name", ""), marked.findtext("difficult", "0") == "1", (x1 - x0) * (y1 - y0))


def _classes(devkit: Path, things: dict[str, list[Thing] | None]) -> list[str]:
    """In the order of their names: those with class files, else those of the annotated objects."""
    files = sorted((devkit / "ImageSets/Main").glob("*_train.txt"))
    marked = {thing.name for found in things.values() for thing in found or ()}
    classes = [path.name.removesuffix("_train.txt") for path in files] or sorted(marked)
    if len(classes) < 2:
        raise UserError(
            f"{devkit} names {len(classes)} classes; needed are ImageSets/Main/<class>_train.txt and <class>_val.txt, "
            "or Annotations/<image>.xml, with two classes or more"
        )
    return classes


def _files(
    devkit: Path, split: str, names: list[str], things: dict[str, list[Thing] | None], classes: list[str]
) -> Files:
    marked = np.stack([_flags(things[name] or [], classes) for name in names])
    files = [devkit / "ImageSets/Main" / f"{name}_{split}.txt" for name in classes]
    targets = np.stack([_column(path, names) for path in files], 1) if any(map(Path.is_file, files)) else marked
    annotated = np.array([things[name] is not None for name in names])
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
    labels = [_label(row, things[name] or [], classes) for row, name in zip(targets, names, strict=True)]
    return Files(paths, np.array(labels, np.int64), targets)


def _flags(things: list[Thing], classes: list[str]) -> Flags:
    """[K]: a class is difficult where all of its objects are. An object of none of the classes has no say."""
    flags = np.full(len(classes), ABSENT, np.int8)
    for thing in things:
        if thing.name in classes:
            at = classes.index(thing.name)
            flags[at] = max(flags[at], DIFFICULT if thing.difficult else SHOWN)
    return flags


def _column(path: Path, names: list[str]) -> Flags:
    """[N]: what one class file says of each image."""
    if not path.is_file():
        raise UserError(f"{path} is missing, other classes have theirs; copy the set anew")
    said = dict(line.split()[:2] for line in path.read_text().splitlines() if len(line.split()) > 1)
    for name in names:
        if said.get(name) not in ("-1", "0", "1"):
            given = f"{name} {said[name]}" if name in said else f"nothing of {name}"
            raise UserError(f"{path} says {given}; of each image it says 1 (shown), 0 (difficult) or -1 (not there)")
    return np.array([said[name] for name in names]).astype(np.int8)


def _label(targets: Flags, things: list[Thing], classes: list[str]) -> int:
    """The class of the largest object that is not difficult; without annotations the first class that is shown."""
    known = [thing for thing in things if thing.name in classes]
    if known:
        return classes.index(max(known, key=lambda thing: (not thing.difficult, thing.area)).name)
    return int(targets.argmax())
