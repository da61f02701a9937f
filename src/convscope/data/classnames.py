"""Readable names for class folders that are named by WordNet ids or by bytes that are no text."""

import csv
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from convscope.errors import UserError


def matching_classes(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The number of each name among the classes, -1 for a name that is missing.

    An exact match comes first; else case and underscores are ignored, where only one class matches (ImageNet has a
    Cardigan, the dog, and a cardigan, the jacket).
    """
    exact = {name: number for number, name in enumerate(classes)}
    loose: dict[str, list[int]] = {}
    for number, name in enumerate(classes):
        loose.setdefault(_loosely(name), []).append(number)
    unique = {name: numbers[0] for name, numbers in loose.items() if len(numbers) == 1}
    return [exact.get(name, unique.get(_loosely(name), -1)) for name in names]


def class_numbers(
    names: Sequence[str], folders: Sequence[str], classes: Sequence[str], wnids: Sequence[str] = ()
) -> list[int]:
    """The number of each class of the data among the net's classes, -1 for a class that the net does not have.

    folders: names of the data's class folders, if any. wnids: ids of the net's classes, if they are ImageNet's.
    Data with as many classes as an ImageNet net is matched by number where its folders are called 0, 1, 2, ..., or more
    than half of its classes match in their places. Other data is matched by ImageNet's ids, and without ids by names.
    """
    whole = 0 < len(wnids) == len(names)
    if whole and set(folders) == {str(number) for number in range(len(wnids))}:
        return [int(name) for name in folders]
    ids = [name if WNID.fullmatch(name) else "" for name in folders] or [""] * len(names)
    by_id = {wnid: number for number, wnid in enumerate(wnids or classes) if WNID.fullmatch(wnid)}
    id_names = [imagenet().get(wnid, name) if wnid else name for wnid, name in zip(ids, names, strict=True)]
    by_name = map(max, matching_classes(names, classes), matching_classes(id_names, classes))
    numbers = [by_id.get(wnid, -1 if wnids and wnid else number) for wnid, number in zip(ids, by_name, strict=True)]
    in_place = sum(number == place for place, number in enumerate(numbers))
    return list(range(len(names))) if whole and in_place > len(names) / 2 else numbers


def _loosely(name: str) -> str:
    return name.casefold().replace("_", " ")


WNID = re.compile(r"n\d{8}")  # of WordNet, by which ImageNet numbers its classes
_WNIDS = Path(__file__).with_name("imagenet_wnids.txt")  # of ILSVRC 2012, in the order in which nets number them


@cache
def imagenet() -> dict[str, str]:
    """The name of each of the thousand classes of ILSVRC 2012 by its WordNet id, in the order of nets' outputs."""
    from torchvision.models import AlexNet_Weights

    names = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    return dict(zip(_WNIDS.read_text(encoding="ascii").split(), names, strict=True))


def readable(folders: list[str], root: Path) -> list[str]:
    """One name per class folder, in their order: from root/classes.csv, else of ImageNet's ids, else of the folder."""
    names = _from_csv(root / "classes.csv") or (imagenet() if any(map(WNID.fullmatch, folders)) else {})
    folder_names = [utf8_text(folder) for folder in folders]
    pairs = zip(folders, folder_names, strict=True)
    return _distinct([names.get(folder, folder_name) for folder, folder_name in pairs], folder_names)


def utf8_text(name: str) -> str:
    """The name of a file or folder with bytes that are no UTF-8 escaped: no file of text takes them as they are."""
    return name.encode("utf-8", "backslashreplace").decode()


def _from_csv(path: Path) -> dict[str, str]:
    """The columns wnid and name; empty where there is no such file."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"wnid", "name"} <= set(rows[0]):
        raise UserError(
            f"{path} needs a first line with the columns wnid,name and a line per class; or remove the file"
        )
    return {row["wnid"]: row["name"] for row in rows if row["name"]}


def _distinct(names: list[str], folders: list[str]) -> list[str]:
    """The names; a name that two folders share gets the folder's name added."""
    shared = {name for name in names if names.count(name) > 1}
    return [f"{name} ({folder})" if name in shared else name for name, folder in zip(names, folders, strict=True)]
