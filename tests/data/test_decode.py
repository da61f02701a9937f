"""Image files of all kinds against PIL and NumPy."""

import numpy as np
import pytest
from PIL import Image

from convscope.data.decode import Unreadable, decoded, fitted

RNG = np.random.default_rng(0)
SOFT = np.array(
    Image.fromarray(RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((60, 40), Image.Resampling.BICUBIC)
)


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "gif", "jpg", "tif", "ppm"])
def test_formats(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    Image.fromarray(SOFT).save(path, **{"webp": {"lossless": True}}.get(ending, {}))
    expected = np.array(Image.open(path).convert("RGB"))[:, 10:50]
    assert np.array_equal(decoded(path, 40), expected)


def test_grey_cmyk_palette_bilevel(tmp_path):
    for mode, ending in (("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("1", "png"), ("LA", "png")):
        path = tmp_path / f"{mode}.{ending}"
        Image.fromarray(SOFT).convert(mode).save(path)
        assert np.array_equal(decoded(path, 40), np.array(Image.open(path).convert("RGB"))[:, 10:50]), mode


def test_sixteen_bit_grey_keeps_its_levels(tmp_path):
    levels = np.linspace(0, 65535, 40 * 40).reshape(40, 40).astype(np.uint16)
    for ending in ("png", "tif"):
        Image.fromarray(levels).save(tmp_path / f"x.{ending}")
        read = decoded(tmp_path / f"x.{ending}", 40)
        assert np.abs(read - levels[..., None] / 257).max() <= 0.5


def test_transparent_pixels_lie_on_white(tmp_path):
    image = np.zeros((20, 20, 4), np.uint8)
    image[:10] = 0, 0, 255, 255
    Image.fromarray(image).save(tmp_path / "x.png")
    read = decoded(tmp_path / "x.png", 20)
    assert (read[:10] == (0, 0, 255)).all() and (read[10:] == 255).all()


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_turned_photograph_stands_upright(ending, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right to see it upright
    halves = np.zeros((32, 32, 3), np.uint8)
    halves[:, 16:] = 255
    Image.fromarray(halves).save(tmp_path / f"x.{ending}", exif=exif)
    read = decoded(tmp_path / f"x.{ending}", 32).astype(int)
    assert read[:14].max() < 20 and read[18:].min() > 235


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (90, 90), (31, 500)])
def test_fitted_resembles_pil(size, tmp_path):
    image = Image.fromarray(SOFT).resize(size, Image.Resampling.BICUBIC)
    side, (w, h) = 64, size
    scale = side / min(size)
    small = image.resize((round(w * scale), round(h * scale)), Image.Resampling.BILINEAR)
    left, top = (small.width - side) // 2, (small.height - side) // 2
    expected = np.array(small.crop((left, top, left + side, top + side))).astype(int)
    assert np.abs(fitted(np.array(image), side) - expected).max() <= 1


def test_shrinking_is_antialiased():
    board = np.kron(np.indices((128, 128)).sum(0) % 2, np.ones((1, 1)))[..., None].repeat(3, 2).astype(np.uint8) * 255
    small = fitted(board, 16).astype(int)
    assert small.shape == (16, 16, 3) and np.abs(small[2:-2, 2:-2] - 127).max() < 12


def test_unreadable_says_why(tmp_path):
    Image.fromarray(SOFT).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    for name, content in (("cut.jpg", data[: len(data) // 2]), ("text.jpg", b"hello"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Unreadable, match="[Tt]runcated|no image|the file is empty"):
            decoded(tmp_path / name, 16)
    with pytest.raises(Unreadable, match="No such file"):
        decoded(tmp_path / "gone.jpg", 16)


def test_the_content_counts_not_the_ending(tmp_path):
    Image.fromarray(SOFT).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert np.array_equal(decoded(tmp_path / "x.jpg", 40), SOFT[:, 10:50])
