"""Folders are the identity of classes: no name makes a net foreign, and every name can be stored and read again."""

import os

import numpy as np
import pytest
from hypothesis import example, given, strategies
from PIL import Image

from convscope.data.classnames import (
    are_same_classes,
    class_numbers,
    csv_remarks,
    current_names,
    folder_names,
    imagenet,
    matching_classes,
    readable,
)
from convscope.data.sources import Files, Source
from convscope.data.stream.conversion import Conversion, converted
from convscope.data.stream.source import stream
from convscope.errors import UserError
from convscope.models.untrusted import are_class_names
from random_settings import tried

TEXT = strategies.characters(exclude_categories=["Cs"], exclude_characters='\0\ufeff\r\n"')
LONG = [b"\xff" * 255, b"\xff" * 254 + b"\xfe"]
NAMES = strategies.one_of(
    strategies.text(TEXT, max_size=12), strategies.sampled_from(["pet", "pet (b)", "x" * 1200, "x" * 999 + "yz"])
)
BYTES = strategies.one_of(
    strategies.binary(min_size=1, max_size=8),
    strategies.sampled_from([*LONG, b"b", b"01", b"n02085620"]),
)
FOLDERS = strategies.lists(
    BYTES.filter(lambda name: not set(name) & set(b"\0/") and name not in (b".", b"..")),
    min_size=2, max_size=6, unique=True,
).map(lambda names: sorted(map(os.fsdecode, names)))  # fmt: skip


def named(root, folders, names):
    """The names that a classes.csv gives these folders; folders whose names no csv can hold go without."""
    quoted = ['"' + text.replace('"', '""') + '"' for text in [*folder_names(folders), *names]]
    rows = zip(quoted[: len(folders)], quoted[len(folders) :], strict=True)
    content = "wnid,name\n" + "\n".join(f"{folder},{name}" for folder, name in rows)
    (root / "classes.csv").write_bytes(content.encode())
    return readable(folders, root)


@tried(40)
@given(FOLDERS, strategies.data())
@example(["\udcff" * 255, "\udcff" * 254 + "\udcfe"], None)
def test_names_are_stored_and_change_no_class(tmp_path_factory, folders, data):
    root = tmp_path_factory.getbasetemp()
    (root / "classes.csv").unlink(missing_ok=True)
    generations = [readable(folders, root)]  # before there is a csv
    lists = strategies.lists(NAMES, min_size=len(folders), max_size=len(folders))
    for _ in range(2):
        drawn = data.draw(lists) if data else ["x" * 1200] * len(folders)
        try:
            generations.append(named(root, folders, drawn))
        except UserError as problem:  # a spreadsheet would write two of these folders alike
            assert "a second time" in str(problem)
    stored, places = folder_names(folders), list(range(len(folders)))
    assert are_class_names(stored) and len(set(stored)) == len(folders)
    for names in generations:
        assert are_class_names(names) and len(set(names)) == len(folders)
        for old in generations:
            assert class_numbers(names, folders, old, (), stored) == places
            assert are_same_classes(names, folders, old, stored)
        assert current_names(names, folders, generations[0], stored) == names
    for names in generations:  # a net of 0.1 knows names alone; those of folders hold whatever came later
        assert class_numbers(names, folders, generations[0]) == places or not set(map(str, folders)) <= set(
            generations[0]
        )


@tried(60)
@given(FOLDERS, FOLDERS)
def test_other_folders_are_other_classes(folders, net_folders):
    names, old = [f"name {n}" for n in range(len(folders))], [f"old {n}" for n in range(len(net_folders))]
    numbers = class_numbers(names, folders, old, (), folder_names(net_folders))
    assert [number >= 0 and net_folders[number] for number in numbers] == [
        folder in net_folders and folder for folder in folders
    ]
    assert are_same_classes(names, folders, old, folder_names(net_folders)) == (folders == net_folders)


IDS = list(imagenet())
ELSE = ["n00007846", "n15102894"]  # of ImageNet's 21,841, beyond the thousand
ENDS = ["", "-Chihuahua", "_tench", " (2)"]


@tried(40)
@given(
    strategies.lists(strategies.sampled_from([*IDS, *ELSE]), min_size=1, max_size=12, unique=True),
    strategies.sampled_from(ENDS), strategies.booleans(),
)  # fmt: skip
@example(IDS, "", False)
@example([*IDS[::10], *ELSE], "", True)
@example([*IDS[:998], *ELSE], "", False)
def test_any_part_of_imagenet_has_its_names_and_is_matched(tmp_path_factory, wnids, end, translated):
    root, folders = tmp_path_factory.getbasetemp(), sorted(wnid + end for wnid in wnids)
    (root / "classes.csv").unlink(missing_ok=True)
    names = readable(folders, root)
    for folder, name in zip(folders, names, strict=True):
        assert name == imagenet()[folder[:9]] if folder[:9] in imagenet() else name == folder
    if translated:
        names = named(root, folders, [f"Klasse {number}" for number in range(len(folders))])
    places = [IDS.index(folder[:9]) if folder[:9] in IDS else -1 for folder in folders]
    assert class_numbers(names, folders, list(imagenet().values()), IDS) == places
    net_folders = sorted(IDS[::3])  # a net of our own, trained on a part
    expected = [net_folders.index(folder[:9]) if folder[:9] in net_folders else -1 for folder in folders]
    assert class_numbers(names, folders, [f"Klass {n}" for n in range(len(net_folders))], (), net_folders) == expected
    if not translated:  # and one of version 0.1, which stored names
        assert class_numbers(names, folders, [imagenet()[wnid] for wnid in net_folders]) == expected


def test_csv_and_ids_complete_each_other(tmp_path):
    (tmp_path / "classes.csv").write_text("wnid;name\nn02085620;Chihuahua-Hund\n7;sieben\nBücher;books\n")
    folders = ["007", "Bu\u0308cher", "n02085620", "n02099601"]
    assert readable(folders, tmp_path) == ["sieben", "books", "Chihuahua-Hund", "golden retriever"]
    assert csv_remarks(folders, tmp_path) == []
    (tmp_path / "classes.csv").write_text("wnid;name\nBücher;Bücher\n", encoding="cp1252")
    assert "is read as Windows-1252" in csv_remarks(folders, tmp_path)[0]
    (tmp_path / "classes.csv").write_text("wnid;name\nBooks;Bücher\n")
    assert "names no class folder; its column wnid has the names of folders, such as '007'" in "".join(
        csv_remarks(folders, tmp_path)
    )
    (tmp_path / "classes.csv").write_text("wnid,name\nant,an ant\nant,Ameise\n")
    with pytest.raises(UserError, match=r"classes.csv line 3: the class ant is named a second time"):
        readable(["ant", "bee"], tmp_path)


def test_swapped_names_that_were_corrected_keep_their_folders():
    assert class_numbers(["dog", "cat"], ["a", "b"], ["cat", "dog"], (), ["a", "b"]) == [0, 1]
    assert class_numbers(["big crane", "crane"], ["crane", "crane2"], ["crane", "crane2"]) == [0, 1]  # of 0.1
    assert matching_classes(["A_b"], ["a b"]) == [0]


def test_a_converted_set_keeps_its_folders(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        Image.new("RGB", (80, 80)).save(path)
    split = Files(paths, np.array([0, 0, 1, 1]))
    source = Source(["Ameise", "Biene"], split, split, ["ant", os.fsdecode(b"b\xff")])
    list(converted(source, Conversion(to=str(tmp_path / "set")), 64, 0, "stop"))
    chunks = stream(tmp_path / "set", 64, tmp_path, 1.0)
    assert chunks.classes == source.classes and list(chunks.folders) == folder_names(source.folders)
    assert class_numbers(["Ant", "Bee"], source.folders, chunks.classes, (), chunks.folders) == [0, 1]
    about = tmp_path / "set/set.json"
    about.write_text(about.read_text().replace('"Ameise"', '"\\ud800"'))
    with pytest.raises(UserError, match="set.json is damaged"):
        stream(tmp_path / "set", 64, tmp_path, 1.0)
