"""Sheets of index.jsonl that can be true are believed; all others are none."""

import json

import pytest
from PIL import Image

from convscope.runs.index import MAX_TILES, checked_sheet
from convscope.runs.reading import read_run
from convscope.runs.record import Conclusion, Picture, Record

GRID = {
    "size": [400, 300], "tile": 56, "step": 58, "maps": [3, 7], "projections": [[20, 76], [20, 128]],
    "patches": [[200, 76], [228, 128]], "count": [9, 0],
}  # fmt: skip
THUMBNAILS = {"tile": 112, "columns": 10, "images": [5, 2**40], "labels": [0, 3], "names": ["a.jpg", "<b>.jpg"]}


NEWER = GRID | {"rule": "guided (smoother)", "cuts": [[24, [[number, -2] for number in range(9)]], [0, []]]}


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": 7}, {"rule": "r" * 5000}, {"cuts": 3}, {"cuts": [[24, []]]}, {"cuts": [[24, [[0, 0]]], [0, []]]},
        {"cuts": [[-1, [[0, 0]] * 9], [0, []]]}, {"cuts": [["24", [[0, 0]] * 9], [0, []]]},
        {"cuts": [[24, [[0, 0.5]] * 9], [0, []]]}, {"cuts": [[24, [[0, 10**9]] * 9], [0, []]]}, {"cuts": [24, 0]},
        {"cuts": [[24, [[0]] * 9], [0, []]]}, {"cuts": [[24, 9], [0, []]]}, {"cuts": [None, None]},
    ],
)  # fmt: skip
def test_a_rule_or_cut_that_cannot_be_true_is_left_out(changed):
    key = next(iter(changed))
    assert checked_sheet(NEWER | changed) == {name: value for name, value in NEWER.items() if name != key}


@pytest.mark.parametrize("sheet", [GRID, NEWER, THUMBNAILS])
def test_a_whole_sheet_is_believed_without_what_no_viewer_reads(sheet):
    assert checked_sheet(json.loads(json.dumps(sheet))) == sheet
    assert checked_sheet(sheet | {"source": "javascript:alert(1)", "onload": [1]}) == sheet


@pytest.mark.parametrize(
    "changed",
    [
        {"size": [400]}, {"size": "400"}, {"size": [400.0, 300]}, {"size": [True, 300]}, {"size": [10**9, 300]},
        {"tile": 0}, {"tile": -56}, {"tile": "56"}, {"tile": 10**30}, {"step": None}, {"step": [58]},
        {"maps": [3]}, {"maps": [-3, 7]}, {"maps": {"0": 3, "1": 7}}, {"maps": ["3", "7"]}, {"maps": None},
        {"projections": [[20, 76]]}, {"projections": [[20, 76], [-1, 0]]}, {"projections": [[20, 76], [0, 129]]},
        {"patches": [[200, 76], [229, 128]]}, {"patches": [[200, 76], [1]]}, {"patches": [[200, 76], "00"]},
        {"patches": [[200, 76], [1, 2, 3]]}, {"patches": 7}, {"count": [9, 10]}, {"count": [9]}, {"count": [9, 0.5]},
        {"count": [9, float("nan")]}, {"maps": [1] * (MAX_TILES + 1), "count": [1] * (MAX_TILES + 1)},
    ],
)  # fmt: skip
def test_a_grid_that_cannot_be_true_is_none(changed):
    assert checked_sheet(GRID | changed) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"tile": 0}, {"columns": 0}, {"columns": "10"}, {"images": [5, -1]}, {"images": [5]}, {"images": 5},
        {"labels": [0, True]}, {"labels": [0, -1]}, {"names": ["a", 7]}, {"names": "ab"}, {"names": ["", "b" * 5000]},
        {"images": [0] * 10**5, "labels": [0] * 10**5, "names": [""] * 10**5},
    ],
)  # fmt: skip
def test_thumbnails_that_cannot_be_true_are_none(changed):
    assert checked_sheet(THUMBNAILS | changed) is None


@pytest.mark.parametrize("sheet", [None, 7, "sheet", [], [GRID], {}, {"sheet": GRID}])
def test_what_is_no_sheet_is_none(sheet):
    assert checked_sheet(sheet) is None


def test_a_sheet_goes_through_the_run_folder(tmp_path):
    record = Record(tmp_path)
    record.add(Picture("top9/conv1", Image.new("RGB", (400, 300)), "nine", 3, "conv1", sheet=GRID))
    record.add(Picture("plain", Image.new("RGB", (4, 3))))
    entries = {entry.name: entry for entry in read_run(tmp_path).entries}
    assert entries["top9/conv1"].sheet == GRID and entries["plain"].sheet is None


def test_a_damaged_sheet_leaves_its_picture_and_hostile_lines_leave_the_others(tmp_path):
    Record(tmp_path).add(Picture("top9/conv1", Image.new("RGB", (400, 300)), sheet=GRID | {"tile": -1}))
    deep = '{"kind": "picture", "name": "deep", "sheet": ' + "[" * 100_000 + "]" * 100_000 + "}"
    with open(tmp_path / "index.jsonl", "a") as index:
        index.write(deep + '\n{"kind": "number", "name": "far", "epoch": 1e999, "value": 1}\n')
    run = read_run(tmp_path)
    assert [(entry.name, entry.sheet) for entry in run.entries] == [("top9/conv1", None)]
    assert run.remarks == ["2 lines of index.jsonl cannot be read; not shown"]


def test_a_conclusion_has_words_and_no_file(tmp_path):
    record = Record(tmp_path)
    record.add(Conclusion("occlusion", "All is lost."))
    (tmp_path / "x.csv").write_text("a\n")
    with open(tmp_path / "index.jsonl", "a") as index:
        index.write(
            '{"kind": "conclusion", "name": "occlusion/file", "path": "x.csv"}\n{"kind": "later", "name": "x"}\n'
        )
    run = read_run(tmp_path)
    assert [(entry.kind, entry.name, entry.caption) for entry in run.entries] == [
        ("conclusion", "occlusion", "All is lost.")
    ]
    assert run.remarks == ["index.jsonl names 1 file outside this folder or of another kind; not shown"]
