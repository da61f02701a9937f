"""Some images of each class, a row for each class."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from convscope.plots.grid import BACKGROUND, GAP, MARGIN, OUTLINE, TITLE_HEIGHT
from convscope.plots.lettering import CAPTION, FAINT, TITLE, width, write
from convscope.plots.tile import Tile, resized

SIDE, MAX_NAME_WIDTH = 96, 200  # pixels of an image, and of the column of names at the left


class ClassSamples(NamedTuple):
    """A class: its name, words in a pale color below the name, its images."""

    name: str
    words: str
    tiles: Sequence[Tile]


def samples_sheet(rows: Sequence[ClassSamples], title: str) -> Image.Image:
    """The rows from the top down; an outline stands for each image that a class has fewer than the longest row."""
    left = min(MAX_NAME_WIDTH, max(width(text, CAPTION) for row in rows for text in (row.name, row.words))) + 14
    columns, step = max(1, *(len(row.tiles) for row in rows), 1), SIDE + 2 * GAP
    inner = max(left + columns * step - 2 * GAP, min(width(title, TITLE), 1200))
    sheet = Image.new("RGB", (inner + 2 * MARGIN, TITLE_HEIGHT + len(rows) * step - 2 * GAP + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    for number, row in enumerate(rows):
        y = TITLE_HEIGHT + number * step
        write(draw, (MARGIN, y + SIDE // 2 - 2), row.name, room=left - 14)
        write(draw, (MARGIN, y + SIDE // 2 + 16), row.words, color=FAINT, room=left - 14)
        for column in range(columns):
            x = MARGIN + left + column * step
            if column < len(row.tiles):
                sheet.paste(resized(row.tiles[column], SIDE), (x, y))
            else:
                draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=OUTLINE)
    return sheet
