"""A csv of images is read as people write them, and its mistakes get errors of one line."""

import pytest
from PIL import Image

from convscope.data.annotations import narrowed, number, read_listing, sizes
from convscope.errors import UserError


@pytest.fixture
def album(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "in/a b.png")
    return tmp_path


def test_as_spreadsheets_write_it(album):
    """A byte order mark, spaces, quotes, empty lines, Windows line ends, short lines."""
    (album / "list.csv").write_bytes(
        b'\xef\xbb\xbfpath, n ,note\r\n"in/a b.png", 1.0 ,"x, y"\r\n,,\r\n\r\nin/a b.png,2\r\n'
    )
    listing = read_listing(album / "list.csv")
    assert listing.columns == ["path", "n", "note"]
    assert [row.cells["note"] for row in listing.rows] == ["x, y", ""]
    assert [number(row, "n") for row in listing.rows] == [1, 2] and listing.rows[1].where.endswith("list.csv line 5")
    assert sizes(listing) == {album / "in/a b.png": (30, 20)}
    assert [row.cells["n"] for row in narrowed(listing, {"n": 1}).rows] == ["1.0"]
    assert len(narrowed(listing, {"note": "x, y"}).rows) == 1 and len(narrowed(listing, {}).rows) == 2


def test_as_european_spreadsheets_and_other_systems_write_it(album):
    """Semicolons and decimal commas, backslashes, another case, and accents in another form than the file's name."""
    (album / "in/a b.png").rename(album / "in/Bu\u0308cher.png")
    (album / "list.csv").write_text(
        "Path;N;Note;X;Nose_X;;\r\nin\\Bücher.png;1.234,5;TRUE;2;3;;\r\n;;;;;;\r\n", "cp1252"
    )
    listing = read_listing(album / "list.csv", ["n"])
    assert listing.columns == ["path", "n", "Note", "x", "Nose_x"] and len(listing.rows) == 1
    assert number(listing.rows[0], "n") == 1234.5 and sizes(listing) == {album / "in/Bu\u0308cher.png": (30, 20)}
    for only in ({"n": 1234.5}, {"N": "1.234,5"}, {"note": True}, {"NOTE": "TRUE"}):
        assert narrowed(listing, only).rows == listing.rows
    (album / "list.csv").write_text("path,n\nin/x.png,1;5\n,2\n")
    with pytest.raises(UserError, match=r"list.csv line 3 names no image: its cell in the column path is empty"):
        read_listing(album / "list.csv")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"path,n\n", "list.csv has no rows below its columns path, n"),
        (b"", "list.csv: it is empty; needed: a first line path,..."),
        (b"file,n\na.png,1\n", "list.csv has no column path; its columns: file, n"),
        (b"path\n\xff\xfe\x00", "list.csv: line 2 has zero bytes, so it is no text"),
    ],
)
def test_a_wrong_file_is_told(album, content, message):
    (album / "list.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_listing(album / "list.csv")


def test_no_file_and_no_value_are_told(album):
    with pytest.raises(UserError, match=r"none.csv: No such file or directory; needed: a first line path,"):
        read_listing(album / "none.csv")
    with pytest.raises(UserError, match="it is a folder"):
        read_listing(album)
    (album / "list.csv").write_text("path,n\nin/a b.png,1\n")
    listing = read_listing(album / "list.csv")
    with pytest.raises(UserError, match="none of its 1 rows has n: 7; take another value or column"):
        narrowed(listing, {"n": 7})
    with pytest.raises(UserError, match="has no column m; its columns: path, n"):
        narrowed(listing, {"m": 7})


def test_missing_and_broken_images_are_named(album):
    (album / "list.csv").write_text("path\n" + "".join(f"in/{name}.png\n" for name in ["a b", *"cdefc"]))
    with pytest.raises(
        UserError, match=r"4 of its 5 images are not there: \S+in/c.png, \S+in/d.png, \S+in/e.png, \.\.\.; "
    ):
        sizes(read_listing(album / "list.csv"))
    (album / "in/a b.png").write_bytes(b"no image")
    (album / "list.csv").write_text("path\nin/a b.png\n")
    with pytest.raises(UserError, match="a b.png cannot be read: .*; mend it, or take its rows out of the csv"):
        sizes(read_listing(album / "list.csv"))
