"""The identity of classes: their folders, which number them; names, by which people know them, may change at any time.

Folders may be named by WordNet ids, as ImageNet's, or by bytes that are no text.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import TypeVar

from convscope.errors import UserError
from convscope.models.untrusted import LONGEST_NAME
from convscope.runs.csv_reader import has_guessed_letters, read_csv

WNID = re.compile(r"(n\d{8})([-_. ].*)?", re.DOTALL)  # WordNet's, as ImageNet has them: n02085620, n02085620-Chihuahua
Value = TypeVar("Value")
_WNIDS = Path(__file__).with_name("imagenet_wnids.txt")  # of ILSVRC 2012, in the order in which nets number them


@cache
def imagenet() -> dict[str, str]:
    """The name of each of the thousand classes of ILSVRC 2012 by its WordNet id, in the order of nets' outputs."""
    from torchvision.models import AlexNet_Weights

    names = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    return dict(zip(_WNIDS.read_text(encoding="ascii").split(), names, strict=True))


def wnids_of(folders: Sequence[str]) -> list[str]:
    """The WordNet id that each folder is named by, "" where it is named otherwise."""
    return [match[1] if (match := WNID.fullmatch(folder)) else "" for folder in folders]


def matching_classes(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The number of each name among the classes, -1 for a name that is missing.

    An exact match comes first; else case and underscores are ignored, where only one class matches (ImageNet has a
    Cardigan, the dog, and a cardigan, the jacket).
    """
    exact = {name: number for number, name in enumerate(classes)}
    unique = _unique((_loosely(name), number) for number, name in enumerate(classes))
    return [exact.get(name, unique.get(_loosely(name), -1)) for name in names]


def class_numbers(
    names: Sequence[str],
    folders: Sequence[str],
    classes: Sequence[str],
    wnids: Sequence[str] = (),
    net_folders: Sequence[str] = (),
) -> list[int]:
    """The number of each class of the data among the net's classes, -1 for a class that the net does not have.

    names, folders: the data's; folders empty where images lie in none. classes, net_folders: the net's, the latter
    empty where it does not know them, as nets of version 0.1. wnids: ImageNet's ids of the net's classes, if they have
    such. A class is known by its folder; else by its id; else by its name, which may be the name of the folder.
    Data without ids that has as many classes as an ImageNet net is matched by number where its folders are called
    0, 1, 2, ..., or more than half of its classes match in their places.
    """
    if list(names) == list(classes) and not net_folders:
        return list(range(len(names)))
    whole = 0 < len(wnids) == len(names)
    if whole and set(folders) == {str(number) for number in range(len(wnids))}:
        return [int(name) for name in folders]
    folders = folder_names(folders)
    by_folder = {folder: number for number, folder in enumerate(net_folders)}
    ids = wnids_of(folders) or [""] * len(names)
    net_ids = list(wnids) or wnids_of(net_folders) or wnids_of(classes)
    by_id = {wnid: number for number, wnid in enumerate(net_ids) if wnid}
    numbers = _by_name(names, folders, ids, classes, net_folders)
    for number, (folder, wnid) in enumerate(zip(folders, ids, strict=False)):
        is_other_id = wnid and net_ids[numbers[number]]  # which is another class, whatever the names say
        numbers[number] = by_folder.get(folder, by_id.get(wnid, -1 if is_other_id else numbers[number]))
    in_place = sum(number == place for place, number in enumerate(numbers))
    return list(range(len(names))) if whole and not any(ids) and in_place > len(names) / 2 else numbers


def _by_name(
    names: Sequence[str], folders: Sequence[str], ids: Sequence[str], classes: Sequence[str], net_folders: Sequence[str]
) -> list[int]:
    """The number of each class of the data by its name, ImageNet's name of its id, or its folder's name; else -1.

    A net that does not know its folders, and each of the data's folders as a class, was trained before they got names.
    """
    if folders and not net_folders and set(folders) <= set(classes):
        return matching_classes(folders, classes)
    id_names = [imagenet().get(wnid, name) if wnid else name for wnid, name in zip(ids, names, strict=True)]
    candidates = [matching_classes(texts, classes) for texts in (names, id_names, folders or names)]
    candidates.append(matching_classes(names, net_folders))
    return [next((number for number in numbers if number >= 0), -1) for numbers in zip(*candidates, strict=True)]


def are_same_classes(
    names: Sequence[str], folders: Sequence[str], old_names: Sequence[str], old_folders: Sequence[str]
) -> bool:
    """Whether classes are those that a net was trained on, in their order, whatever their names are now."""
    numbers = class_numbers(names, folders, old_names, (), old_folders)
    return len(names) == len(old_names) and numbers == list(range(len(names)))


def current_names(
    names: Sequence[str], folders: Sequence[str], old_names: Sequence[str], old_folders: Sequence[str]
) -> list[str]:
    """The names of a net's classes, of those in the same folders as the data's as the data calls them now."""
    by_folder = dict(zip(folder_names(folders), names, strict=False))
    current = [by_folder.get(folder, name) for folder, name in zip(old_folders, old_names, strict=False)]
    return current if len(set(current)) == len(old_names) else list(old_names)


def readable(folders: Sequence[str], root: Path) -> list[str]:
    """One name per class folder, in their order: from root/classes.csv, else of ImageNet's ids, else of the folder.

    Names are text that a checkpoint takes, and all differ.
    """
    texts, path = [utf8_text(folder) for folder in folders], root / "classes.csv"
    names = _from_csv(path, texts) if path.exists() and not path.is_dir() else {}
    ids = wnids_of(texts)
    of_ids = imagenet() if any(ids) else {}
    return distinct([names.get(text) or of_ids.get(wnid, text) for text, wnid in zip(texts, ids, strict=True)], texts)


def csv_remarks(folders: Sequence[str], root: Path) -> list[str]:
    """What is to be known of root/classes.csv, which `readable` has read; none for names that reach their folders."""
    path, texts = root / "classes.csv", [utf8_text(folder) for folder in folders]
    if not folders or not path.is_file():
        return []
    if not _from_csv(path, texts):
        return [f"{path} names no class folder; its column wnid has the names of folders, such as {texts[0][:60]!r}"]
    words = "is no UTF-8 and is read as Windows-1252; where names look wrong, save it as csv (UTF-8)"
    return [f"{path} {words}"] if has_guessed_letters(path) else []


def utf8_text(name: str) -> str:
    """The name of a file or folder with bytes that are no UTF-8 escaped: no file of text takes them as they are."""
    return name.encode("utf-8", "backslashreplace").decode()


def folder_names(folders: Sequence[str]) -> list[str]:
    """The names of folders as checkpoints store them: text, too long ones with a hash in place of their end."""
    texts = [utf8_text(folder) for folder in folders]
    hashes = [sha1(text.encode()).hexdigest()[:16] if len(text) > LONGEST_NAME else "" for text in texts]
    return [f"{text[: LONGEST_NAME - 17]}…{end}" if end else text for text, end in zip(texts, hashes, strict=True)]


def distinct(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """The names, cut to LONGEST_NAME letters; those that several classes share get their folder added, or a number."""
    names, additions = [_joined(name, "") for name in names], folders
    while len(counts := Counter(names)) < len(names):
        pairs = zip(names, additions, strict=True)
        names = [_joined(name, f" ({addition})") if counts[name] > 1 else name for name, addition in pairs]
        additions = [str(number) for number in range(len(names))]
    return names


def _joined(name: str, end: str) -> str:
    """The name and the end, both cut where they are too long together."""
    end = end if len(end) <= LONGEST_NAME // 2 else f"{end[: LONGEST_NAME // 2 - 2]}…)"
    room = LONGEST_NAME - len(end)
    return (name if len(name) <= room else f"{name[: room - 1]}…") + end


def _from_csv(path: Path, folders: Sequence[str]) -> dict[str, str]:
    """The names of the folders in a csv with columns wnid and name; none for a folder without a row or with no name.

    A spreadsheet writes 001 as 1, and accents in another form than a file system: where only one folder matches so,
    it is meant.
    """
    table = read_csv(path, ["wnid", "name"], "a first line wnid,name and a line for each class folder, or no such file")
    wnid, name = table.columns.index("wnid"), table.columns.index("name")
    exact, alike = {folder: folder for folder in folders}, _unique((_written(folder), folder) for folder in folders)
    names: dict[str, str] = {}
    for line, cells in table.rows:
        folder = exact.get(cells[wnid]) or alike.get(_written(cells[wnid]))
        if not folder or not cells[name]:
            continue
        if names.setdefault(folder, cells[name]) != cells[name]:
            raise UserError(f"{path} line {line}: the class {folder} is named a second time; keep one of the lines")
    return names


def _written(folder: str) -> str:
    """The name of a folder as a spreadsheet may write it."""
    text = unicodedata.normalize("NFC", folder).strip().casefold()
    text = wnids_of([text])[0] or text
    return text.lstrip("0") or "0" if text.isdecimal() else text


def _unique(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """The values of the keys that come once."""
    pairs = list(pairs)
    counts = Counter(key for key, _ in pairs)
    return {key: value for key, value in pairs if counts[key] == 1}


def _loosely(name: str) -> str:
    return name.casefold().replace("_", " ")
