"""Fig. 7: an image under a gray square, and the net's answers for every position of the square."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.analyses.occlusion.compute.examples import OccludedImage
from convscope.analyses.visualize.figure import map_tiles
from convscope.plots.heatmap import (
    BAR_LETTERS,
    LABEL_COLORS,
    OTHER_COLOR,
    blended,
    draw_color_bar,
    heat_tile,
    label_tile,
    nearest_value_map,
    scale_of,
)
from convscope.plots.lettering import CAPTION, FAINT, INK, TITLE, write
from convscope.plots.tile import Tile, resized

PAPER, MARGIN, GAP = (247, 247, 248), 20, 22
BAR_ROOM, LEGEND_ROOM = 74, 176  # right of a heat map and of the map of labels
HEADS = (
    ("a  the image", "square at its worst place", 0),
    ("b  activity of the map", "at each place of the square", BAR_ROOM),
    ("c  its projections", "framed: of this image", 0),
    ("", "and of its top images", 0),
    ("c' change of projection", "relative to its length", BAR_ROOM),
    ("d  probability of the class", "at each place of the square", BAR_ROOM),
    ("e  most probable class", "at each place of the square", LEGEND_ROOM),
)


class Values(NamedTuple):
    """A number for each position of the square [n, n], and the one without the square (nan: nothing to mark)."""

    places: NDArray[np.float64]
    uncovered: float = float("nan")


class Label(NamedTuple):
    """A class in the legend and the share of positions where it is the most probable."""

    name: str
    share: float


class Case(NamedTuple):
    """One image. title: a line about it. image, covered [S, S, 3]: without and with the square at its worst position.

    square: left, top and side in pixels. centers [n]: of the square at its positions, along either side. change: None
    where it was not computed. labels [n, n]: numbers of `legend`; beyond it, all other classes. projections, patches:
    up to nine tiles, those of this image first.
    """

    title: str
    image: Tile
    covered: Tile
    square: tuple[int, int, int]
    centers: NDArray[np.float64]
    activity: Values
    change: Values | None
    probability: Values
    labels: NDArray[np.int64]
    legend: Sequence[Label]
    projections: Sequence[Tile]
    patches: Sequence[Tile]


def example_case(name: str, image: OccludedImage) -> Case:
    """One example image as a row of Fig. 7. name: of the image."""
    row, col = image.worst
    y, x, size = image.edges[row], image.edges[col], image.occluder.size
    covered = image.pixels.copy()
    covered[y : y + size, x : x + size] = image.gray[y : y + size, x : x + size]
    labels, legend = _most_probable(image)
    tiles = map_tiles(image.view, 0, side=216)
    return Case(
        title=_case_title(name, image),
        image=image.pixels,
        covered=covered,
        square=(x, y, size),
        centers=image.centers,
        activity=Values(image.occluded.activity.double().numpy(), image.activity),
        change=None if image.change is None else Values(image.change.double().numpy()),
        probability=Values(image.occluded.probability.double().numpy(), image.probability),
        labels=labels,
        legend=legend,
        projections=tiles.projections,
        patches=tiles.patches,
    )


def _case_title(name: str, image: OccludedImage) -> str:
    lowest, class_ = float(image.occluded.probability.min()), image.classes[image.target]
    class_ = f"{image.unknown}, unknown to the net, seen as {class_}" if image.unknown else class_
    title = f"{name} · {class_}: probability {image.probability:.3g}, at the worst place {lowest:.3g}"
    if image.probable != image.target:
        title += f"; the net says {image.classes[image.probable]}"
    return f"{title} · {image.view.layer} map {image.map}"


def _most_probable(image: OccludedImage) -> tuple[NDArray[np.int64], list[Label]]:
    """The most probable classes as numbers of a legend: the one without the square first, then the most frequent."""
    probable = image.occluded.probable.numpy()
    classes, counts = np.unique(probable, return_counts=True)
    numbers, legend = np.zeros_like(probable), []
    for number, at in enumerate(np.lexsort((classes, -counts, classes != image.probable))):
        numbers[probable == classes[at]] = number
        legend.append(Label(image.classes[classes[at]], counts[at] / probable.size))
    return numbers, legend


def figure(cases: Sequence[Case], title: str, side: int = 150) -> Image.Image:
    """Fig. 7 with a row for each image; `side`: pixels of a tile."""
    step = side + 42
    sheet, draw = _sheet(len(cases) * step, side, title, cases[0].change is not None)
    for number, case in enumerate(cases):
        y = 104 + number * step
        write(draw, (MARGIN, y + 18), case.title, room=sheet.width - 2 * MARGIN)
        _row(sheet, y + 26, side, case)
    return sheet


def picture(case: Case, title: str, side: int = 216) -> Image.Image:
    """One image, larger: the row of Fig. 7, and below it the same maps laid over the image."""
    step = side + GAP
    sheet, draw = _sheet(2 * step + 26, side, title, case.change is not None)
    write(draw, (MARGIN, 122), case.title, room=sheet.width - 2 * MARGIN)
    _row(sheet, 130, side, case)
    image = np.asarray(resized(case.image, side))
    starts = _starts(side, case.change is not None)
    y = 130 + step
    sheet.paste(Image.fromarray(image), (starts["a"], y))
    for column, values in _heats(case).items():
        wide = nearest_value_map(values.places, case.centers, len(case.image), side)
        sheet.paste(
            Image.fromarray(blended(image, heat_tile(wide, scale_of(values.places)), wide)), (starts[column], y)
        )
    wide = nearest_value_map(case.labels, case.centers, len(case.image), side)
    sheet.paste(Image.fromarray(blended(image, label_tile(wide), wide)), (starts["e"], y))
    for column, tiles in (("c", case.projections), ("patches", case.patches)):
        if len(tiles):
            sheet.paste(resized(tiles[0], side), (starts[column], y))
    return sheet


def _row(sheet: Image.Image, y: int, side: int, case: Case) -> None:
    """The columns of one image, from its own image to the legend."""
    starts, draw = _starts(side, case.change is not None), ImageDraw.Draw(sheet)
    sheet.paste(resized(case.covered, side), (starts["a"], y))
    left, top, size = (round(length * side / len(case.image)) for length in case.square)
    box = (starts["a"] + left, y + top, starts["a"] + left + size - 1, y + top + size - 1)
    draw.rectangle(box, outline=(255, 255, 255))
    draw.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), outline=INK)
    for column, values in _heats(case).items():
        scale = scale_of(values.places)
        wide = nearest_value_map(values.places, case.centers, len(case.image), side)
        sheet.paste(Image.fromarray(heat_tile(wide, scale)), (starts[column], y))
        draw_color_bar(sheet, (starts[column] + side + 8, y), side, scale, values.uncovered)
    _nine(sheet, (starts["c"], y), case.projections, side)
    _nine(sheet, (starts["patches"], y), case.patches, side)
    sheet.paste(
        Image.fromarray(label_tile(nearest_value_map(case.labels, case.centers, len(case.image), side))),
        (starts["e"], y),
    )
    _legend(draw, (starts["e"] + side + 10, y), case.legend)


def _legend(draw: ImageDraw.ImageDraw, place: tuple[int, int], legend: Sequence[Label]) -> None:
    """A line for each class that has a color of its own, one for all the others."""
    share = sum(label.share for label in legend[len(LABEL_COLORS) :])
    lines = [*zip(LABEL_COLORS, legend, strict=False)]
    if legend[len(LABEL_COLORS) :]:
        lines.append((OTHER_COLOR, Label(f"{len(legend) - len(LABEL_COLORS)} others", share)))
    for number, (color, label) in enumerate(lines):
        x, y = place[0], place[1] + 18 * number
        draw.rectangle((x, y + 2, x + 11, y + 13), fill=color)
        percent = "< 1 %" if 0 < label.share < 0.005 else f"{100 * label.share:.0f} %"
        write(draw, (x + 54, y + 13), percent, size=BAR_LETTERS, color=FAINT, anchor="rs")
        write(draw, (x + 60, y + 13), label.name, size=BAR_LETTERS, room=LEGEND_ROOM - 70)


def _nine(sheet: Image.Image, place: tuple[int, int], tiles: Sequence[Tile], side: int) -> None:
    """3 x 3 tiles, the first one framed."""
    small = (side - 4) // 3
    for number, tile in enumerate(tiles[:9]):
        x, y = place[0] + number % 3 * (small + 2), place[1] + number // 3 * (small + 2)
        sheet.paste(resized(tile, small), (x, y))
        if number == 0:
            ImageDraw.Draw(sheet).rectangle((x, y, x + small - 1, y + small - 1), outline=(0, 0, 0), width=2)


def _heats(case: Case) -> dict[str, Values]:
    heats = {"b": case.activity, "d": case.probability}
    return heats if case.change is None else heats | {"change": case.change}


def _starts(side: int, change: bool) -> dict[str, int]:
    """Left edge of each column."""
    names = ["a", "b", "c", "patches", *(["change"] if change else []), "d", "e", "end"]
    widths = [side + room for _, _, room in _heads(change)]
    starts = np.cumsum([MARGIN, *(width + GAP for width in widths)])
    return {name: int(start) for name, start in zip(names, starts, strict=True)}


def _heads(change: bool) -> list[tuple[str, str, int]]:
    return [head for head in HEADS if change or head[0][:2] != "c'"]


def _sheet(height: int, side: int, title: str, change: bool) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Paper with the title and the heads of the columns; rows begin at 104."""
    starts = _starts(side, change)
    sheet = Image.new("RGB", (starts["end"] - GAP + MARGIN, 104 + height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, 34), title, size=TITLE, room=sheet.width - 2 * MARGIN)
    for start, (head, note, room) in zip(starts.values(), _heads(change), strict=False):
        write(draw, (start, 70), head, size=CAPTION, room=side + room + GAP - 6)
        write(draw, (start, 88), note, size=BAR_LETTERS, color=FAINT, room=side + room + GAP - 6)
    return sheet, draw
