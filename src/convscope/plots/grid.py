"""Tiles composed into pictures: top-9 grids (Fig. 2), evolution (Fig. 4), filters (Fig. 6), pictures in a row."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from convscope.plots.lettering import CAPTION, FAINT, TITLE, width, wrapped, write
from convscope.plots.tile import Tile, filter_tiles, resized

BACKGROUND, OUTLINE = (247, 247, 248), (218, 218, 222)
MARGIN, TITLE_HEIGHT = 20, 52  # pixels around the picture, and above its first row
GAP = 2  # pixels between tiles that belong together
LINE = 20  # pixels, height of a line of text
ROW = 4  # pictures beside each other, so that those of many runs can be read


class MapTiles(NamedTuple):
    """One feature map: up to nine projections, strongest first, and their image patches. Tiles may have any size."""

    caption: str
    projections: Sequence[Tile]
    patches: Sequence[Tile]


class TileGrid(NamedTuple):
    """A picture of maps with the positions of their tiles, in pixels.

    tile: side of a tile. step: distance from one tile to the next. projections, patches: upper left corner (x, y) of
    each map's nine tiles. Tile k of nine begins k % 3 steps right of that corner and k // 3 steps below it.
    """

    image: Image.Image
    tile: int
    step: int
    projections: list[tuple[int, int]]
    patches: list[tuple[int, int]]


class MapHistory(NamedTuple):
    """One feature map over the epochs: a tile for each epoch, None where the map has none."""

    caption: str
    tiles: Sequence[Tile | None]


def top9_grid(
    maps: Sequence[MapTiles], title: str, columns: int = 3, side: int = 96, note: str = "left: projections"
) -> TileGrid:
    """Fig. 2: for each map a 3 x 3 of projections at the left of the 3 x 3 of image patches, its caption above.

    side: pixels of a tile; 16 maps in 4 columns make a picture of 2490 x 1400. note: names the tiles at the left. Where
    a map has fewer than nine images, outlines mark the empty places.
    """
    nine = 3 * side + 2 * GAP
    block_width, block_height = 2 * nine + 8, nine + 24
    longest = max((width(tiles_of_map.caption, CAPTION) for tiles_of_map in maps), default=0)
    step_x, step_y = max(block_width, min(longest, 300)) + 28, block_height + 18  # small tiles leave room for captions
    columns = max(1, min(columns, len(maps)))
    rows = math.ceil(len(maps) / columns)
    note = f"{note} · right: image patches"
    sheet, draw, head = _noted_sheet(columns * step_x - 28, rows * step_y - 18, title, note)
    grid = TileGrid(sheet, side, side + GAP, [], [])
    for number, tiles_of_map in enumerate(maps):
        x, y = MARGIN + number % columns * step_x, head + number // columns * step_y
        write(draw, (x, y + 16), tiles_of_map.caption, room=step_x - 28)
        grid.projections.append((x, y + 24))
        grid.patches.append((x + nine + 8, y + 24))
        _nine(sheet, grid.projections[-1], tiles_of_map.projections, side)
        _nine(sheet, grid.patches[-1], tiles_of_map.patches, side)
    return grid


def _nine(sheet: Image.Image, place: tuple[int, int], tiles: Sequence[Tile], side: int) -> None:
    for number in range(9):
        x, y = place[0] + number % 3 * (side + GAP), place[1] + number // 3 * (side + GAP)
        _put(sheet, (x, y), tiles[number] if number < len(tiles) else None, side)


def evolution_grid(histories: Sequence[MapHistory], epochs: Sequence[int], title: str) -> Image.Image:
    """Fig. 4: a row for each map, a column for each epoch. The more epochs, the smaller the tiles: 72 to 32 pixels."""
    longest = max(width(text, CAPTION) for text in ["epoch", *(history.caption for history in histories)])
    left = min(longest, 220) + 14
    side = max(32, min(72, (1500 - left) // max(1, len(epochs)) - GAP - 2))
    step = side + GAP + 2
    sheet, draw = _sheet(left + len(epochs) * step - GAP - 2, 20 + len(histories) * step - GAP - 2, title)
    write(draw, (MARGIN, TITLE_HEIGHT + 10), "epoch", color=FAINT)
    for column, epoch in enumerate(epochs):
        write(
            draw, (MARGIN + left + column * step + side // 2, TITLE_HEIGHT + 10), str(epoch), color=FAINT, anchor="ms"
        )
    for row, history in enumerate(histories):
        y = TITLE_HEIGHT + 20 + row * step
        write(draw, (MARGIN, y + side // 2), history.caption, room=left - 14, anchor="lm")
        for column in range(len(epochs)):
            tile = history.tiles[column] if column < len(history.tiles) else None
            _put(sheet, (MARGIN + left + column * step, y), tile, side)
    return sheet


def thumbnails(tiles: Sequence[Tile], columns: int = 10, side: int = 112) -> Image.Image:
    """The tiles in reading order, edge to edge and without text: a sheet to cut single images from."""
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (min(columns, max(1, len(tiles))) * side, max(1, rows) * side), BACKGROUND)
    for number, tile in enumerate(tiles):
        sheet.paste(resized(tile, side), (number % columns * side, number // columns * side))
    return sheet


def filter_grid(weights: Any, common: bool, title: str) -> Image.Image:
    """Fig. 6a-c: the filters of weights [C, colors, k, k] in the order of their maps.

    common: one symmetric scale for all filters, which shows dominant filters; else one scale for each filter, which
    shows what every filter looks for.
    """
    tiles = filter_tiles(weights, common)
    kernel = max(tiles[0].shape)
    side = kernel * max(1, round(52 / kernel)) if kernel <= 26 else 56  # whole pixels for each weight
    columns, step = _columns(len(tiles)), side + 2 * GAP
    rows = math.ceil(len(tiles) / columns)
    note = "one scale for all" if common else "each at its own scale"
    sheet, _ = _sheet(columns * step - 2 * GAP, rows * step - 2 * GAP, title, note)
    for number, tile in enumerate(tiles):
        _put(sheet, (MARGIN + number % columns * step, TITLE_HEIGHT + number // columns * step), tile, side)
    return sheet


def _columns(count: int) -> int:
    """Number of columns for `count` tiles: a full last row if possible, then a shape near 3 to 2."""
    square = math.isqrt(count - 1) + 1
    return min(range(square, 2 * square + 1), key=lambda wide: (-count % wide, abs(wide - 1.5 * count / wide)))


def side_by_side(images: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """The pictures, ROW to a row, aligned at their top edges, each under its caption."""
    rows = [_row(images[start : start + ROW], captions[start : start + ROW]) for start in range(0, len(images), ROW)]
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), BACKGROUND)
    y = 0
    for row in rows:
        sheet.paste(row, (0, y))
        y += row.height
    return sheet


def _row(images: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    lines = [wrapped(caption, CAPTION, image.width) for image, caption in zip(images, captions, strict=True)]
    step_y = MARGIN + 26 + LINE * (max(1, *map(len, lines)) - 1)
    sheet = Image.new("RGB", (sum(image.width + MARGIN for image in images) + MARGIN,
                              step_y + max(image.height for image in images) + MARGIN), BACKGROUND)  # fmt: skip
    draw, x = ImageDraw.Draw(sheet), MARGIN
    for image, caption in zip(images, lines, strict=True):
        for number, line in enumerate(caption):
            write(draw, (x, MARGIN + 14 + LINE * number), line, room=image.width)
        sheet.paste(image.convert("RGB"), (x, step_y))
        x += image.width + MARGIN
    return sheet


def _noted_sheet(
    inner_width: int, inner_height: int, title: str, note: str
) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """`_sheet` and the y at which the rows begin. The note goes below the title where it does not fit at its right."""
    if width(title, TITLE) + 30 + width(note, CAPTION) <= inner_width:
        return *_sheet(inner_width, inner_height, title, note), TITLE_HEIGHT
    room = _inner_width(inner_width, title)
    lines = wrapped(note, CAPTION, room)
    sheet, draw = _sheet(inner_width, inner_height + LINE * len(lines), title)
    for number, line in enumerate(lines, 1):
        write(draw, (MARGIN, 33 + LINE * number), line, color=FAINT, room=room)
    return sheet, draw, TITLE_HEIGHT + LINE * len(lines)


def _sheet(inner_width: int, inner_height: int, title: str, note: str = "") -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty picture with its title, and with `note` at the right of the title where it fits, else without it."""
    title_width, note_width = width(title, TITLE), width(note, CAPTION)
    inner_width = _inner_width(inner_width, title)
    sheet = Image.new("RGB", (inner_width + 2 * MARGIN, TITLE_HEIGHT + inner_height + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner_width)
    if title_width + 30 + note_width <= inner_width:
        write(draw, (MARGIN + inner_width, 33), note, color=FAINT, anchor="rs")
    return sheet, draw


def _inner_width(rows_width: int, title: str) -> int:
    """Pixels between the margins: the width of the rows, or of the title up to 1500 pixels if that is wider."""
    return max(rows_width, min(width(title, TITLE), 1500))


def _put(sheet: Image.Image, place: tuple[int, int], tile: Tile | None, side: int) -> None:
    """Pastes the tile at its place, or draws a faint outline where there is no tile."""
    if tile is None or not np.size(tile):
        ImageDraw.Draw(sheet).rectangle((*place, place[0] + side - 1, place[1] + side - 1), outline=OUTLINE)
    else:
        sheet.paste(resized(tile, side), place)
