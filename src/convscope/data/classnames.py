"""Names people can read, for class folders that carry WordNet ids or what is no text."""

import csv
import re
from functools import cache
from pathlib import Path

from convscope.problem import Problem

WNID = re.compile(r"n\d{8}")  # of WordNet, by which ImageNet numbers its classes
_WNIDS = Path(__file__).with_name("imagenet_wnids.txt")  # of ILSVRC 2012, in the order in which nets number them


@cache
def imagenet() -> dict[str, str]:
    """The name of each of the thousand classes of ILSVRC 2012 by its WordNet id, in the order of nets' outputs."""
    from torchvision.models import AlexNet_Weights

    names = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    return dict(zip(_WNIDS.read_text(encoding="ascii").split(), names, strict=True))


def readable(folders: list[str], root: Path) -> list[str]:
    """One name per class folder, in their order: from root/classes.csv, else known ImageNet ids, else as they are."""
    known = _from_csv(root / "classes.csv") or (imagenet() if any(map(WNID.fullmatch, folders)) else {})
    own = [text(folder) for folder in folders]
    return _distinct([known.get(folder, plain) for folder, plain in zip(folders, own, strict=True)], own)


def text(name: str) -> str:
    """The name of a file or folder with bytes that are no UTF-8 escaped: no file of text takes them as they are."""
    return name.encode("utf-8", "backslashreplace").decode()


def _from_csv(path: Path) -> dict[str, str]:
    """The columns wnid and name; empty where there is no such file."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"wnid", "name"} <= set(rows[0]):
        raise Problem(f"{path} needs a first line with the columns wnid,name and a line per class; or remove the file")
    return {row["wnid"]: row["name"] for row in rows if row["name"]}


def _distinct(names: list[str], folders: list[str]) -> list[str]:
    """Names that two folders share get the folder's own name added."""
    shared = {name for name in names if names.count(name) > 1}
    return [f"{name} ({own})" if name in shared else name for name, own in zip(names, folders, strict=True)]
