"""The same units projected down by several rules, side by side."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from convscope.draw.grid import HEAD, MARGIN, OUTLINE, PAPER
from convscope.draw.lettering import FAINT, TITLE, width, write
from convscope.draw.tile import Tile, resized

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
