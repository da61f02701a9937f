"""Whole images at several sizes, in groups of one shape."""

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source, folder

SHAPES = [(60, 90), (90, 60), (60, 90), (50, 50), (60, 90), (10, 400)]  # height, width


@pytest.fixture
def photographs(tmp_path):
    """One color each, a grey level that tells the number; one file in val is broken."""
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number, (high, wide) in enumerate(SHAPES):
                grey = 10 * number + (100 if name == "b" else 0)
                Image.new("RGB", (wide, high), (grey,) * 3).save(tmp_path / split / name / f"{number}.png")
    (tmp_path / "val/a/2.png").write_bytes(b"broken")
    return tmp_path


def opened(place, workers=0):
    settings = DataSettings(32, 4, workers=workers, cache_dir=str(place / "cache"), on_bad_image="skip")
    return ImageData(folder(place), settings)


@pytest.mark.parametrize("workers", [0, 2])
def test_shapes_sizes_and_who_is_who(workers, photographs):
    data = opened(photographs, workers)
    index = torch.tensor([10, 3, 0, 1, 2, 4, 5])  # 2.png of a is left out: 2 is 3.png
    groups = list(data.rectangles("val", index, [40, 60], 2 * 60 * 90))
    images = {}
    for group in groups:
        small, large = group.images
        assert small.dtype == torch.uint8 and len(small) == len(large) == len(group.index) <= 2
        for at, number in enumerate(group.index.tolist()):
            assert small[at].unique().tolist() == large[at].unique().tolist()
            images[number] = (*small.shape[2:], *large.shape[2:], int(small[at, 0, 0, 0]), int(group.label[at]))
    assert images == {
        0: (40, 60, 60, 90, 0, 0), 1: (60, 40, 90, 60, 10, 0), 2: (40, 40, 60, 60, 30, 0),
        3: (40, 60, 60, 90, 40, 0), 4: (40, 320, 60, 480, 50, 0),  # of one 40 times as long the middle eighth
        5: (40, 60, 60, 90, 100, 1), 10: (40, 320, 60, 480, 150, 1),
    }  # fmt: skip
    assert sorted(len(group.index) for group in groups) == [1, 1, 1, 1, 1, 2]  # the long ones one by one


def test_of_a_source_without_files_its_squares(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 20, 20, 3), np.uint8)
    half = Pixels(pixels, np.arange(6) % 2)
    data = ImageData(Source(["a", "b"], half, half), DataSettings(32, 4, workers=0, cache_dir=str(tmp_path)))
    (group,) = data.rectangles("val", torch.arange(6), [20, 50], 10**6)
    assert torch.equal(group.images[0].byte(), torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert group.images[1].shape == (6, 3, 50, 50) and group.index.tolist() == list(range(6))
