"""Boxes and parts land where the center crop shows them; every wrong line of a csv gets an error."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.annotations import read_boxes, read_parts, to_crop
from convscope.data.decode import decoded
from convscope.data.transforms import center_cuts, stored_size
from convscope.errors import UserError


def spot(path, size, box, **save):
    """A dark photograph with one white box."""
    image = Image.new("RGB", size)
    image.paste((255, 255, 255), box)
    image.save(path, **save)


def seen(path, image_size):
    """Where the net's crop is bright: weighted middle (x, y) and, of what is at least half white, x0 y0 x1 y1."""
    stored = stored_size(image_size)
    cut = center_cuts(1, stored - image_size)
    crop = decoded(path, stored)[cut.top[0] :, cut.left[0] :][:image_size, :image_size].astype(float).mean(2)
    y, x = np.nonzero(crop > 127)
    weight = crop / crop.sum()
    middle = [
        (weight.sum(0) * (np.arange(image_size) + 0.5)).sum(),
        (weight.sum(1) * (np.arange(image_size) + 0.5)).sum(),
    ]
    return middle, [x.min(), y.min(), x.max() + 1, y.max() + 1]


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (90, 90), (401, 333), (73, 73)])
@pytest.mark.parametrize("image_size", [64, 65])
def test_points_and_boxes_are_where_the_crop_shows_them(tmp_path, size, image_size):
    box = [round(share * side) for share, side in zip((0.4, 0.35, 0.55, 0.6), size * 2, strict=True)]
    spot(tmp_path / "a.png", size, tuple(box))
    (tmp_path / "boxes.csv").write_text("path,x0,y0,x1,y1\na.png," + ",".join(map(str, box)))
    middle, edges = seen(tmp_path / "a.png", image_size)
    assert to_crop([((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)], size, image_size)[0] == pytest.approx(
        middle, abs=0.06
    )
    assert read_boxes(tmp_path / "boxes.csv", image_size).boxes[0] == pytest.approx(edges, abs=0.6)


def test_a_photograph_on_its_side_counts_as_it_is_seen(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter: stored 240 x 160 is seen as 160 x 240
    spot(tmp_path / "a.jpg", (240, 160), (100, 20, 130, 50), exif=turned, quality=95)
    (tmp_path / "parts.csv").write_text("path,nose_x,nose_y\na.jpg,125,115")  # (x, y) -> (160 - y, x)
    parts = read_parts(str(tmp_path / "parts.csv"), 64, {})
    assert parts.points[0, 0] == pytest.approx(seen(tmp_path / "a.jpg", 64)[0], abs=0.3)


@pytest.fixture
def album(tmp_path):
    """Two photographs of 100 x 50; the crop at 56 of the middle 50 shows x from 28 to 71 or so."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (100, 50)).save(tmp_path / name)
    return tmp_path


def test_boxes_are_clipped_and_those_cut_away_are_counted(album):
    (album / "boxes.csv").write_text(
        "path,class,x0,y0,x1,y1\na.png,cat,0,0,100,50\nb.png,dog,0,0,20,50\nb.png,dog,45,20,55,30\n"
    )
    boxes = read_boxes(album / "boxes.csv", 56)
    assert [path.name for path in boxes.paths] == ["a.png", "b.png"] and boxes.cut_away == 1
    assert boxes.boxes.dtype == np.float32 and boxes.boxes[0].tolist() == [0, 0, 56, 56]
    assert boxes.boxes[1] == pytest.approx([21.6, 21.6, 34.4, 34.4], abs=0.01)  # 10 pixels of 50 are 12.8 of 64


def test_a_line_per_part_and_a_line_per_image_say_the_same(album):
    (album / "long.csv").write_text(
        "path,part,x,y,ok\na.png,eye,40,20,1\na.png,nose,50,25,1\nb.png,eye,60,10,1.0\nb.png,nose,1,1,0\n"
    )
    (album / "wide.csv").write_text("path,eye_x,eye_y,nose_x,nose_y,ok\na.png,40,20,50,25,1\nb.png,60,10,,,1\n\n")
    long, wide = (read_parts(album / name, 56, {"ok": 1}) for name in ("long.csv", "wide.csv"))
    assert long.names == wide.names == ["eye", "nose"] and [path.name for path in wide.paths] == ["a.png", "b.png"]
    assert np.array_equal(long.points, wide.points, equal_nan=True) and wide.points.dtype == np.float32
    assert np.isnan(wide.points[1, 1]).all() and np.isfinite(wide.points[1, 0]).all()
    assert wide.points[0, 1] == pytest.approx([28, 28], abs=0.5)  # the middle of the image


@pytest.mark.parametrize(
    "lines, message",
    [
        ("path,x0,y0,x1,y1\na.png,1,2,1,9", "boxes.csv line 2: box 1,2,1,9 is empty; x0 < x1 and y0 < y1 are needed"),
        ("path,x0,y0,x1,y1\n\nb.png,1,2,120,9", "line 3: box 1,2,120,9 leaves b.png, which is 100 x 50 pixels"),
        ("path,x0,y0,x1,y1\nb.png,1,2,many,9", "line 2: x1=many is no number"),
        ("path,x0,y0,x1,y1\nb.png,1,2,nan,9", "line 2: x1=nan is no number"),
        ("path,x0,y0,x1,y1\nb.png,1,2", r"line 2: x1=\(empty\) is no number"),
        ("path,x0,y0,x1,y1\nb.png,0,0,9,50", "the center crop shows nothing of any of its 1 boxes"),
        ("path,left,top\nb.png,1,2", "boxes.csv has no column x0, y0, x1, y1; its columns: path, left, top"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_told(album, lines, message):
    (album / "boxes.csv").write_text(lines)
    with pytest.raises(UserError, match=message):
        read_boxes(album / "boxes.csv", 56)


@pytest.mark.parametrize(
    "lines, message",
    [
        ("path,part,x,y\na.png,eye,1,1\na.png,eye,2,2", "line 3: eye of a.png is given a second time"),
        ("path,part,x,y\na.png,eye,1,51", "line 2: eye at 1,51 is outside of a.png, which is 100 x 50 pixels"),
        ("path,eye_x,eye_y\na.png,1,", r"line 2: eye_y=\(empty\) is no number"),
        (
            "path,eye\na.png,1",
            "no columns of points; its columns: path, eye; needed: path,part,x,y or path,<part>_x,<part>_y",
        ),
    ],
)
def test_what_is_no_part_is_told(album, lines, message):
    (album / "parts.csv").write_text(lines)
    with pytest.raises(UserError, match=message):
        read_parts(album / "parts.csv", 56, {})


def test_real_annotations():
    root = Path(os.environ.get("CONVSCOPE_DATA", "/nowhere"))
    if not (root / "afhq-faces").is_dir():
        pytest.skip("CONVSCOPE_DATA names no folder with afhq-faces and imagenette224")
    dogs = read_parts(root / "afhq-faces/dog_landmarks.csv", 96, {"frontal": 1})
    assert dogs.names == ["left_eye", "right_eye", "nose"] and dogs.points.shape == (8, 3, 2)
    assert (dogs.points[:, 0, 0] < dogs.points[:, 1, 0]).all()  # left and right are the viewer's
    assert (dogs.points[:, 2, 1] > dogs.points[:, :2, 1].max(1)).all()  # noses are below eyes
    assert len(read_boxes(root / "imagenette224/val_boxes.csv", 128).paths) == 49
