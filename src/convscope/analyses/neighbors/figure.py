"""Test images with their most probable classes and their nearest training images (Krizhevsky et al. 2012, Fig. 4)."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from convscope.plots.grid import BACKGROUND, MARGIN, OUTLINE, TITLE_HEIGHT
from convscope.plots.lettering import FAINT, INK, TITLE, percent, width, write
from convscope.plots.tile import Tile, resized

SIDE, GAP = 112, 10  # pixels of an image, between images
NAMES, LENGTH, PERCENT = 150, 110, 46  # pixels for the names of the bars, a bar of 100 %, its number
STEP = SIDE + 58  # from one row to the next: the image, words above and below
SMALL = 12  # letters above a neighbor: names are long, neighbors are narrow
TRUE, OTHER = (31, 59, 115), (196, 205, 224)
MARK = "✓ "  # before names of the true class


class Bar(NamedTuple):
    """One of the most probable classes. true: whether the image is of that class."""

    name: str
    probability: float
    true: bool


class Neighbor(NamedTuple):
    """A training image. same_class: whether it is of the test image's class. same_image: whether it is that image."""

    image: Tile
    name: str
    distance: float
    same_class: bool
    same_image: bool = False


class Answer(NamedTuple):
    """A test image, the name of its class, its bars, a line of text below them, its neighbors, nearest first."""

    image: Tile
    name: str
    bars: Sequence[Bar]
    note: str
    nearest: Sequence[Neighbor]


def neighbors_sheet(answers: Sequence[Answer], title: str, layer: str) -> Image.Image:
    """Rows for the test images: the image, its bars, its neighbors with their classes and distances.

    Bars and neighbors of the true class have a check mark before their name. Long names end in an ellipsis.
    """
    columns = max(len(answer.nearest) for answer in answers)
    left = MARGIN + SIDE + 2 * GAP  # of the bars
    right = left + NAMES + LENGTH + PERCENT + 3 * GAP  # of the neighbors
    inner = max(right + columns * (SIDE + GAP) - GAP - MARGIN, min(width(title, TITLE), 1500))
    sheet = Image.new("RGB", (inner + 2 * MARGIN, TITLE_HEIGHT + 24 + len(answers) * STEP + MARGIN // 2), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 33), title, size=TITLE, room=inner)
    heads = [(MARGIN, "test image"), (left, f"most probable classes · {MARK}true class"),
             (right, f"nearest training images · distance in {layer}")]  # fmt: skip
    for x, words in heads:
        write(draw, (x, TITLE_HEIGHT + 12), words, color=FAINT, room=inner + MARGIN - x)
    for number, answer in enumerate(answers):
        y = TITLE_HEIGHT + 24 + number * STEP
        write(draw, (MARGIN, y + 17), answer.name, room=SIDE + GAP)
        sheet.paste(resized(answer.image, SIDE), (MARGIN, y + 24))
        _bars(draw, (left, y + 24), answer)
        for place, neighbor in enumerate(answer.nearest):
            _neighbor(sheet, (right + place * (SIDE + GAP), y), neighbor)
    return sheet


def _bars(draw: ImageDraw.ImageDraw, place: tuple[int, int], answer: Answer) -> None:
    x, y = place
    start = x + NAMES + GAP
    for number, bar in enumerate(answer.bars):
        middle = y + 11 + number * 22
        write(draw, (x, middle), MARK + bar.name if bar.true else bar.name, room=NAMES, anchor="lm")
        long = start + max(1, round(LENGTH * bar.probability))
        draw.rectangle((start, middle - 7, long, middle + 7), TRUE if bar.true else OTHER, TRUE)
        write(draw, (long + 6, middle), percent(bar.probability), color=INK if bar.true else FAINT, anchor="lm")
    write(draw, (x, y + SIDE + 17), answer.note, color=FAINT, room=NAMES + LENGTH + PERCENT + GAP)


def _neighbor(sheet: Image.Image, place: tuple[int, int], neighbor: Neighbor) -> None:
    draw, (x, y) = ImageDraw.Draw(sheet), place
    write(draw, (x, y + 17), MARK + neighbor.name if neighbor.same_class else neighbor.name, SMALL, SIDE + GAP - 3)
    sheet.paste(resized(neighbor.image, SIDE), (x, y + 24))
    draw.rectangle((x, y + 24, x + SIDE - 1, y + 24 + SIDE - 1), outline=OUTLINE)
    words = "the same image" if neighbor.same_image else f"{neighbor.distance:#.4g}".rstrip(".")
    write(draw, (x, y + 24 + SIDE + 17), words, color=INK if neighbor.same_image else FAINT, room=SIDE + GAP)
