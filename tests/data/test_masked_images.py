"""Masks of parts: of drawn animals, of folders, of csv files and of arrays, in the pixels that the net sees."""

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.annotations import to_crop
from convscope.data.critters.face import MASKED_PARTS, PARTS
from convscope.data.critters.scene import part_masks, plan, render, scene
from convscope.data.critters.source import critters
from convscope.data.critters.species import SPECIES
from convscope.data.epoch_images import epoch_images
from convscope.data.mask_folder import images_of_folder
from convscope.data.masked_images import images_of_arrays, images_of_csv, images_that_know_parts, known_masks
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import images as image_files
from convscope.errors import UserError

NAMES = [*MASKED_PARTS, "background"]
SIZE = 56


def settings(cache, **changed):
    return DataSettings(image_size=SIZE, batch_size=8, workers=0, cache_dir=str(cache), **changed)


# ---------------------------------------------------------------- drawn animals


def test_masks_change_no_pixel_and_fill_the_animal():
    for index in range(10):
        alone, critter = scene(1, "val", index, 48), scene(1, "val", index, 48, with_regions=True)
        assert np.array_equal(alone.image, critter.image) and np.array_equal(alone.mask, critter.mask)
        masks = dict(zip(NAMES, part_masks(1, "val", index, 48), strict=True))
        animal = np.logical_or.reduce([masks[name] for name in MASKED_PARTS])
        assert np.array_equal(masks["background"], alone.mask == 0)
        assert (animal != (alone.mask > 0)).sum() <= 8  # a pixel of three parts may be half of none
        assert masks["head"].sum() > 100 and not (masks["head"] & masks["body"]).sum() > 12
        assert (masks["eyes"] <= masks["head"]).all() and (masks["nose"] <= masks["head"]).all()


def test_a_part_is_in_its_box_and_goes_with_its_owner():
    for index in range(10):
        critter, masks = scene(2, "train", index, 96), part_masks(2, "train", index, 96)
        for name, boxed in (("eyes", PARTS[:2]), ("nose", PARTS[2:3]), ("mouth", PARTS[3:4]), ("ears", PARTS[4:])):
            inside = np.zeros((96, 96), bool)
            for x0, y0, x1, y1 in critter.boxes[[PARTS.index(part) for part in boxed]]:
                inside[max(0, int(y0) - 1) : int(y1) + 2, max(0, int(x0) - 1) : int(x1) + 2] = True
            assert not (masks[NAMES.index(name)] & ~inside).any(), (index, name)
        assert masks[NAMES.index("whiskers")].any() == (SPECIES[index % 10].whiskers > 0) or critter.mask.mean() < 0.1


def test_recoloring_the_iris_changes_pixels_of_the_eyes_alone():
    for index in (1, 4, 6, 9):  # species whose pupils leave some of it
        drawing, species = plan(3, "val", index), SPECIES[index]
        one = render(drawing, species, 80)
        other = render(drawing._replace(look=drawing.look._replace(iris=(250.0, 0.0, 250.0))), species, 80)
        changed, eyes = (one.image != other.image).any(2), part_masks(3, "val", index, 80)[NAMES.index("eyes")]
        assert changed.sum() > 20 and (changed & ~eyes).sum() <= 0.1 * changed.sum()


def test_masks_follow_limits_and_the_center_crop(tmp_path):
    data = ImageData(critters(10, 20, 64, 7, None), settings(tmp_path, limit=10, seed=5))
    known = known_masks(data, "val", [3, 0])
    assert known.names == NAMES and known.masks.shape == (2, 10, SIZE, SIZE)
    pixels, number = data.pixels("val", [3])[0].permute(1, 2, 0).numpy(), None
    for index in range(20):  # of the 10 images that are left, number 3 is this one
        if np.array_equal(scene(7, "val", index, 64).image[4:60, 4:60], pixels):
            number = index
    assert np.array_equal(known.masks[0].numpy(), part_masks(7, "val", number, 64)[:, 4:60, 4:60])
    measured = epoch_images(data, 0, 5)
    assert torch.equal(measured.parts.masks, known_masks(data, "val", measured.index).masks)
    chosen = images_that_know_parts(data, "val", [3, 0], 0)
    assert np.array_equal(chosen.draw([0, 1]), known.masks.numpy())
    assert torch.equal(chosen.read([1])[1], data.pixels("val", [0]))


# ---------------------------------------------------------------- photographs


@pytest.fixture
def album(tmp_path):
    """Photographs of three sizes, in each of which a part is bright, with masks of it."""
    for place, (name, width, height) in enumerate(
        [("a/1", 100, 80), ("a/2", 64, 90), ("b/1", 64, 64), ("b/3", 70, 64)]
    ):
        left, top = 24 + 3 * place, 20 + 2 * place
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[top : top + 16, left : left + 24] = 255
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
        if name != "b/3":
            mask = tmp_path / "masks" / "beak" / f"{name}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[..., 0]).save(mask)
    return tmp_path


def data_of(album):
    return ImageData(image_files(album / "photos"), settings(album / "cache"))


def test_a_folder_of_masks_covers_the_part_in_what_the_net_sees(album):
    wing = album / "masks" / "left_wing" / "a" / "1.png"
    wing.parent.mkdir(parents=True)
    Image.new("1", (100, 80)).save(wing)  # an empty mask
    data = data_of(album)
    images = images_of_folder(data, str(album / "masks"), "val", 10, 0)
    assert images.parts == ["beak", "left wing"] and images.names == ["1.png", "2.png", "1.png"]
    assert images.note == "1 images of val without a mask left out"
    image, pixels = images.read([0, 1, 2])
    bright = (pixels.float().mean(1) > 127).numpy()
    beak, wings = images.draw([0, 1, 2]).transpose(1, 0, 2, 3)
    assert (beak != bright).mean((1, 2)).max() < 0.01 and beak.sum((1, 2)).min() > 150 and not wings.any()
    assert image.shape == (3, 3, SIZE, SIZE)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "I;16", "1"])
def test_masks_of_any_mode_are_where_they_are_not_black(album, mode):
    file = album / "masks" / "beak" / "b" / "1.png"
    white = np.asarray(Image.open(file)) > 0
    expected = images_of_folder(data_of(album), str(album / "masks"), "val", [2], 0).draw([0])
    if mode == "I;16":
        Image.fromarray(white.astype(np.uint16) * 3).save(file)
    else:
        gray = Image.fromarray(white.astype(np.uint8) * (1 if mode == "P" else 255))
        mask = gray.convert(mode) if mode != "P" else gray.copy()
        if mode == "P":
            mask.putpalette([0, 0, 0, 200, 10, 10])
        mask.save(file)
    assert np.array_equal(images_of_folder(data_of(album), str(album / "masks"), "val", [2], 0).draw([0]), expected)


def test_a_mask_may_leave_out_folders_that_all_images_share(album):
    (album / "masks" / "beak" / "a" / "1.png").rename(album / "masks" / "beak" / "a-1.png")
    (album / "masks" / "beak" / "a" / "2.png").rename(album / "masks" / "beak" / "2.png")
    images = images_of_folder(data_of(album), str(album / "masks"), "val", 10, 0)
    assert images.names == ["2.png", "1.png"] and "1 masked paths name no image of it" in images.note


def test_folders_of_masks_that_do_not_fit(album):
    masks, data = album / "masks", data_of(album)

    def refused(words, folder=masks, data=data):
        with pytest.raises(UserError, match=words):
            images = images_of_folder(data, str(folder), "val", 10, 0)
            images.draw(list(range(len(images.names))))

    refused("is no folder of masks; needed is <folder>/<part>/", album / "none")
    refused("holds no masks", album / "photos" / "a")
    (album / "others" / "beak").mkdir(parents=True)
    Image.new("L", (64, 64)).save(album / "others" / "beak" / "7.png")
    refused("none of its 1 masked paths, such as 7.png, names one of the 4 images, such as", album / "others")
    refused(
        "masks are found by the paths of image files", data=ImageData(critters(10, 10, 16, 0, None), settings(album))
    )
    Image.new("L", (64, 63)).save(masks / "beak" / "b" / "1.png")
    refused("is 64 x 63 pixels and its image .* 64 x 64; make them as large")
    (masks / "beak" / "b" / "1.png").write_bytes(b"no image")
    refused("b/1.png cannot be read")
    (masks / "beak" / "b" / "1.png").unlink()
    (masks / "beak" / "a" / "1.png").rename(masks / "beak" / "1.png")
    refused("the masks 1.png fit two images")


def test_boxes_and_points_of_a_csv(album):
    data = data_of(album)
    csv = album / "boxes.csv"
    csv.write_text("path,x0,y0,x1,y1,part\nphotos/a/1.png,24,20,48,36,beak\nphotos/b/1.png,30,24,54,40,beak\n"
                   "photos/b/1.png,0,0,12,64,wing\n")  # fmt: skip
    images = images_of_csv(data, str(csv), 10, 0)
    assert images.parts == ["beak", "wing"] and images.names == ["1.png", "1.png"]
    bright = (images.read([0, 1])[1].float().mean(1) > 127).numpy()
    masks = images.draw([0, 1])
    assert (masks[:, 0] != bright).mean((1, 2)).max() < 0.02
    assert not masks[0, 1].any() and masks[1, 1].any()
    csv.write_text("path,x0,y0,x1,y1\nphotos/a/1.png,24,20,48,36\nphotos/b/1.png,30,24,54,40\n")
    assert images_of_csv(data, str(csv), 10, 0).parts == ["object"]
    points = album / "points.csv"
    points.write_text("path,part,x,y\nphotos/a/1.png,left_eye,50,40\nphotos/b/1.png,left_eye,10,20\n"
                      "photos/b/1.png,nose,30,33\n")  # fmt: skip
    images = images_of_csv(data, str(points), 10, 0, radius=6)
    assert images.parts == ["left eye", "nose"]
    eye, nose = images.draw([0])[0]
    x, y = to_crop([(50, 40)], (100, 80), SIZE)[0]
    row, col = (eye * (np.indices(eye.shape) + 0.5)).sum((1, 2)) / eye.sum()
    assert [col, row] == pytest.approx([x, y], abs=0.3) and eye.sum() == pytest.approx(np.pi * 36, rel=0.05)
    assert not nose.any()  # nobody marked it there
    assert images_of_csv(data, str(points), [1], 0).draw([0])[0, 1].sum() == pytest.approx(np.pi * 16, rel=0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,x0,y0,x1,y1\nphotos/a/1.png,5,5,500,50\n", "leaves 1.png"),
        ("path,part,x,y\nphotos/a/none.png,eye,1,1\n", "images are not there"),
        ("path,part,x,y\nphotos/a/1.png,eye,one,1\n", "x=one is no number"),
        (
            "path,size\nphotos/a/1.png,1\n",
            "its columns: path, size; needed: path,x0,y0,x1,y1 for boxes, path,part,x,y",
        ),
        ("file,part\n1.png,eye\n", "has no column path; its columns: file, part; needed: a first line path,x0,y0"),
    ],
)
def test_csv_files_that_do_not_fit(album, text, words):
    (album / "wrong.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        images_of_csv(data_of(album), str(album / "wrong.csv"), 10, 0)


def test_masks_as_arrays(album):
    data = data_of(album)
    masks = np.zeros((4, SIZE, SIZE))
    masks[2, 3:9, 5] = 1.0
    images = images_of_arrays(data, {"beak": torch.from_numpy(masks)}, "val", [2, 0], 0)
    assert images.parts == ["beak"] and images.draw([0])[0, 0].sum() == 6 and not images.draw([1]).any()
    for wrong, words in (({"beak": masks[:3]}, "beak is 3 x 56 x 56; needed is 4 x 56 x 56"), ({}, "masks is empty"),
                         ({"beak": "here"}, "beak is no numbers")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            images_of_arrays(data, wrong, "val", 4, 0)
