"""The tiles of single maps come out of grids and strips as they went in, and run folders of today stay small."""

import json

import numpy as np
import pytest
from PIL import Image

from convscope.plots.grid import MapTiles, thumbnails, top9_grid
from convscope.runs.map_tiles import strongest_of, tiles_of
from convscope.runs.reading import read_run
from convscope.runs.record import Picture, Record

MAPS, SIDE, DEAD = [2, 5, 11], 32, 5


def color(map_, rank, patch):
    """Far from each other, so that losses of a file cannot mistake one for another."""
    return 20 * map_, 27 * rank, 200 if patch else 40


def flat(colors):
    return np.full((SIDE, SIDE, 3), colors, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A run with one layer, of whose three maps one is dead, at two epochs; the second has no strip."""
    record = Record(tmp_path)
    counts = [0 if map_ == DEAD else 9 if map_ == 2 else 4 for map_ in MAPS]
    pairs = [
        [[flat(color(map_, rank, patch)) for rank in range(count)] for patch in (False, True)]
        for map_, count in zip(MAPS, counts, strict=True)
    ]
    drawn = top9_grid([MapTiles(f"map {map_}", *both) for map_, both in zip(MAPS, pairs, strict=True)], "", side=SIDE)
    sheet = {"size": list(drawn.image.size), "tile": SIDE, "step": drawn.step, "maps": MAPS, "count": counts}
    sheet |= {kind: list(map(list, getattr(drawn, kind))) for kind in ("projections", "patches")}
    strip = thumbnails([flat(color(map_, 7, True)) for map_ in MAPS], 2, SIDE)  # unlike any tile of the grid's first
    for epoch in (1, 2):
        record.add(Picture("top9/conv1", drawn.image, "", epoch, "conv1", sheet=sheet))
    record.add(Picture("strips/conv1", strip, "", 1, "conv1", sheet={"tile": SIDE, "columns": 2, "maps": MAPS}))
    return tmp_path


def middle(image):
    assert image.size == (SIDE, SIDE)
    return np.asarray(image).astype(int)[8:24, 8:24].reshape(-1, 3).mean(0)


def test_each_tile_of_a_grid(folder):
    assert not list(folder.rglob("*.jpg")) and len(list(folder.rglob("*.webp"))) == 3
    tiles = tiles_of(folder, "conv1", 2)
    assert [(map_, len(nine.projections), len(nine.patches)) for map_, nine in tiles.items()] == [
        (2, 9, 9),
        (DEAD, 0, 0),
        (11, 4, 4),
    ]
    for map_, nine in tiles.items():
        for patch, images in enumerate(nine):
            for rank, image in enumerate(images):
                assert np.abs(middle(image) - color(map_, rank, bool(patch))).max() < 10, (map_, rank, patch)


def test_the_strongest_come_from_the_strip_and_without_one_from_the_grid(folder):
    run = read_run(folder)
    for map_, image in strongest_of(run, "conv1", 1).items():
        assert np.abs(middle(image) - color(map_, 7, True)).max() < 10
    without = strongest_of(run, "conv1", 2)
    assert list(without) == [2, 11]
    assert all(np.abs(middle(image) - color(map_, 0, False)).max() < 10 for map_, image in without.items())


def test_what_is_absent_damaged_or_hostile_has_no_tiles(folder):
    assert tiles_of(folder, "conv9", 1) == tiles_of(folder, "conv1", 3) == tiles_of(folder, "conv1") == {}
    strip = folder / "pictures/strips/conv1/epoch_001.webp"
    strip.write_bytes(b"no picture")
    assert list(strongest_of(folder, "conv1", 1)) == [2, 11]  # the grid's
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for line in lines:
        line["sheet"]["tile"] = 10**9
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert tiles_of(folder, "conv1", 1) == strongest_of(folder, "conv1", 1) == {}


@pytest.mark.parametrize("plot, tile, ending", [(False, 56, "webp"), (False, None, "jpg"), (True, 56, "png")])
def test_what_is_packed_for_an_epoch_is_webp(tmp_path, plot, tile, ending):
    sheet = None if tile is None else {"tile": tile, "columns": 1, "maps": [0]}
    Record(tmp_path).add(Picture("a/b", Image.new("RGB", (56, 56)), epoch=1, plot=plot, sheet=sheet))
    assert [path.name for path in (tmp_path / "pictures/a/b").iterdir()] == [f"epoch_001.{ending}"]


def test_a_picture_too_high_for_webp_is_a_jpeg(tmp_path):
    high = Image.new("RGB", (2, 16_400))
    Record(tmp_path).add(Picture("a", high, epoch=1, sheet={"tile": 2, "columns": 1, "maps": [0]}))
    assert Image.open(tmp_path / "pictures/a/epoch_001.jpg").size == high.size
