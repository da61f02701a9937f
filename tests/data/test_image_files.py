"""Files of every kind that real folders hold: the right pixels, or one clear line; and what is said of bad ones."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.decode import BadImage, Unreadable, bad_images_error, decoded, described, fitted

DRAW = np.random.default_rng(0)
SIDE, WIDE = 40, 60
PIXELS = np.array(
    Image.fromarray(DRAW.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((WIDE, SIDE), Image.Resampling.BICUBIC)
)
MIDDLE = slice(10, 50)


def png(path, size, depth, kind, rows):
    """A PNG written by hand: kind 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    path.write_bytes(start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def scanlines(values):
    """16-bit values [h, w, c] as PNG keeps them."""
    return b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))


@pytest.mark.parametrize("colors, kind", [(1, 0), (3, 2)])
def test_sixteen_bits_keep_their_levels(colors, kind, tmp_path):
    values = DRAW.integers(0, 65536, (SIDE, WIDE, colors))
    read = decoded(png(tmp_path / "x.png", (WIDE, SIDE), 16, kind, scanlines(values)), SIDE)
    assert np.abs(read - values[:, MIDDLE] / 257).max() <= 1


@pytest.mark.parametrize("colors, kind", [(1, 4), (3, 6)])
def test_sixteen_bits_with_alpha_lie_on_white(colors, kind, tmp_path):
    values = DRAW.integers(0, 65536, (SIDE, WIDE, colors + 1))
    read = decoded(png(tmp_path / "x.png", (WIDE, SIDE), 16, kind, scanlines(values)), SIDE)
    alpha = values[:, MIDDLE, -1:] / 65535
    assert np.abs(read - (values[:, MIDDLE, :-1] / 257 * alpha + 255 * (1 - alpha))).max() <= 2.5


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_palettes_with_transparency_lie_on_white(ending, tmp_path):
    places = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 3
    image = Image.fromarray(places.astype(np.uint8), "P")
    image.putpalette([9, 8, 7, 200, 100, 50, 0, 0, 255])
    image.save(tmp_path / f"x.{ending}", transparency=1)
    assert np.array_equal(
        decoded(tmp_path / f"x.{ending}", SIDE), np.array([(9, 8, 7), (255,) * 3, (0, 0, 255)])[places]
    )


def test_cmyk_is_light_less_ink(tmp_path):
    for ink in ((0, 0, 0, 0), (255, 0, 0, 0), (10, 200, 90, 60), (0, 0, 0, 255)):
        Image.new("CMYK", (64, 64), ink).save(tmp_path / "x.jpg", quality=100)
        expected = [255 * (1 - one / 255) * (1 - ink[3] / 255) for one in ink[:3]]
        assert np.abs(decoded(tmp_path / "x.jpg", 32) - expected).max() <= 3, ink


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_frame(ending, tmp_path):
    frames = [Image.new("RGB", (SIDE, SIDE), color) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    more = {"webp": {"lossless": True}}.get(ending, {})
    frames[0].save(tmp_path / f"x.{ending}", save_all=True, append_images=frames[1:], **more)
    assert np.array_equal(decoded(tmp_path / f"x.{ending}", 8), np.full((8, 8, 3), (250, 0, 0)))


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_all_eight_exif_orientations_stand_upright(ending, tmp_path):
    """stored: what a camera keeps of `upright` under each of the EXIF standard's eight values."""
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:16, :16], upright[:16, 16:], upright[16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    turned = upright.transpose(1, 0, 2)
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: turned,
              6: turned[::-1], 7: turned[::-1, ::-1], 8: turned[:, ::-1]}  # fmt: skip
    for value, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = value
        more = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(ending, {})
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"x.{ending}", exif=exif, **more)
        assert np.abs(decoded(tmp_path / f"x.{ending}", 32).astype(int) - upright).max() < 30, value


def test_progressive_and_grey_jpegs(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "p.jpg", progressive=True, quality=95)
    assert np.abs(decoded(tmp_path / "p.jpg", SIDE).astype(int) - PIXELS[:, MIDDLE]).mean() < 6
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "g.jpg", quality=100)
    read = decoded(tmp_path / "g.jpg", SIDE).astype(int)
    assert np.abs(read - PIXELS[:, MIDDLE, :1]).max() <= 4 and (read == read[..., :1]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (20000, 20), (20, 20000)])
def test_one_pixel_and_very_long_images(size, tmp_path):
    Image.new("RGB", size, (9, 80, 200)).save(tmp_path / "x.png")
    assert np.array_equal(decoded(tmp_path / "x.png", 32), np.full((32, 32, 3), (9, 80, 200)))


@pytest.mark.parametrize("size", [(30, 600), (601, 30), (7, 99), (10, 81)])
def test_of_a_very_long_image_the_middle_is_what_it_would_be_of_the_whole(size):
    long = Image.fromarray(DRAW.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    scale = 24 / min(size)
    whole = np.array(long.resize([max(24, round(side * scale)) for side in size], Image.Resampling.BILINEAR)).astype(
        int
    )
    top, left = ((side - 24) // 2 for side in whole.shape[:2])
    middle = fitted(np.array(long), 24)
    assert np.abs(middle - whole[top : top + 24, left : left + 24]).mean() < 3


def lying_jpeg(path):
    Image.fromarray(PIXELS).save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5  # the frame's head: height, width
    data[at : at + 4] = struct.pack(">HH", 60000, 50000)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "make, pixels",
    [
        (lambda path: png(path, (20000, 20000), 1, 0, bytes(2501 * 20000)), "400,000,000"),
        (lambda path: png(path, (60000, 60000), 8, 2, b"short"), "3,600,000,000"),
        (lying_jpeg, "3,000,000,000"),
    ],
)
def test_decompression_bombs_are_refused_by_their_size(make, pixels, tmp_path):
    path = make(tmp_path / "bomb.jpg")
    assert path.stat().st_size < 200_000
    with pytest.raises(Unreadable, match=f"it has {pixels} pixels, at most 134,217,728 are read"):
        decoded(path, 32)


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def broken(folder):
    """file -> what is said of it."""
    Image.fromarray(PIXELS).save(folder / "half.jpg", quality=95)
    cut(folder / "half.jpg", 900)
    Image.fromarray(PIXELS).save(folder / "half.png")
    cut(folder / "half.png", 900)
    (folder / "empty.jpg").touch()
    (folder / "letter.jpg").write_text("dear")
    (folder / "page.jpg").write_text("\n<!DOCTYPE html><html>404</html>")
    (folder / "folder.jpg").mkdir()
    (folder / "nowhere.jpg").symlink_to("/no/such/file.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {
        "half.jpg": "truncated", "half.png": "truncated", "empty.jpg": "the file is empty",
        "letter.jpg": "it is no image, or of a format", "page.jpg": "it is a web page, no image",
        "folder.jpg": "it is no file", "nowhere.jpg": "a link to a file that is not there",
        "pipe.jpg": "it is no file", "gone.jpg": "No such file or directory", "lost/a.jpg": "its folder lost is gone",
    }  # fmt: skip


def test_each_broken_file_gets_its_reason(tmp_path):
    for name, reason in broken(tmp_path).items():
        with pytest.raises(Unreadable, match=reason) as caught:
            decoded(tmp_path / name, 16)
        assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_whatever_bytes_come_there_is_no_other_error(tmp_path):
    """Damage at random places, mostly in the heads, of one file of each format."""
    for ending in ("jpg", "png", "gif", "webp", "tif", "bmp", "ppm"):
        path = tmp_path / f"x.{ending}"
        Image.fromarray(PIXELS).save(path)
        whole, good = path.read_bytes(), 0
        for _ in range(40):
            data = bytearray(whole)
            for _ in range(DRAW.integers(1, 5)):
                data[DRAW.integers(DRAW.choice([60, len(data)]))] = DRAW.integers(256)
            path.write_bytes(data)
            try:
                good += decoded(path, 16).shape == (16, 16, 3)
            except Unreadable as error:
                assert str(error) and "\n" not in str(error)
        path.write_bytes(whole)
        assert decoded(path, 16).shape == (16, 16, 3)


def test_size_and_mode_as_the_image_is_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 20)).save(tmp_path / "x.jpg", exif=exif)
    assert described((tmp_path / "x.jpg").read_bytes()) == (20, 30, "L")
    Image.new("RGBA", (5, 7)).save(tmp_path / "x.png")
    assert described((tmp_path / "x.png").read_bytes()) == (5, 7, "RGBA, transparent")
    with pytest.raises(Unreadable):
        described(b"no image")


def test_of_several_bad_images_the_first_few_are_named():
    bad = [BadImage(Path(f"{number}.jpg"), "why") for number in range(5)]
    assert (
        str(bad_images_error(bad[:1], 9))
        == "0.jpg cannot be read: why; mend or remove it, or type data.on_bad_image=skip"
    )
    message = str(bad_images_error(bad, 256))
    assert "2.jpg" in message and "3.jpg" not in message
    assert "and 2 more (5 bad ones among the 256 images read so far)" in message and "job=check_data" in message
