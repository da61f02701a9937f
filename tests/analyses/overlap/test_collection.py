"""Two sets from files and from pixels; what cannot be compared is told."""

import os

import numpy as np
import pytest
from PIL import Image

from convscope.analyses.overlap.compute.collection import train_and_val, with_folder
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source, folder
from convscope.errors import UserError


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def place(tmp_path):
    """photos: 2 classes of 3 training and 2 validation images; other: 4 images at two depths, and a text."""
    seeds = iter(range(100))
    for split, count in (("train", 3), ("val", 2)):
        for name in ("ant", "bee"):
            for number in range(count):
                save(tmp_path / "photos" / split / name / f"{number}.png", next(seeds))
    for name in ("x.jpg", "deep/a.png", "deep/b.jpg", "deep/er/c.png"):
        save(tmp_path / "other" / name, next(seeds))
    (tmp_path / "other/notes.txt").write_text("no image")
    return tmp_path


def settings(place, **more):
    return DataSettings(224, 1, cache_dir=str(place / "cache"), **more)


def test_train_and_val_of_a_folder(place):
    train, val = train_and_val(folder(place / "photos"), "photos", 8, settings(place))
    assert (train.name, train.total, val.name, val.total) == ("photos train", 6, "photos val", 4)
    assert train.reduced.shape == (6, 8, 8, 3) and train.label(5) == "bee"
    assert train.file(5) == str(place / "photos/train/bee/2.png") and train.tile(0, 20).shape == (20, 20, 3)
    assert np.abs(train.tile(4, 8).astype(int) - train.reduced[4]).max() == 0


def test_all_of_a_set_and_all_below_a_folder(place):
    whole, in_folder = with_folder(folder(place / "photos"), "photos", place / "other", 8, settings(place))
    assert whole.total == 10 and whole.file(6) == str(place / "photos/val/ant/0.png") and whole.label(6) == "ant"
    assert [in_folder.file(at).removeprefix(f"{place}/other/") for at in range(4)] == [
        "x.jpg", "deep/a.png", "deep/b.jpg", "deep/er/c.png",
    ]  # fmt: skip
    assert in_folder.name == "other" and [in_folder.label(at) for at in range(4)] == ["other", "deep", "deep", "er"]


def test_images_that_come_from_no_files(place):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    source = Source(["a", "b"], Pixels(images[:3], np.array([0, 1, 0])), Pixels(images[3:], np.array([1, 0])))
    whole, _ = with_folder(source, "drawn", place / "other", 16, settings(place))
    assert np.array_equal(whole.reduced, images) and whole.file(3) == "3" and whole.label(3) == "b"
    assert np.array_equal(whole.tile(4, 16), images[4])


def test_limit_holds_for_each_split(place):
    train, val = train_and_val(folder(place / "photos"), "photos", 8, settings(place, limit=2))
    assert [train.label(0), train.label(1)] == ["ant", "bee"] and train.total == val.total == 2


def test_unreadable_images_stop_or_are_left_out(place):
    bad = place / "other/deep/b.jpg"
    bad.write_bytes(b"no image")
    whole, source = place / "photos", folder(place / "photos")
    with pytest.raises(UserError, match=r"b.jpg cannot be read: .*; mend or remove it, or type data.on_bad_image=skip"):
        with_folder(source, "photos", place / "other", 8, settings(place))
    _, in_folder = with_folder(folder(whole), "photos", place / "other", 8, settings(place, on_bad_image="skip"))
    assert (
        in_folder.bad == 1
        and in_folder.total == 3
        and in_folder.file(2).endswith("c.png")
        and in_folder.label(2) == "er"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", r"overlap.other=.*nowhere is no folder; name one that holds images, at any depth"),
        ("empty", r"overlap.other=.*empty holds no images; name a folder of image files, at any depth"),
        (
            "photos",
            r"10 of its 10 images are in data=... too, e.g. .*0.png; name another folder, or overlap.other=null",
        ),
        ("photos/val", r"4 of its 4 images are in data=... too"),
        ("link", r"overlap.other=.*link: 10 of its 10 images are in data=... too"),
    ],
)
def test_folders_that_cannot_be_compared(place, path, message):
    (place / "empty").mkdir()
    os.symlink(place / "photos", place / "link")
    with pytest.raises(UserError, match=message):
        with_folder(folder(place / "photos"), "photos", place / path, 8, settings(place))


def test_too_little_room_is_told(place):
    with pytest.raises(
        UserError, match=r"10 images at overlap.size=64 take .* GiB in .*; raise data.cache_gib, free the"
    ):
        train_and_val(folder(place / "photos"), "photos", 64, settings(place, cache_gib=1e-5))
