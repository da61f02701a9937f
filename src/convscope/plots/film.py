"""Frames of a film: one map, or all maps of a layer, at one epoch, with the epoch in large type above."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from convscope.plots.grid import BACKGROUND, OUTLINE
from convscope.plots.lettering import CAPTION, FAINT, INK, write
from convscope.plots.tile import WEIGHTS

SIDE = 720  # pixels of the nine tiles of one map; half of the width of a frame
HEAD, EDGE, GAP = 104, 24, 6  # pixels above the tiles, around them and between them
LARGE, WORDS = 44, 26  # pixels of the epoch, and of the other text above the tiles


class Moment(NamedTuple):
    """What stands above a frame. title: what is shown. epoch: of this frame. share: of the film that is over."""

    title: str
    epoch: int
    share: float


def map_frame(projections: Sequence[Image.Image], patches: Sequence[Image.Image], moment: Moment) -> Image.Image:
    """The nine projections of a map at the left of its nine patches, each nine `SIDE` pixels wide; outlines where the
    map has fewer.
    """
    nine = SIDE + 2 * GAP
    frame, draw = _empty_frame(2 * nine + 4 * GAP, nine + CAPTION, moment)
    for column, (tiles, words) in enumerate([(projections, "projections"), (patches, "image patches")]):
        left = EDGE + column * (nine + 4 * GAP)
        for rank in range(9):
            step = SIDE // 3 + GAP
            place = left + rank % 3 * step, HEAD + rank // 3 * step
            _paste(frame, place, tiles[rank] if rank < len(tiles) else None, SIDE // 3)
        write(draw, (left, HEAD + nine + CAPTION + 2), words, size=CAPTION + 4, color=FAINT)
    if not projections:
        write(draw, (EDGE + SIDE // 2, HEAD + SIDE // 2), "dead", size=LARGE, color=FAINT, anchor="mm")
    return frame


def layer_frame(tiles: Mapping[int, Image.Image | None], moment: Moment) -> Image.Image:
    """The strongest projection of each map, in the order of the mapping, its number below; an outline for a dead map.

    About as wide as the frame of a map, with rows that are as full as they can be.
    """
    rows = math.ceil(len(tiles) / max(4, math.ceil(math.sqrt(1.6 * len(tiles)))))
    columns = max(3, math.ceil(len(tiles) / rows))  # fewer would have no room for the title
    side = 2 * SIDE // columns - GAP
    step_y = side + GAP + CAPTION + 4
    frame, draw = _empty_frame(columns * (side + GAP) - GAP, rows * step_y - GAP, moment)
    for position, (number, tile) in enumerate(tiles.items()):
        left, top = EDGE + position % columns * (side + GAP), HEAD + position // columns * step_y
        _paste(frame, (left, top), tile, side)
        if tile is None:
            write(draw, (left + side // 2, top + side // 2), "dead", size=CAPTION + 4, color=FAINT, anchor="mm")
        write(draw, (left, top + side + CAPTION), str(number), color=FAINT, room=side)
    return frame


def _empty_frame(width: int, height: int, moment: Moment) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A frame of even sides, as films need them, with its text and a line that grows over the film."""
    size = [length + length % 2 for length in (width + 2 * EDGE, height + HEAD + EDGE)]
    frame = Image.new("RGB", (size[0], size[1]), BACKGROUND)
    draw = ImageDraw.Draw(frame)
    write(draw, (EDGE, 64), moment.title, size=WORDS, room=width - 300)
    write(draw, (EDGE + width, 64), f"epoch {moment.epoch}", size=LARGE, anchor="rs")
    draw.rectangle((EDGE, 82, EDGE + width - 1, 86), fill=OUTLINE)
    draw.rectangle((EDGE, 82, EDGE + max(1, round(width * moment.share)) - 1, 86), fill=INK)
    return frame, draw


def _paste(frame: Image.Image, place: tuple[int, int], tile: Image.Image | None, side: int) -> None:
    if tile is None:
        corner = place[0] + side - 1, place[1] + side - 1
        ImageDraw.Draw(frame).rectangle((*place, *corner), outline=OUTLINE)
        return
    way = Image.Resampling.NEAREST if max(tile.size) < WEIGHTS else Image.Resampling.LANCZOS
    frame.paste(tile.resize((side, side), way), place)
