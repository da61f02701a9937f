"""Which image files a page shows as they are, and what stands for the others."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from convscope.data import browser_images
from convscope.data.browser_images import browser_image
from convscope.data.decode import Unreadable


def corner_red(width=60, height=40):
    pixels = np.full((height, width, 3), 200, np.uint8)
    pixels[:10, :20] = (255, 0, 0)
    return Image.fromarray(pixels)


def with_orientation(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_sizes_are_of_the_upright_image_and_copies_are_upright(tmp_path, ending, orientation):
    path = tmp_path / f"a.{ending}"
    corner_red().save(path, exif=with_orientation(orientation), quality=95)
    image = browser_image(path)
    opened = Image.open(path)
    upright = opened if ending == "tif" else ImageOps.exif_transpose(opened)  # Pillow turns TIFFs as it loads them
    upright.load()
    assert (image.width, image.height) == upright.size
    assert (image.jpeg is None) == (ending == "jpg" or (orientation == 1 and ending != "tif"))
    copy = image if image.jpeg else browser_image(path, copies=True)
    shown = np.asarray(Image.open(io.BytesIO(copy.jpeg)).convert("RGB")).astype(int)
    assert abs(shown - np.asarray(upright.convert("RGB")).astype(int)).mean() < 6


def test_a_huge_image_keeps_its_size_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(browser_images, "LARGEST", 2000)
    monkeypatch.setattr(browser_images, "LONGEST_SIDE", 30)
    corner_red().save(tmp_path / "a.jpg")
    image = browser_image(tmp_path / "a.jpg")
    assert image[:2] == (60, 40) and Image.open(io.BytesIO(image.jpeg)).size == (30, 20)


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    with pytest.raises(Unreadable):
        browser_image(tmp_path / "a.jpg")
