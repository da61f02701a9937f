import numpy as np
import pytest
from PIL import Image

from convscope.plots.grid import (
    BACKGROUND,
    GAP,
    MapHistory,
    MapTiles,
    evolution_grid,
    filter_grid,
    side_by_side,
    thumbnails,
    top9_grid,
)

RED, GREEN = (200, 0, 0), (0, 160, 0)
TILE = 96  # pixels of a tile where no size is named


def flat(color, size=20):
    return np.full((size, size, 3), color, np.uint8)


def count(image, color):
    return int((np.asarray(image) == color).all(axis=-1).sum())


def test_top9_draws_every_tile_whole():
    blocks = [MapTiles(f"map {m}", [flat(RED)] * 9, [flat(GREEN, 130)] * 9) for m in range(16)]
    image = top9_grid(blocks, "conv3, epoch 2").image
    assert count(image, RED) == 16 * 9 * TILE * TILE
    assert count(image, GREEN) == 16 * 9 * TILE * TILE
    assert 1700 <= image.width <= 2000


def test_projections_stand_left_of_their_patches_strongest_first():
    strongest = [flat(RED)] + [flat((9, 9, 9))] * 8
    image = np.asarray(top9_grid([MapTiles("map 0", strongest, [flat(GREEN)] * 9)], "t").image)
    red, green = (np.argwhere((image == color).all(axis=-1)) for color in (RED, GREEN))
    assert red[:, 1].max() < green[:, 1].min()
    assert red[:, 0].min() == green[:, 0].min() and len(red) == TILE * TILE


def test_fewer_than_nine_leave_outlined_places():
    full = top9_grid([MapTiles("map 0", [flat(RED)] * 9, [flat(GREEN)] * 9)], "t").image
    partial = top9_grid([MapTiles("map 0", [flat(RED)] * 4, [flat(GREEN)] * 4)], "t").image
    assert partial.size == full.size
    assert count(partial, RED) == 4 * TILE * TILE
    fifth = partial.crop(some_place(partial, 4))
    assert fifth.getpixel((0, 0)) != BACKGROUND and fifth.getpixel((TILE // 2, TILE // 2)) == BACKGROUND


def some_place(image, number):
    red = np.argwhere((np.asarray(image) == RED).all(axis=-1))
    top, left = red.min(axis=0)
    x, y = left + number % 3 * (TILE + GAP), top + number // 3 * (TILE + GAP)
    return int(x), int(y), int(x) + TILE, int(y) + TILE


@pytest.mark.parametrize("words", ["a very long caption " * 20, "", "ß é ×"])
def test_captions_and_titles_of_any_length_leave_the_tiles_alone(words):
    block = MapTiles(words, [flat(RED)] * 9, [flat(GREEN)] * 9)
    image = top9_grid([block, block], words).image
    assert count(image, RED) == 2 * 9 * TILE * TILE
    assert image.width <= 2000


def test_a_layer_without_maps_still_gives_a_picture():
    empty = top9_grid([], "conv1, epoch 1")
    assert empty.image.width > 100 and empty.projections == empty.patches == []


@pytest.mark.parametrize("columns", [1, 3, 9])
def test_the_grid_says_where_every_tile_is(columns):
    """Every tile of its own color: the colors at the positions are those of the tiles, in their order."""
    colors = [(10 * m + 5, 20 * rank + 5, 40 * side + 5) for m in range(7) for side in range(2) for rank in range(9)]
    tiles = iter([flat(color) for color in colors])
    blocks = [MapTiles(f"map {m}", [next(tiles) for _ in range(9)], [next(tiles) for _ in range(9)]) for m in range(7)]
    grid = top9_grid(blocks, "conv3", columns, side=40)
    tile_colors = []
    for corners in zip(grid.projections, grid.patches, strict=True):
        for x, y in corners:
            for rank in range(9):
                left, top = x + rank % 3 * grid.step, y + rank // 3 * grid.step
                cut = grid.image.crop((left, top, left + grid.tile, top + grid.tile))
                assert len(cut.getcolors()) == 1  # the tile, whole, and nothing else
                tile_colors.append(cut.getpixel((0, 0)))
    assert tile_colors == colors and len(grid.projections) == 7


def test_thumbnails_stand_in_reading_order_edge_to_edge():
    colors = [(20 * number, 0, 200) for number in range(12)]
    sheet = thumbnails([flat(color, 30 + number) for number, color in enumerate(colors)], columns=5, side=16)
    assert sheet.size == (80, 48)
    for number, color in enumerate(colors):
        x, y = number % 5 * 16, number // 5 * 16
        assert sheet.crop((x, y, x + 16, y + 16)).getcolors() == [(256, color)]
    assert thumbnails([flat(GREEN)] * 2, side=16).size == (32, 16)  # one row is as wide as it is full


def test_evolution_has_a_row_for_each_map_and_a_column_for_each_epoch():
    strips = [MapHistory("map 3", [flat(RED), None, flat(RED)]), MapHistory("map 8", [None, flat(GREEN)])]
    image = np.asarray(evolution_grid(strips, [1, 2, 5], "conv5"))
    red, green = (np.argwhere((image == color).all(axis=-1)) for color in (RED, GREEN))
    assert (len(red), len(green)) == (2 * 72 * 72, 72 * 72)
    assert red[:, 0].max() < green[:, 0].min()
    assert red[:, 1].min() < green[:, 1].min() < green[:, 1].max() < red[:, 1].max()


def test_evolution_of_many_epochs_shrinks_its_tiles():
    strips = [MapHistory("map 3", [flat(RED)] * 40)]
    image = evolution_grid(strips, list(range(1, 41)), "conv5")
    assert count(image, RED) == 40 * 32 * 32
    assert image.width < 1700


def test_filters_keep_whole_pixels_for_each_weight():
    weights = np.zeros((96, 3, 7, 7), np.float32)
    weights[5, 0, 2, 3] = 1.0
    image = np.asarray(filter_grid(weights, common=True, title="conv1"))
    lit = np.argwhere((image == (255, 128, 128)).all(axis=-1))
    assert len(lit) == 7 * 7  # one weight
    assert lit.max(axis=0).tolist() == (lit.min(axis=0) + 6).tolist()


@pytest.mark.parametrize("maps, colors, kernel", [(1, 3, 7), (24, 1, 5), (64, 3, 11), (512, 64, 1), (7, 3, 40)])
def test_any_first_layer_can_be_drawn(maps, colors, kernel):
    image = filter_grid(np.random.default_rng(0).normal(size=(maps, colors, kernel, kernel)), False, "filters")
    assert image.width < 2200 and image.height < 1600


def test_side_by_side_keeps_the_pictures_as_they_are():
    left, right = Image.new("RGB", (100, 40), RED), Image.new("RGB", (60, 90), GREEN)
    image = side_by_side([left, right], ["with", "without"])
    assert (count(image, RED), count(image, GREEN)) == (100 * 40, 60 * 90)
    pixels = np.asarray(image)
    tops = [np.argwhere((pixels == color).all(axis=-1))[:, 0].min() for color in (RED, GREEN)]
    assert tops[0] == tops[1]


def test_side_by_side_has_four_to_a_row():
    colors = [(40 * number, 0, 0) for number in range(1, 7)]
    image = np.asarray(side_by_side([Image.new("RGB", (50, 30), color) for color in colors], list("abcdef")))
    corners = [np.argwhere((image == color).all(axis=-1)).min(0).tolist() for color in colors]
    assert len({row for row, _ in corners[:4]}) == len({row for row, _ in corners[4:]}) == 1
    assert corners[4][0] > corners[0][0] + 30 and [column for _, column in corners[4:]] == [
        column for _, column in corners[:2]
    ]


def test_side_by_side_wraps_captions_that_are_wider_than_their_picture():
    picture, long = Image.new("RGB", (120, 40), RED), "11x11 stride 4, held at 0.1, conv1 never"
    narrow, wide = side_by_side([picture] * 2, [long, "b"]), side_by_side([picture] * 2, ["a", "b"])
    assert narrow.width == wide.width and narrow.height > wide.height
    assert count(narrow, RED) == count(wide, RED) == 2 * 120 * 40
