"""Folders and file names of every kind: links in circles, names that are no text, and places without permission."""

import io
import os
import tempfile
from collections import Counter
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.data import folder_contents, folders
from convscope.data.cache import Cache, decoded_once
from convscope.data.decode import Unreadable, decoded, printable
from convscope.data.decoders import formats
from convscope.data.folder_contents import remarks_on
from convscope.data.sources import Files, folder, images
from convscope.errors import UserError

SIDE = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, 60, 3), np.uint8)
MIDDLE = slice(10, 50)


NAMES = ["with space.png", "ümläut 漢字 😀.png", "two\nlines.png", os.fsdecode(b"half \xff letter.png")]


def test_names_of_every_kind_are_read_and_named_in_one_line(tmp_path):
    for name in NAMES:
        Image.fromarray(PIXELS).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(tmp_path / name)
    paths = folder_contents.images_under(tmp_path)
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
    assert [path.relative_to(tmp_path).as_posix() for path in folder_contents.images_under(tmp_path / "ant")] == [
        "ant/deep/x.png"
    ]


def encoded(kind):
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert("RGB").save(file, kind)
    return file.getvalue()


Image.init()
WITH_START = {"JPEG", "MPO", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "JPEG2000", "BMP", "QOI", "DDS"}  # known by content
WRITABLE = sorted((WITH_START | {"PPM", "TGA", "ICO", "PCX", "SGI", "DIB"}) & set(Image.SAVE))
ENDINGS_OF = {
    kind: sorted(end for end, name in Image.registered_extensions().items() if name == kind) for kind in WRITABLE
}
ANY_NAME = ["0001", "photo.jpg_large", "a.JPG.1", "x.txt", "x.dat", "ünï.code", "name with blanks", "x.jpg!d"]


@pytest.mark.parametrize("kind", WRITABLE)
def test_whatever_pillow_reads_is_an_image_by_all_its_endings_and_by_content_without(kind, tmp_path):
    content = encoded(kind)
    names = [f"x{number}{end}" for number, end in enumerate(ENDINGS_OF[kind])]
    names += [f"y{number}{end.upper()}" for number, end in enumerate(ENDINGS_OF[kind])]
    names += ANY_NAME if kind in WITH_START else []
    for name in names:
        (tmp_path / name).write_bytes(content)
    skipped = {}
    paths = folder_contents.images_under(tmp_path, skipped)
    assert sorted(path.name for path in paths) == sorted(names) and not skipped
    assert all(decoded(path, SIDE).shape == (SIDE, SIDE, 3) for path in paths)


def test_a_format_that_a_plugin_would_read_names_it(tmp_path):
    start = {"heic": b"\0\0\0\x18ftypheic" + bytes(40), "jxl": b"\xff\x0a" + bytes(40)}
    for ending, content in start.items():
        for name in (f"x.{ending}", f"X.{ending.upper()}", "x.jpg", "x"):
            (tmp_path / name).write_bytes(content)
            assert folder_contents.images_under(tmp_path) == [tmp_path / name]
            library = {"heic": "pillow-heif", "jxl": "pillow-jxl-plugin"}[ending]
            if find_spec(library.replace("-plugin", "").replace("-", "_")) is None:
                with pytest.raises(Unreadable, match=f"needs {library}; type pip install {library}$"):
                    decoded(tmp_path / name, 8)
            (tmp_path / name).unlink()


@pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="pillow-heif is installed")
def test_an_image_without_its_library_is_told_before_the_others_are_decoded(tmp_path):
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    for name, content in {"a.png": b"torn", "b.HEIC": encoded("JPEG"), "c.heic": heic, "d.heif": heic}.items():
        (tmp_path / name).write_bytes(content)
    split, cache = Files(folder_contents.images_under(tmp_path), np.zeros(4, int)), Cache(tmp_path / "cache", 1.0)
    with pytest.raises(UserError, match=r"c\.heic cannot be read: .*type pip install pillow-heif \(3 such files\)"):
        decoded_once(split, SIDE, cache, True, "stop")
    left_out = decoded_once(split, SIDE, cache, True, "skip")
    assert [bad.path.name for bad in left_out.bad] == ["a.png", "c.heic", "d.heif"] and len(left_out.split.images) == 1


def test_heic_is_read_where_its_library_is_installed(tmp_path):
    pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: pip install pillow-heif")
    formats()
    soft = Image.fromarray(PIXELS[:4, :6]).resize((60, SIDE), Image.Resampling.BICUBIC)
    soft.save(tmp_path / "x.heic", quality=95)
    assert np.abs(decoded(tmp_path / "x.heic", SIDE).astype(int) - np.array(soft)[:, MIDDLE]).mean() < 4


OTHER_FILES = {  # name -> why it is not read; "" for an image
    "a.csv": "no image: .csv", "b.zip": "no image: .zip", "c.mp4": "no image: .mp4", "d.npy": "no image: .npy",
    "e": "no image, without ending", "f.svg": "no image: .svg", "g.CR2": "a raw photograph: .cr2",
    "h.123": "no image: .123", ".i.jpg": "hidden", "Thumbs.db": "hidden", "j.jfif": "", "k.png": "", "l": "",
}  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(
    st.sampled_from(["ant", "bee", "cat"]),
    st.tuples(st.sampled_from(["folder", "dangling", "empty"]), st.sets(st.sampled_from(sorted(OTHER_FILES)))),
), st.sets(st.sampled_from(sorted(OTHER_FILES))))  # fmt: skip
def test_what_lies_beside_the_images_is_counted_by_its_reason(classes, loose):
    expected, image = Counter(), encoded("PNG")

    def fill(place, names, astray):
        for name in names:
            (place / name).write_bytes(b"neither" if OTHER_FILES[name] else image)
            expected[OTHER_FILES[name] or ("in no class folder" if astray else "")] += 1

    with tempfile.TemporaryDirectory() as temporary:
        split = Path(temporary)
        for name, (kind, names) in classes.items():
            if kind == "dangling":
                (split / name).symlink_to(split / "nowhere")
                expected["a dangling link"] += 1
                continue
            (split / name / "deep").mkdir(parents=True)
            (split / name / "deep/gone").symlink_to("gone")  # to itself
            expected["a dangling link"] += 1
            names = names if kind == "folder" else set()
            fill(split / name / "deep", names, astray=False)
            expected["a class folder without images"] += all(OTHER_FILES[file] for file in names)
        fill(split, loose, astray=True)
        images = expected.pop("", 0)
        skipped = folder_contents.skipped_files(split)
        assert {why: files.number for why, files in skipped.items()} == {why: n for why, n in expected.items() if n}
        assert all(os.path.lexists(files.example) for files in skipped.values())
        found = sum(len(folder_contents.images_under(split / name)) for name in classes if (split / name).is_dir())
        assert found == images
        lines, told = remarks_on(skipped, split), [why for why in expected if why != "hidden" and expected[why]]
        assert len(lines) == bool(told)
        named = [why for why in told if f"{why} ({expected[why]}, e.g. " in lines[0]]
        assert len(named) == min(len(told), 8) and (len(told) > 8) == any("more kinds" in line for line in lines)


def test_few_of_many_other_files_are_opened(tmp_path, monkeypatch):
    for number in range(400):
        for ending in (".jpg", ".txt", f".{number}"):
            (tmp_path / f"{number}{ending}").write_bytes(b"")
    opened = []

    def opening(path, mode):
        opened.append(path)
        return open(path, mode)

    monkeypatch.setattr(folder_contents, "open", opening, raising=False)
    assert len(folder_contents.images_under(tmp_path)) == 400
    assert len(opened) == 2 * folder_contents.LOOKS and not any(path.endswith(".jpg") for path in opened)


@pytest.mark.parametrize("read", [folder, images])
def test_a_set_tells_what_it_does_not_read(read, tmp_path):
    for split in ("train", "val"):
        for name in ("ant", "bee"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "x.jfif").write_bytes(encoded("JPEG"))
            (tmp_path / split / name / ".hidden").touch()
    assert read(tmp_path).remarks == [] and len(read(tmp_path).train.labels) == (2 if read is folder else 4)
    (tmp_path / "train/cat").symlink_to(tmp_path / "nowhere")
    (tmp_path / "val/bee/words\n.csv").touch()
    (tmp_path / "parts.csv").touch()
    (tmp_path / "val/boxes.csv").touch()  # of job=annotate: no remark
    [remark] = read(tmp_path).remarks
    assert (
        remark.isprintable() and "(1, e.g. train/cat)" in remark and "no image: .csv (1, e.g. val/bee/words" in remark
    )
