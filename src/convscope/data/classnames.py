"""Names people can read, for class folders that carry WordNet ids or what is no text."""

import csv
import re
from pathlib import Path

from convscope.problem import Problem


def readable(folders: list[str], root: Path) -> list[str]:
    """One name per class folder, in their order: from root/classes.csv, else known ImageNet ids, else as they are."""
    known = _from_csv(root / "classes.csv") or _from_torchvision(folders)
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


def _from_torchvision(folders: list[str]) -> dict[str, str]:
    """ImageNet's thousand names (torchvision lists them in the order of the ids), or Imagenette's ten."""
    if not all(re.fullmatch(r"n\d{8}", folder) for folder in folders):
        return {}
    if len(folders) == 1000:
        from torchvision.models import AlexNet_Weights

        return dict(zip(folders, AlexNet_Weights.IMAGENET1K_V1.meta["categories"], strict=True))
    from torchvision.datasets import Imagenette

    return {wnid: names[0] for wnid, names in Imagenette._WNID_TO_CLASS.items()}


def _distinct(names: list[str], folders: list[str]) -> list[str]:
    """Names that two folders share get the folder's own name added."""
    shared = {name for name in names if names.count(name) > 1}
    return [f"{name} ({own})" if name in shared else name for name, own in zip(names, folders, strict=True)]
