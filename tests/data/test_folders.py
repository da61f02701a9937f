"""Folders and file names of every kind: links in circles, names that are no text, and places without permission."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data import folders
from convscope.data.cache import Cache, decoded_once
from convscope.data.decode import Unreadable, decoded, printable
from convscope.data.sources import Files
from convscope.errors import UserError

SIDE = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, 60, 3), np.uint8)
MIDDLE = slice(10, 50)


NAMES = ["with space.png", "ümläut 漢字 😀.png", "two\nlines.png", os.fsdecode(b"half \xff letter.png")]


def test_names_of_every_kind_are_read_and_named_in_one_line(tmp_path):
    for name in NAMES:
        Image.fromarray(PIXELS).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(tmp_path / name)
    paths = folders.images_under(tmp_path)
    assert sorted(path.name for path in paths) == sorted(NAMES)
    cache = Cache(tmp_path / "cache", 1.0)
    stored = decoded_once(Files(paths, np.zeros(4, int)), SIDE, cache, True, "stop")
    assert all(np.array_equal(image, PIXELS[:, MIDDLE]) for image in stored.split.images)
    for path in paths:
        path.write_bytes(b"no")
    for path in paths:
        with pytest.raises(UserError) as caught:
            decoded_once(Files([path], np.zeros(1, int)), SIDE, cache, True, "stop")
        message = str(caught.value)
        assert message.isprintable() and message.startswith(printable(path)) and message.encode()
    assert printable(NAMES[2]) == "two\\nlines.png" and printable(NAMES[1]) == NAMES[1]


@contextmanager
def someone_else():
    """As a user without rights: root may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_place():
    """A folder that other users reach, too."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        yield Path(place)


def test_what_one_may_not_read_is_named(open_place):
    for split in ("train", "val"):
        for name in ("ant", "bee"):
            (open_place / split / name).mkdir(parents=True)
            Image.fromarray(PIXELS).save(open_place / split / name / "x.png")
    closed = open_place / "train/bee/x.png"
    decoded(closed, 8)  # all that is imported late has been
    closed.chmod(0)
    with someone_else(), pytest.raises(Unreadable, match="^Permission denied$"):
        decoded(closed, 8)
    for place in ("train/bee", "train", "."):
        (open_place / place).chmod(0)
        with (
            someone_else(),
            pytest.raises(UserError, match=r"the folder .* cannot be read: Permission denied") as caught,
        ):
            folders.training_images(folders.existing(open_place))
        assert str(open_place) in str(caught.value)
        (open_place / place).chmod(0o755)


def test_links_that_lead_around_in_circles(tmp_path):
    (tmp_path / "ant/deep").mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / "ant/deep/x.png")
    for name in ("ant/deep/up", "ant/deep/top"):
        (tmp_path / name).symlink_to(tmp_path / "ant")
    assert [path.relative_to(tmp_path).as_posix() for path in folders.images_under(tmp_path / "ant")] == [
        "ant/deep/x.png"
    ]
