"""Which maps are shown, and that tiles come from the images and places the record names."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.analyses.visualize.about import SIDE, FeatureConfig
from convscope.analyses.visualize.compute import (
    OUTSIDE,
    SplitPixels,
    drawn_layers,
    drawn_maps,
    feature_view,
)
from convscope.analyses.visualize.figure import (
    GAP,
    RulesOfMap,
    exciting_images,
    feature_grid,
    map_tiles,
    projection_tiles,
    rules_grid,
    rules_sheet,
    thumbnail_sheets,
)
from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Pixels, Source
from convscope.engine.top9 import Top9
from convscope.engine.top9_search import Search
from convscope.errors import UserError
from convscope.models.build import build
from convscope.runs.record import Picture, Record

ROWS = {
    "conv1": {"kind": "conv", "maps": 8, "kernel": 3, "padding": 1},
    "pool1": {"kind": "pool", "kernel": 3, "stride": 2},
    "conv2": {"kind": "conv", "maps": 8, "kernel": 3},
    "fc3": {"kind": "full", "units": "classes"},
}


def choice(**changes):
    return FeatureConfig(**{"layers": None, "maps": 4, "epochs": None, "images": "val"} | changes)


def test_the_random_choice_of_maps_depends_on_seed_and_layer_alone():
    four = drawn_maps(choice(), "conv1", 96, seed=1)
    assert four == drawn_maps(choice(epochs=[7]), "conv1", 96, seed=1) == sorted(set(four)) and len(four) == 4
    assert four != drawn_maps(choice(), "conv2", 96, seed=1) and four != drawn_maps(choice(), "conv1", 96, seed=2)
    assert set(four) <= set(drawn_maps(choice(maps=8), "conv1", 96, seed=1))  # more maps keep those already shown
    assert drawn_maps(choice(maps=400), "conv1", 96, seed=1) == list(range(96))


def test_named_layers_maps_and_epochs():
    net = build(ROWS, image_size=16, classes=3)
    assert drawn_layers(choice(), net, 16) == ["conv1", "conv2"]
    assert drawn_layers(choice(layers=["fc3", "conv1"]), net, 16) == ["conv1", "fc3"]
    assert drawn_layers(choice(maps={"conv2": [5, 0]}), net, 16) == ["conv2"]
    assert drawn_maps(choice(maps={"conv2": [5, 0]}), "conv2", 8, seed=0) == [5, 0]
    assert [choice(epochs=[1, 2, 5]).draws_at(epoch) for epoch in (1, 3, 5)] == [
        True,
        False,
        True,
    ] and choice().draws_at(99)


def test_what_cannot_be_shown_is_told():
    net = build(ROWS, image_size=16, classes=3)
    with pytest.raises(
        UserError, match="no layer conv9 in this net .did you mean conv2... its layers: conv1, pool1, conv2, fc3"
    ):
        drawn_layers(choice(layers=["conv9"]), net, 16)
    with pytest.raises(UserError, match="conv2 has maps 0 to 7, not 8, -1"):
        drawn_maps(choice(maps={"conv2": [8, 1, -1]}), "conv2", 8, seed=0)
    with pytest.raises(UserError, match="conv2 has maps 0 to 7, not 9"):  # before anything is trained
        drawn_layers(choice(maps={"conv2": [9]}), net, 16)
    with pytest.raises(UserError, match="evolution.images=test is unknown; possible: val, train"):
        choice(images="test")
    with pytest.raises(UserError, match="evolution.rule=relu is unknown; possible: auto, deconvnet, guided, gradient"):
        choice(rule="relu")
    for rule in ("", None, 3, ["guided"]):
        with pytest.raises(UserError, match="evolution.rule=.* is unknown.*; possible: auto, deconvnet, guided"):
            choice(rule=rule)
    for tile in (0, 15, 513):
        with pytest.raises(UserError, match=f"evolution.tile={tile} is too .*; it is 16 to 512"):
            choice(tile=tile)


@pytest.fixture
def searched():
    """A net, eleven images, and the view of all its conv2 maps."""
    torch.manual_seed(0)
    net = build(ROWS, image_size=16, classes=3).eval()
    pixels = torch.randint(0, 256, (11, 3, 16, 16), dtype=torch.uint8)
    data = SimpleNamespace(
        images=lambda split, indices: pixels[indices].float() - 128, pixels=lambda split, indices: pixels[indices]
    )
    with Search(net, ["conv2"]) as search, torch.inference_mode():
        for part in torch.arange(11).split(4):
            search.watch(part)
            net(pixels[part].float() - 128)
    images = SplitPixels(data, "val")
    return net, pixels, search.top["conv2"], feature_view(net, images, "conv2", search.top["conv2"], list(range(8)))


def test_patches_are_the_receptive_fields_of_the_strongest_units(searched):
    """conv2 sees 9 pixels, 2 apart, from -1 on (one pixel of padding): that box of that image, nothing else."""
    net, pixels, top, view = searched
    assert view.patches.shape == (8, 9, 3, 9, 9)
    padded = torch.nn.functional.pad(pixels, (9, 9, 9, 9), value=OUTSIDE)
    for number in range(8):
        for rank in range(9):
            image, row, col = (int(field[number, rank]) for field in (top.image, top.row, top.col))
            y, x = 2 * row - 1 + 9, 2 * col - 1 + 9
            assert torch.equal(view.patches[number, rank], padded[image, :, y : y + 9, x : x + 9])


def test_a_projection_answers_the_unit_it_came_from(searched):
    """With one rectified layer between, a unit's own projection is a direction that raises the unit."""
    net, pixels, top, view = searched
    image, row, col = (int(field[3, 0]) for field in (top.image, top.row, top.col))
    step = torch.zeros(1, 3, 34, 34)
    step[:, :, 2 * row + 8 : 2 * row + 17, 2 * col + 8 : 2 * col + 17] = view.projections[3, 0]
    before = pixels[image : image + 1].float() - 128
    with torch.inference_mode():
        both = before, before + step[..., 9:25, 9:25]
        strength = [net.conv2(net.pool1(net.conv1(x)))[0, 3, row, col] for x in both]
    assert strength[1] > strength[0] > 0


def test_a_grid_is_drawn(searched):
    sheet = feature_grid(searched[3], "conv2").image
    assert sheet.width > 900 and np.asarray(sheet).std() > 10


def colored(sheet):
    """How many pixels are of the images and projections, which are of noise, and not grey letters and outlines."""
    values = np.asarray(sheet).astype(int)
    return int((values.max(2) - values.min(2) > 8).sum())


def only(view, number, score):
    """The view of one map, its nine images with other scores."""
    top = Top9(*(field[[number]] for field in view.top))._replace(score=torch.tensor([score]))
    return view._replace(maps=[number], top=top, projections=view.projections[[number]], patches=view.patches[[number]])


def test_images_that_do_not_excite_a_map_are_not_shown(searched):
    nine, four, dead = (only(searched[3], 2, [1.0] * count + [0.0] * (9 - count)) for count in (9, 4, 0))
    colored_pixels = [colored(feature_grid(view, "grid").image) for view in (nine, four, dead)]
    assert colored_pixels[0] > 1.8 * colored_pixels[1] > 0 == colored_pixels[2]
    assert [feature_grid(view, "grid").sheet["count"] for view in (nine, four, dead)] == [[9], [4], [0]]
    assert exciting_images(four) == sorted(four.top.image[0, :4].tolist()) and exciting_images(dead) == []
    colored_pixels = [colored(rules_sheet({"guided": view}, "rules", count=6)) for view in (nine, four, dead)]
    assert colored_pixels[0] > 1.2 * colored_pixels[1] > 0 == colored_pixels[2]


def test_tiles_are_cut_from_the_saved_grid_by_its_sheet(searched, tmp_path):
    """Against patches and projections put on their own, through JPEG and index.jsonl."""
    view = searched[3]
    drawn = feature_grid(view, "conv2", side=56)
    record = Record(tmp_path)
    record.add(Picture("top9/conv2", drawn.image, sheet=drawn.sheet))
    line = json.loads((tmp_path / "index.jsonl").read_text())
    sheet, saved = line["sheet"], Image.open(tmp_path / line["path"])
    assert sheet["size"] == list(saved.size) and sheet["maps"] == view.maps
    assert sheet["count"] == (view.top.score > 0).sum(1).tolist() and sum(sheet["count"]) > 30
    for position in range(8):
        projections = projection_tiles(view.projections[position])
        for rank in range(sheet["count"][position]):
            for kind, tile in (
                ("projections", projections[rank]),
                ("patches", view.patches[position, rank].permute(1, 2, 0).numpy()),
            ):
                x, y = sheet[kind][position]
                x, y, side = x + rank % 3 * sheet["step"], y + rank // 3 * sheet["step"], sheet["tile"]
                cut = np.asarray(saved.crop((x, y, x + side, y + side))).astype(int)
                whole = np.asarray(Image.fromarray(tile).resize((side, side), Image.Resampling.NEAREST)).astype(int)
                assert np.abs(cut - whole).mean() < 6  # another tile of this noise differs by some 60


def test_projection_and_patch_of_a_tile_are_cut_alike_where_its_sheet_says(searched):
    """A field of 60 pixels in which only a spot answers: both tiles show that spot of the image, and nothing else."""
    view = searched[3]
    projections, patches = torch.zeros(8, 9, 3, 60, 60), torch.zeros(8, 9, 3, 60, 60, dtype=torch.uint8)
    for rank in range(9):
        projections[2, rank, :, 3 * rank : 3 * rank + 20, 30:50] = torch.randn(3, 20, 20)
        patches[2, rank, :, 3 * rank : 3 * rank + 20, 30:50] = 200
    view = only(view._replace(projections=projections, patches=patches), 2, [1.0] * 9)
    tiles = map_tiles(view, 0, side=96)
    side, corners = tiles.cut
    assert 18 <= side <= 20 and corners[4][0] in range(11, 15) and corners[4][1] in range(29, 33)
    assert all(tile.shape == (side, side, 3) and (tile == 200).mean() > 0.9 for tile in tiles.patches)
    assert feature_grid(view, "conv2").sheet["cuts"] == [[side, [list(corner) for corner in corners]]]


def test_whole_images_stand_on_sheets_of_a_hundred_with_their_class_and_name():
    draw = np.random.default_rng(0)
    values = draw.integers(0, 256, (130, 1, 1, 3), dtype=np.uint8).repeat(37, 1).repeat(37, 2)
    split = Pixels(values, np.arange(130) % 3)
    data = ImageData(Source(["a", "b", "c"], split, split), DataSettings(32, 7, workers=0))
    indices = list(range(5, 115))
    first, second = thumbnail_sheets(SplitPixels(data, "val"), indices)
    assert first.sheet["images"] + second.sheet["images"] == indices and len(second.sheet["images"]) == 10
    assert second.sheet["labels"] == [index % 3 for index in indices[100:]]
    assert second.sheet["names"] == [str(index) for index in indices[100:]]
    assert (first.image.size, second.image.size) == ((1120, 1120), (1120, 112))
    assert first.image.getpixel((3 * 112 + 60, 2 * 112 + 60)) == tuple(values[5 + 23, 0, 0].tolist())
    assert list(thumbnail_sheets(SplitPixels(data, "val"), [])) == []


def test_rules_side_by_side_show_the_same_patches(searched):
    view = searched[3]
    inverted = view._replace(projections=-view.projections)
    single = np.asarray(rules_sheet({"deconvnet": view}, "conv2", count=2))
    double = np.asarray(rules_sheet({"deconvnet": view, "gradient": inverted}, "conv2", count=2))
    beside = double.shape[1] - single.shape[1]
    assert double.shape[0] == single.shape[0] and beside == 2 * SIDE + 2 + 16  # another group of two tiles
    below = np.s_[80:-20, 20 : single.shape[1] - 20]  # all but the words on top
    assert np.array_equal(single[below], double[below])


def flat(color):
    return np.full((8, 8, 3), color, np.uint8)


def corner_and_count(sheet, color):
    rows, cols = np.nonzero((np.asarray(sheet) == color).all(2))
    return rows.min(), cols.min(), len(rows)


def test_a_group_of_tiles_for_each_rule_in_the_order_of_the_patches():
    patches = [(200, 0, 0), (0, 200, 0)]
    rules = [[(0, 0, 200), (200, 200, 0)], [(0, 200, 200), (200, 0, 200)]]
    row = RulesOfMap("map 3", [flat(color) for color in patches], [[flat(color) for color in rule] for rule in rules])
    sheet = rules_grid([row], ["deconvnet", "guided"], "title", count=2, side=40)
    corners = [corner_and_count(sheet, color) for color in [*patches, *rules[0], *rules[1]]]
    assert len({top for top, _, _ in corners}) == 1 and all(count == 1600 for _, _, count in corners)
    lefts = [left for _, left, _ in corners]
    assert lefts == sorted(lefts) and lefts[1] - lefts[0] == 40 + GAP
    assert lefts[2] - lefts[0] == lefts[4] - lefts[2] > 2 * 40  # groups of equal width


def test_missing_images_leave_outlines_and_no_maps_a_title():
    row = RulesOfMap("map 3 · dead", [], [[], []])
    empty = np.asarray(rules_grid([row], ["guided", "gradient"], "title", count=3))
    tile = RulesOfMap("map 3 · dead", [flat(0)], [[flat(0)], [flat(0)]])
    assert empty.shape == np.asarray(rules_grid([tile], ["guided", "gradient"], "title", count=3)).shape
    assert (empty == (218, 218, 222)).all(2).sum() >= 9 * 4 * 71
    assert rules_grid([], ["guided"], "title", count=3).height > 50


def test_a_long_name_of_a_layer_moves_the_columns():
    short, long = (
        rules_grid([RulesOfMap(name, [flat(0)], [[flat(0)]])], ["guided"], "t", 1) for name in ("c", "c" * 40)
    )
    assert long.width > short.width + 200
