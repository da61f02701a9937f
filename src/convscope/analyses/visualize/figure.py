"""Feature views as pictures: the grid of Fig. 2, rules side by side, whole images, receptive fields."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from convscope.analyses.visualize.about import SIDE
from convscope.analyses.visualize.compute import OUTSIDE, FeatureView, SplitPixels, count_exciting
from convscope.engine.energy_squares import energy_squares
from convscope.engine.layers import LayerSummary
from convscope.engine.regions import cut_regions
from convscope.plots.grid import BACKGROUND, MARGIN, OUTLINE, TITLE_HEIGHT, MapTiles, thumbnails, top9_grid
from convscope.plots.lettering import FAINT, TITLE, width, write
from convscope.plots.receptive_fields import MAX_LAYERS, LayerField, receptive_field_figure
from convscope.plots.tile import GRAY, Tile, chroma_share, contrast, muted, resized, signed_tile

THUMBNAIL, COLUMNS = 112, 10  # pixels of a whole image's thumbnail; of them in a row
STRIP_COLUMNS = 8  # maps in a row of a strip


class Packed(NamedTuple):
    """A picture of many tiles, and its `sheet`: where each tile lies on it, in its pixels (record.Picture)."""

    image: Image.Image
    sheet: dict[str, Any]


class Tiles(NamedTuple):
    """Projections of one map's strongest images and the same patches, [<= side, <= side, 3] uint8 each.

    cut: pixels of the squares' side, and the row and column of the field at which each begins.
    """

    projections: list[Tile]
    patches: list[Tile]
    cut: tuple[int, list[tuple[int, int]]]


def map_tiles(view: FeatureView, position: int, side: int = SIDE, beside: Sequence[FeatureView] = ()) -> Tiles:
    """The tiles of the images that excite the map at `position`, cut to where their projections have their energy.

    beside: views of the same record by other rules, whose energy must lie in the cuts too, so that they are the same.
    """
    count = count_exciting(view, position)
    if not count:
        return Tiles([], [], (0, []))
    values = [by_rule.projections[position, :count] for by_rule in (view, *beside)]
    if beside:
        values = [F.normalize(by_rule.flatten(1), dim=1).view_as(by_rule) for by_rule in values]
    squares = energy_squares(torch.cat(values, 1) if beside else values[0])
    projections = cut_regions(view.projections[position, :count], torch.arange(count), squares)
    windows = cut_regions(view.patches[position, :count], torch.arange(count), squares, OUTSIDE)
    corners = list(zip(squares.rows.start.tolist(), squares.cols.start.tolist(), strict=True))
    tiles = projection_tiles(projections, side), list(windows.permute(0, 2, 3, 1).numpy())
    return Tiles(*tiles, (squares.rows.size, corners))


def projection_tiles(projections: torch.Tensor, side: int = SIDE) -> list[Tile]:
    """Pictures [<= side, <= side, 3] uint8 of projections [n, 3, S, S] of one map.

    Large ones shrink as signed values, before their contrast is set, so that shape remains, not single pixels.
    """
    if projections.shape[-1] > side and len(projections):
        projections = F.interpolate(projections, (side, side), mode="area")
    share = chroma_share(projections.numpy())
    drawn = [muted(values, share) for values in projections.numpy()]
    return [signed_tile(values, contrast(values) or None) for values in drawn]


def feature_grid(view: FeatureView, title: str, side: int = SIDE) -> Packed:
    """Fig. 2: for each map nine projections beside the nine image patches, strongest first; side: pixels of a tile.

    Images that do not excite the map are left out; a dead map has none. The sheet holds where each map's tiles begin,
    how many of the nine there are, the rule of projection and the part of their fields that they show.
    """
    tiles = [map_tiles(view, position, side) for position in range(len(view.maps))]
    captions = [_caption(view, position) for position in range(len(view.maps))]
    blocks = [MapTiles(caption, pair.projections, pair.patches) for caption, pair in zip(captions, tiles, strict=True)]
    drawn = top9_grid(blocks, title, _columns(len(blocks)), side, note=f"left: projections by {view.how}")
    places = {name: list(map(list, getattr(drawn, name))) for name in ("projections", "patches")}
    sheet = {"size": list(drawn.image.size), "tile": drawn.tile, "step": drawn.step, "maps": view.maps, **places}
    sheet |= {"count": [len(pair.patches) for pair in tiles], "rule": view.rule.words}
    cuts = [[pair.cut[0], [list(corner) for corner in pair.cut[1]]] for pair in tiles]
    return Packed(drawn.image, sheet | {"cuts": cuts})


def _columns(count: int) -> int:
    """Columns for `count` blocks, which are twice as wide as high: near a square, or one more for a fuller last row."""
    square = max(3, round((count / 2) ** 0.5))
    return min(square, square + 1, key=lambda columns: -count % columns)


def strip_sheet(drawn: Packed) -> Packed:
    """The strongest projections of the maps of a grid alone, edge to edge: a small picture for a map over the epochs.

    Mid gray for a dead map. The sheet holds the maps in reading order.
    """
    side, tiles = drawn.sheet["tile"], []
    for (x, y), count in zip(drawn.sheet["projections"], drawn.sheet["count"], strict=True):
        tile = np.asarray(drawn.image.crop((x, y, x + side, y + side)))
        tiles.append(tile if count else np.full((side, side, 3), GRAY, np.uint8))
    sheet = {"tile": side, "columns": STRIP_COLUMNS, "maps": drawn.sheet["maps"]}
    return Packed(thumbnails(tiles, STRIP_COLUMNS, side), sheet)


def exciting_images(view: FeatureView) -> list[int]:
    """The indices of the images that the view's tiles come from, each once."""
    return sorted(view.top.image[(view.top.image >= 0) & (view.top.score > 0)].unique().tolist())


def thumbnail_sheets(images: SplitPixels, indices: Sequence[int]) -> Iterator[Packed]:
    """Sheets of the whole images of these indices, 100 on each in their order, with the images' classes and names."""
    for first in range(0, len(indices), 100):
        part = list(indices[first : first + 100])
        tiles = images.data.pixels(images.split, part).permute(0, 2, 3, 1).numpy()
        about = {"images": part, "labels": images.data.labels(images.split, part).tolist()}
        about["names"] = images.data.names(images.split, part)
        sheet = {"tile": THUMBNAIL, "columns": COLUMNS, **about}
        yield Packed(thumbnails(list(tiles), COLUMNS, THUMBNAIL), sheet)


def rules_sheet(views: Mapping[str, FeatureView], title: str, count: int = 3) -> Image.Image:
    """The `count` strongest patches of each map beside their projections by each rule.

    views: by rule, of one record.
    """
    by_rule = list(views.values())
    maps = []
    for position in range(len(by_rule[0].maps)):
        tiles = [map_tiles(view, position, SIDE, by_rule) for view in by_rule]
        projections = [pair.projections[:count] for pair in tiles]
        maps.append(RulesOfMap(_caption(by_rule[0], position), tiles[0].patches[:count], projections))
    return rules_grid(maps, list(views), title, count, SIDE)


def _caption(view: FeatureView, position: int) -> str:
    strength = float(view.top.score[position, 0])
    words = f"{strength:.0f}" if 100 <= strength < 1e6 else f"{strength:.3g}"
    return f"{view.layer} map {view.maps[position]} · {words if count_exciting(view, position) else 'dead'}"


GAP, BETWEEN = 2, 16  # pixels between tiles, between groups of tiles


class RulesOfMap(NamedTuple):
    """A feature map's strongest image patches, and for each rule their projections, in the same order."""

    caption: str
    patches: Sequence[Tile]
    projections: Sequence[Sequence[Tile]]


def rules_grid(maps: Sequence[RulesOfMap], rules: Sequence[str], title: str, count: int, side: int = 72) -> Image.Image:
    """Rows for the maps: up to `count` patches, then the projections of each rule under the rule's name.

    An outline marks the place of a missing image.
    """
    left = max(width(row.caption, 14) for row in maps) + MARGIN if maps else MARGIN
    group = count * (side + GAP) - GAP
    columns = [MARGIN + left + number * (group + BETWEEN) for number in range(len(rules) + 1)]
    inner = max(columns[-1] + group - MARGIN, min(width(title, TITLE), 1500))
    sheet = Image.new("RGB", (inner + 2 * MARGIN, TITLE_HEIGHT + 22 + len(maps) * (side + 8) - 8 + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    for x, words in zip(columns, ["image patches", *rules], strict=True):
        write(draw, (x, TITLE_HEIGHT + 12), words, color=FAINT, room=group)
    for number, row in enumerate(maps):
        y = TITLE_HEIGHT + 22 + number * (side + 8)
        write(draw, (MARGIN, y + side // 2), row.caption, room=left, anchor="lm")
        for x, tiles in zip(columns, [row.patches, *row.projections], strict=True):
            _strip(sheet, (x, y), [*tiles[:count], *[None] * (count - len(tiles))], side)
    return sheet


def _strip(sheet: Image.Image, place: tuple[int, int], tiles: Sequence[Tile | None], side: int) -> None:
    x, y = place
    for tile in tiles:
        if tile is None:
            ImageDraw.Draw(sheet).rectangle((x, y, x + side - 1, y + side - 1), outline=OUTLINE)
        else:
            sheet.paste(resized(tile, side), (x, y))
        x += side + GAP


def receptive_fields_plot(image: Tile, layers: Sequence[LayerSummary]) -> Figure:
    """The fields of some layers' central units and the places of all units, over an image [S, S, 3]."""
    return receptive_field_figure(image, [_sight(layer, image.shape) for layer in layers_to_draw(layers, len(image))])


def layers_to_draw(layers: Sequence[LayerSummary], image_size: int) -> list[LayerSummary]:
    """At most MOST layers, each with another field: evenly spread from the first to the first that sees all."""
    distinct = list({layer.field and layer.field.rows.size: layer for layer in reversed(layers)}.values())[::-1]
    covers = [layer.field is None or layer.field.rows.size >= image_size for layer in distinct]
    candidates = distinct[: covers.index(True) + 1] if True in covers else distinct
    places = np.linspace(0, len(candidates) - 1, min(MAX_LAYERS, len(candidates))).round().astype(int)
    return [candidates[place] for place in places]


def _sight(layer: LayerSummary, sides: Sequence[int]) -> LayerField:
    if layer.field is None:
        return LayerField(layer.name, None)
    rows, cols = (
        [span.start + (span.size - 1) / 2 + span.stride * place for place in range(count)]
        for span, count in zip(layer.field, (layer.rows, layer.cols), strict=True)
    )
    middles = zip((rows, cols), sides, strict=False)
    row, col = (int(np.abs(np.array(centers) - (side - 1) / 2).argmin()) for centers, side in middles)
    return LayerField(layer.name, layer.field.box(row, col), rows, cols)
