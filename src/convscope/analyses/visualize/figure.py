"""Views as pictures: tiles cut to their energy, the grid of Fig. 2, rules side by side, thumbnails of whole images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from convscope.analyses.visualize.compute import OUTSIDE, SIDE, FeatureView, SplitPixels, excited_count
from convscope.engine.energy import energy_squares
from convscope.engine.regions import cut_regions
from convscope.plots.grid import HEAD, MARGIN, OUTLINE, PAPER, Block, thumbnails, top9_grid
from convscope.plots.lettering import FAINT, TITLE, width, write
from convscope.plots.tile import GRAY, Tile, chroma_share, contrast, muted, resized, signed_tile

THUMBNAIL, COLUMNS = 112, 10  # pixels of a whole image's thumbnail; of them in a row


class Packed(NamedTuple):
    """A picture of many tiles, and its `sheet`: what stands where on it, in its pixels (record.Picture)."""

    image: Image.Image
    sheet: dict[str, Any]


class Tiles(NamedTuple):
    """Pictures of one map's strongest images, [<= side, <= side, 3] uint8 each: projections, and the same patches.

    cut: pixels of the squares' side, and the row and column of the field at which each begins.
    """

    projections: list[Tile]
    patches: list[Tile]
    cut: tuple[int, list[tuple[int, int]]]


def map_tiles(view: FeatureView, position: int, side: int = SIDE, beside: Sequence[FeatureView] = ()) -> Tiles:
    """The tiles of the images that excite the map at `position`, cut to where their projections have their energy.

    beside: views of the same record by other rules, whose energy is to be seen too, so that the cuts are the same.
    """
    count = excited_count(view, position)
    if not count:
        return Tiles([], [], (0, []))
    values = [each.projections[position, :count] for each in (view, *beside)]
    values = [F.normalize(each.flatten(1), dim=1).view_as(each) for each in values] if beside else values
    squares, size = energy_squares(torch.cat(values, 1) if beside else values[0])
    projections = cut_regions(view.projections[position, :count], torch.arange(count), squares, (size, size))
    windows = cut_regions(view.patches[position, :count], torch.arange(count), squares, (size, size), OUTSIDE)
    corners = list(zip(squares.top.tolist(), squares.left.tolist(), strict=True))
    tiles = projection_tiles(projections, side), list(windows.permute(0, 2, 3, 1).numpy())
    return Tiles(*tiles, (size, corners))


def projection_tiles(projections: torch.Tensor, side: int = SIDE) -> list[Tile]:
    """Pictures [<= side, <= side, 3] uint8 of projections [n, 3, S, S] of one map.

    Large ones shrink as signed values, before their contrast is set: what is left is shape, not single pixels.
    """
    if projections.shape[-1] > side and len(projections):
        projections = F.interpolate(projections, (side, side), mode="area")
    share = chroma_share(projections.numpy())
    drawn = [muted(values, share) for values in projections.numpy()]
    return [signed_tile(values, contrast(values) or None) for values in drawn]


def feature_grid(view: FeatureView, title: str, side: int = SIDE) -> Packed:
    """Fig. 2: for each map nine projections beside the nine image patches, strongest first; side: pixels of a tile.

    Images that do not excite the map are left out; a dead map has none. Its sheet says where each map's tiles begin,
    how many of the nine there are, by which rule they were projected and what part of their fields they show.
    """
    tiles = [map_tiles(view, position, side) for position in range(len(view.maps))]
    captions = [_caption(view, position) for position in range(len(view.maps))]
    blocks = [Block(caption, each.projections, each.patches) for caption, each in zip(captions, tiles, strict=True)]
    drawn = top9_grid(blocks, title, side=side, note=f"left: projections by {view.rule.words}")
    places = {name: list(map(list, getattr(drawn, name))) for name in ("projections", "patches")}
    sheet = {"size": list(drawn.image.size), "tile": drawn.tile, "step": drawn.step, "maps": view.maps, **places}
    sheet |= {"count": [len(each.patches) for each in tiles], "rule": view.rule.words}
    cuts = [[each.cut[0], [list(corner) for corner in each.cut[1]]] for each in tiles]
    return Packed(drawn.image, sheet | {"cuts": cuts})


def strongest_tiles(drawn: Packed, side: int) -> list[Tile]:
    """For each map of a grid the projection of its strongest image, [side, side, 3]; mid gray for a dead map."""
    sheet, tiles = drawn.sheet, []
    for (x, y), count in zip(sheet["projections"], sheet["count"], strict=True):
        tile = np.asarray(drawn.image.crop((x, y, x + sheet["tile"], y + sheet["tile"])))
        tiles.append(np.asarray(resized(tile, side)) if count else np.full((side, side, 3), GRAY, np.uint8))
    return tiles


def exciting_images(view: FeatureView) -> list[int]:
    """The images that the view's tiles come from, each once."""
    return sorted(view.top.image[(view.top.image >= 0) & (view.top.score > 0)].unique().tolist())


def thumbnail_sheets(images: SplitPixels, indices: Sequence[int]) -> Iterator[Packed]:
    """The whole images of these indices, 100 on a sheet in their order; a sheet says each one's class and name."""
    for first in range(0, len(indices), 100):
        part = list(indices[first : first + 100])
        tiles = images.data.pixels(images.split, part).permute(0, 2, 3, 1).numpy()
        about = {"images": part, "labels": images.data.labels(images.split, part).tolist()}
        about["names"] = images.data.names(images.split, part)
        sheet = {"tile": THUMBNAIL, "columns": COLUMNS, **about}
        yield Packed(thumbnails(list(tiles), COLUMNS, THUMBNAIL), sheet)


def rules_sheet(views: Mapping[str, FeatureView], title: str, most: int = 3) -> Image.Image:
    """The `most` strongest patches of each map beside their projections by each rule. views: by rule, of one record."""
    every = list(views.values())
    maps = []
    for position in range(len(every[0].maps)):
        tiles = [map_tiles(view, position, SIDE, every) for view in every]
        projections = [each.projections[:most] for each in tiles]
        maps.append(Compared(_caption(every[0], position), tiles[0].patches[:most], projections))
    return rules_grid(maps, list(views), title, most, SIDE)


def _caption(view: FeatureView, position: int) -> str:
    strength = float(view.top.score[position, 0])
    words = f"{strength:.0f}" if 100 <= strength < 1e6 else f"{strength:.3g}"
    return f"{view.layer} map {view.maps[position]} · {words if excited_count(view, position) else 'dead'}"


GAP, BETWEEN = 2, 16  # pixels between tiles, between groups of tiles


class Compared(NamedTuple):
    """One feature map: its strongest image patches, and for each rule their projections, in the same order."""

    caption: str
    patches: Sequence[Tile]
    projections: Sequence[Sequence[Tile]]


def rules_grid(maps: Sequence[Compared], rules: Sequence[str], title: str, most: int, side: int = 72) -> Image.Image:
    """A row for each map: up to `most` patches, then the projections of each rule under the rule's name.

    An outline shows the place of an image that there is none of.
    """
    left = max(width(one.caption, 14) for one in maps) + MARGIN if maps else MARGIN
    group = most * (side + GAP) - GAP
    columns = [MARGIN + left + number * (group + BETWEEN) for number in range(len(rules) + 1)]
    inner = max(columns[-1] + group - MARGIN, min(width(title, TITLE), 1500))
    sheet = Image.new("RGB", (inner + 2 * MARGIN, HEAD + 22 + len(maps) * (side + 8) - 8 + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    for x, words in zip(columns, ["image patches", *rules], strict=True):
        write(draw, (x, HEAD + 12), words, color=FAINT, room=group)
    for number, one in enumerate(maps):
        y = HEAD + 22 + number * (side + 8)
        write(draw, (MARGIN, y + side // 2), one.caption, room=left, anchor="lm")
        for x, tiles in zip(columns, [one.patches, *one.projections], strict=True):
            _strip(sheet, (x, y), [*tiles[:most], *[None] * (most - len(tiles))], side)
    return sheet


def _strip(sheet: Image.Image, place: tuple[int, int], tiles: Sequence[Tile | None], side: int) -> None:
    x, y = place
    for tile in tiles:
        if tile is None:
            ImageDraw.Draw(sheet).rectangle((x, y, x + side - 1, y + side - 1), outline=OUTLINE)
        else:
            sheet.paste(resized(tile, side), (x, y))
        x += side + GAP
