"""Images that show all their parts are chosen, others are not, and what is missing is told."""

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.critters.face import PARTS
from convscope.data.critters.source import Truth, critters, truth
from convscope.data.module import ImageData
from convscope.data.part_annotations import critters_with_parts, photographs_with_parts
from convscope.data.settings import DataSettings
from convscope.data.transforms import stored_size
from convscope.errors import UserError

SIZE = 64


@pytest.fixture(scope="module")
def data():
    return ImageData(critters(10, 30, stored_size(SIZE), 0, None), DataSettings(SIZE, batch_size=8))


@pytest.fixture
def csv(tmp_path):
    """Four squares of 100 pixels with a white dot on each part; b.png lacks its nose, c.png's is cut off by no crop but
    its eye by the center crop of the wide image."""
    lines = ["path,left_eye_x,left_eye_y,nose_x,nose_y,frontal"]
    places = {
        "a.png": (30, 20, 50, 60),
        "b.png": (30, 20, None, None),
        "c.png": (2, 40, 100, 60),
        "d.png": (40, 20, 60, 70),
    }
    for name, (x, y, nose_x, nose_y) in places.items():
        pixels = np.zeros((100, 200 if name == "c.png" else 100, 3), np.uint8)
        pixels[y - 2 : y + 3, max(0, x - 2) : x + 3] = 255
        Image.fromarray(pixels).save(tmp_path / name)
        lines.append(f"{name},{x},{y},{'' if nose_x is None else nose_x},{nose_y or ''},{int(name != 'd.png')}")
    (tmp_path / "parts.csv").write_text("\n".join(lines))
    return str(tmp_path / "parts.csv")


def test_photographs_that_show_all_parts_are_found(data, csv):
    marked = photographs_with_parts(data, csv, {}, None, seed=0)
    assert marked.names == ["a", "d"] and marked.parts == ["left eye", "nose"]
    assert marked.image.shape == marked.pixels.shape == (2, 3, SIZE, SIZE) and marked.places.shape == (2, 2, 2)
    for pixels, (x, y) in zip(marked.pixels, marked.places[:, 0].tolist(), strict=True):
        bright = (pixels[0] > 128).nonzero().float() + 0.5  # y, x
        assert bright.mean(0).tolist() == pytest.approx([y, x], abs=1)


def test_photographs_by_number(data, csv):
    assert photographs_with_parts(data, csv, {}, [3, 0], seed=0).names == ["d", "a"]
    with pytest.raises(UserError, match="image b.png does not show its nose .* leave it out of the list"):
        photographs_with_parts(data, csv, {}, [0, 1], seed=0)
    with pytest.raises(UserError, match="image c.png does not show its left eye"):
        photographs_with_parts(data, csv, {}, [0, 2], seed=0)
    with pytest.raises(UserError, match="no image 4, -1 in .*parts.csv; its images are 0 to 3, in the order"):
        photographs_with_parts(data, csv, {}, [0, 4, -1], seed=0)


def test_one_image_has_nothing_to_agree_with(data, csv):
    with pytest.raises(UserError, match=r"1 of 3 images show all parts \(left eye, nose\); two or more are needed"):
        photographs_with_parts(data, csv, {"frontal": 1}, 5, seed=0)


def test_a_csv_whose_images_are_missing_is_told(data, csv, tmp_path):
    (tmp_path / "d.png").unlink()
    with pytest.raises(UserError, match=r"1 of its 4 images are not there.*d\.png"):
        photographs_with_parts(data, csv, {}, 2, seed=0)


def real_truth(split, indices):
    side = stored_size(SIZE)
    margin = (side - SIZE) // 2
    whole = truth(0, split, list(indices), side)
    seen = slice(margin, margin + SIZE)
    return Truth(whole.masks[:, seen, seen], whole.boxes - margin)


def test_animals_show_all_their_parts(data):
    marked = critters_with_parts(data, real_truth, "val", 4, seed=0)
    assert len(marked.names) == 4 and marked.parts == list(PARTS)
    assert ((marked.places > 0) & (marked.places < SIZE)).all()
    indices = [int(name.split()[-1]) for name in marked.names]
    boxes = real_truth("val", indices).boxes
    assert (boxes >= 0).all() and (boxes <= SIZE).all()
    assert torch.equal(marked.pixels, data.pixels("val", indices))
    assert marked.names[0] == f"{data.classes[indices[0] % 10]} {indices[0]}"
    again = critters_with_parts(data, real_truth, "val", 4, seed=0)
    assert again.names == marked.names


def some_truth(whole):
    """Parts in the middle of the image where the index is in `whole`, else the first of them half outside."""

    def of(split, indices):
        boxes = np.tile(np.array([20, 20, 30, 30], np.float32), (len(indices), 6, 1))
        for row, index in enumerate(indices):
            if index not in whole:
                boxes[row, 0] = -5, 20, 5, 30
        return Truth(np.ones((len(indices), SIZE, SIZE), np.uint8), boxes)

    return of


def test_more_animals_are_looked_at_until_enough_show_all(data):
    marked = critters_with_parts(data, some_truth({3, 17, 28}), "val", 3, seed=0)
    assert [name.split()[-1] for name in marked.names] == ["3", "17", "28"]
    assert len(critters_with_parts(data, some_truth({3, 17, 28}), "val", 9, seed=0).names) == 3  # all there are
    assert len(critters_with_parts(data, some_truth({3, 17}), "val", None, seed=0).names) == 2


def test_animals_that_hide_a_part_are_told(data):
    with pytest.raises(UserError, match="image 4 does not show its left eye"):
        critters_with_parts(data, some_truth({3, 17}), "val", [3, 4], seed=0)
    with pytest.raises(UserError, match="1 of 30 images show all parts"):
        critters_with_parts(data, some_truth({3}), "val", 5, seed=0)
    with pytest.raises(UserError, match="no image 30 in val; its images are 0 to 29"):
        critters_with_parts(data, real_truth, "val", [3, 30], seed=0)


def test_a_part_behind_something_is_not_shown(data):
    def hidden(split, indices):
        found = some_truth(range(30))(split, indices)
        found.masks[:, 25, 25] = np.isin(indices, [5, 6])
        return found

    assert {name.split()[-1] for name in critters_with_parts(data, hidden, "val", None, seed=0).names} == {"5", "6"}
