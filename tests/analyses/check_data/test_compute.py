"""What a survey of a data set finds, against the folders that were laid out for it."""

import shutil
from contextlib import suppress
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from convscope.analyses.check_data.about import CheckDataConfig
from convscope.analyses.check_data.compute import DataSet, complaints, mode_rows, sample_tile, survey
from convscope.data.decode import Unreadable, decoded
from convscope.data.folder_contents import skipped_files
from convscope.data.sources import Pixels, Source, folder
from convscope.errors import UserError


@pytest.fixture
def root(tmp_path):
    """Three classes of 6 and 3 images, each image its own; sizes 40 x 30 and up."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for name in ("ant", "bee", "cat"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                noise = draw.integers(0, 256, (30 + number, 40, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / split / name / f"{number}.png")
    return tmp_path


def surveyed(root, image_size=32):
    return survey(DataSet(folder(root)), image_size)


def test_a_sound_set_has_nothing_to_tell(root):
    result = surveyed(root, 24)  # stored with 27 pixels: none is enlarged
    assert complaints(result, CheckDataConfig(few=6)) == [] and not result.duplicates and not result.bad()
    assert mode_rows(result) == [{"mode": "RGB", "train": 18, "val": 9}]
    assert [images.width.tolist() for images in result.splits] == [[40] * 18, [40] * 9]
    assert result.splits[0].height.tolist() == [30, 31, 32, 33, 34, 35] * 3


def test_copies_by_brute_force(root):
    """Every pair of images, decoded and compared pixel by pixel."""
    for old, new in (("train/ant/0.png", "train/ant/x.png"), ("train/ant/0.png", "val/ant/x.png"),
                     ("train/bee/1.png", "train/cat/x.png"), ("val/cat/2.png", "val/cat/x.png")):  # fmt: skip
        shutil.copy(root / old, root / new)
    Image.open(root / "train/cat/4.png").save(root / "train/cat/other.webp", lossless=True)  # other bytes, same pixels
    (root / "train/bee/y.png").write_bytes(b"torn")
    (root / "train/bee/z.png").write_bytes(b"torn")  # two bad ones are no copies
    result = surveyed(root)
    pixels = {}
    for split in result.splits:
        for at, path in enumerate(split.split.paths):
            with suppress(Unreadable):
                pixels[split.name, at] = decoded(path, result.size)
    expected = {frozenset(pair) for pair in combinations(pixels, 2) if np.array_equal(*(pixels[key] for key in pair))}
    groups = [[(split.name, at) for split, at in group.members] for group in result.duplicates]
    assert {frozenset(pair) for group in groups for pair in combinations(group, 2)} == expected
    assert sorted(map(len, groups)) == [2, 2, 2, 3]
    assert len(result.duplicates[0].classes) == 2  # of several classes first
    assert result.duplicates[1].splits == ["train", "val"] and result.shared == 1
    assert complaints(result, CheckDataConfig(few=0)) [:5] == [
        "2 images of 34 cannot be read (bad_images.csv); training stops there unless data.on_bad_image=skip is typed",
        "1 image of val in train, too, pixel by pixel: what is seen tests nothing",
        "1 image in several classes at once: bee and cat",
        "3 images of train the same as others there, pixel by pixel",
        "1 image of val the same as others there, pixel by pixel",
    ]  # fmt: skip


def test_small_images_few_images_and_other_files(root):
    (root / "train/notes.txt").touch()
    (root / "train/ant/.DS_Store").touch()
    Image.new("CMYK", (30, 29)).save(root / "train/loose.jpg")
    for path in (root / "val/bee").iterdir():
        path.write_bytes(b"")
    result = survey(DataSet(folder(root), "", skipped_files(root / "train", root / "val")), 28)  # stored with 32 pixels
    lines = complaints(result, CheckDataConfig(few=7))
    assert lines[1:] == [
        "train: classes with fewer than 7 images to read: ant (6), bee (6), cat (6)",
        "train: 6 images of 18 with a side under 32 pixels, which will be enlarged",
        "val: classes with fewer than 1 image to read: bee (0)",
        "val: 4 images of 9 with a side under 32 pixels, which will be enlarged",
        "not taken for images: 3 files, hidden (1), in no class folder (1), no image: .txt (1)",
    ]
    assert [bad.reason for bad in result.bad()] == ["the file is empty"] * 3


def test_images_in_memory_and_one_set_for_both_splits():
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    pixels[7] = pixels[2]
    whole = Pixels(pixels, np.arange(9) % 3)
    result = survey(DataSet(Source(["a", "b", "c"], whole, whole)), 28)
    assert [images.name for images in result.splits] == ["train"]
    assert [[at for _, at in group.members] for group in result.duplicates] == [[2, 7]]
    assert result.splits[0].file(7) == "7"
    assert np.array_equal(sample_tile(result.splits[0], 4, result), pixels[4, 2:30, 2:30])


@pytest.mark.parametrize("wrong", [{"few": -1}, {"classes": 0}, {"shown": 0}])
def test_wrong_plans_are_told(wrong):
    [name] = wrong
    with pytest.raises(UserError, match=rf"check_data.{name}=-?\d is too small; it is \d or more"):
        CheckDataConfig(**wrong)
