"""Folders that are half converted are no sets; what cannot be converted is told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.sources import Files, Pixels, Source, folder
from convscope.data.stream.conversion import Conversion, converted
from convscope.data.stream.source import stream
from convscope.errors import UserError


@pytest.fixture
def source(tmp_path):
    paths, draw = [tmp_path / f"{number}.png" for number in range(10)], np.random.default_rng(0)
    for path in paths:
        Image.fromarray(draw.integers(0, 256, (20, 25, 3), np.uint8)).save(path)
    return Source(["a", "b"], Files(paths, np.arange(10) % 2), Files(paths[:4], np.arange(4) % 2))


def make(source, place, on_bad="stop", **plan):
    return list(converted(source, Conversion(str(place), **{"chunk": 3, **plan}), 14, 0, on_bad))


def test_images_in_memory_and_their_numbers_as_names(tmp_path):
    pixels = np.repeat(np.arange(0, 240, 24, dtype=np.uint8), 64 * 3).reshape(10, 8, 8, 3)
    whole = Pixels(pixels, np.arange(10))
    make(Source([*"abcdefghij"], whole, whole), tmp_path / "set")
    source_of_set = stream(tmp_path / "set", 14, tmp_path, 1)
    for split in (source_of_set.train, source_of_set.val):
        for at in range(10):
            assert split.name(at) == str(split.labels[at])
            assert np.abs(split.image(at).astype(int) - 24 * split.labels[at]).max() <= 1
    assert source_of_set.train.labels.tolist() != source_of_set.val.labels.tolist() == list(range(10))


def test_a_conversion_cut_off_is_no_set_and_starts_over(source, tmp_path, capsys):
    place = tmp_path / "set"
    steps = converted(source, Conversion(str(place), chunk=3), 14, 0, "stop")
    next(steps)  # train is written, val is not
    steps.close()
    with pytest.raises(UserError, match=r"is no converted set \(a conversion into it was not finished\)"):
        stream(place, 14, tmp_path, 1)
    make(source, place)
    assert f"{place} was left unfinished; the conversion starts over" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "again", ignore_errors=True)
    make(source, tmp_path / "again")
    for name in ("train/chunk-0-1.bin", "val/chunk-0-1.bin", "train/labels.npy", "train/mean.npy", "set.json"):
        assert (place / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert stream(place, 14, tmp_path, 1).train.name(0) == stream(tmp_path / "again", 14, tmp_path, 1).train.name(0)


def test_unreadable_images(source, tmp_path):
    bad: Path = source.train.paths[2]
    bad.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2.png cannot be read: .*; mend or remove it, or type data.on_bad_image=skip"):
        make(source, tmp_path / "set")
    train, val = make(source, tmp_path / "set", "skip")
    assert (train.images, val.images) == (9, 3) and [path for path, _ in train.bad] == [bad] == [val.bad[0][0]]
    source_of_set = stream(tmp_path / "set", 14, tmp_path, 1)
    assert sorted(source_of_set.train.name(at) for at in range(9)) == [f"{n}.png" for n in range(10) if n != 2]
    for path in source.train.paths:
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 10 images of train can be read; the first: "):
        make(source, tmp_path / "none", "skip")


def test_a_set_says_at_every_start_what_it_lacks(source, tmp_path):
    """Also what is wrong for a while only: a permission, a link; the set cannot know when that is mended."""
    make(source, tmp_path / "whole")
    assert stream(tmp_path / "whole", 14, tmp_path, 1).remarks == []
    for number in (5, 7):
        source.train.paths[number].unlink()
    source.train.paths[2].write_bytes(b"no image")
    make(source, tmp_path / "set", "skip")
    [remark] = stream(tmp_path / "set", 14, tmp_path, 1).remarks
    assert remark.startswith("4 images could not be read when the set was converted: ")  # 2.png is in val, too
    assert (
        "No such file or directory (2, e.g. 7.png)" in remark or "No such file or directory (2, e.g. 5.png)" in remark
    )
    assert "convert it anew" in remark
    facts = json.loads((tmp_path / "set/set.json").read_text())
    for split in ("train", "val"):
        del facts[split]["left_out"]  # as version 0.1 wrote it
    (tmp_path / "set/set.json").write_text(json.dumps(facts))
    assert stream(tmp_path / "set", 14, tmp_path, 1).remarks == []


def test_what_is_there_is_not_overwritten(source, tmp_path):
    make(source, tmp_path / "set")
    with pytest.raises(UserError, match="holds a converted set; remove it, or name another folder"):
        make(source, tmp_path / "set")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds something else; name a new folder, or an empty one"):
        make(source, tmp_path / "other")
    with pytest.raises(UserError, match="cannot be written"):
        make(source, tmp_path / "0.png/set")
    with pytest.raises(UserError, match="is converted already"):
        make(stream(tmp_path / "set", 14, tmp_path, 1), tmp_path / "twice")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"to": "x", "quality": 101}, "convert.quality=101 is too large; it is 1 to 100, e.g. convert.quality=95"),
        ({"to": "x", "chunk": 0}, "convert.chunk=0 is too small"),
    ],
)
def test_plans_that_cannot_be(plan, message):
    with pytest.raises(UserError, match=message):
        Conversion(**plan)


def test_a_folder_of_photographs(source, tmp_path):
    for split in ("train", "val"):
        for name in ("n01", "n02"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            shutil.copy(source.train.paths[0], tmp_path / "photos" / split / name / "x.png")
    make(folder(tmp_path / "photos"), tmp_path / "set")
    assert stream(tmp_path / "set", 14, tmp_path, 1).classes == ["n01", "n02"]
