"""Fig. 7: an image under a gray square, and the net's answers for every position of the square."""

from collections.abc import Mapping, Sequence
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
    ColorScale,
    blended,
    draw_color_bar,
    heat_tile,
    label_tile,
    name_marks,
    nearest_value_map,
    scale_of,
)
from convscope.plots.lettering import CAPTION, FAINT, INK, TITLE, percent, write
from convscope.plots.tile import Tile, resized

PAPER, MARGIN, GAP = (247, 247, 248), 20, 22
BAR_ROOM, LEGEND_ROOM = 74, 176  # right of a heat map and of the map of labels
HEADS = (
    ("a  the image", "square at its worst place", 0),
    ("b  activity of the map", "% of that uncovered", BAR_ROOM),
    ("c  its projections", "framed: of this image", 0),
    ("", "and of its top images", 0),
    ("c' change of projection", "% of its length", BAR_ROOM),
    ("d  probability of the class", "change in points of 100 %", BAR_ROOM),
    ("e  most probable class", "at each place of the square", LEGEND_ROOM),
)


MARKS = {
    "arrow": "on a color bar: the value without the square; all images have one scale for each column",
    "square": "in a: the square, where the class is least probable",
    "frame": "in c: projection of this image and its patch",
    "none": "not covered",
}


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
    title = f"{name} · {class_}: probability {percent(image.probability)}, at the worst place {percent(lowest)}"
    if image.probable != image.target:
        title += f"; the net says {image.classes[image.probable]}"
    return f"{title} · {image.view.layer} map {image.map}"


def shared_scales(cases: Sequence[Case]) -> dict[str, ColorScale]:
    """The color scale of each column for all these images, so that their colors can be compared.

    Each holds the value without the square; changes of the probability below one point are not spread over all colors.
    """
    scales = {}
    for column in _heats(cases[0]):
        values = [_heats(case)[column] for case in cases]
        low, high = scale_of(np.concatenate([np.append(of_case.places, of_case.uncovered) for of_case in values]))
        scales[column] = ColorScale(min(low, high - (column == "d")), high)
    return scales


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
    step, scales = side + 42, shared_scales(cases)
    sheet, draw = _sheet(len(cases) * step, side, title, cases[0].change is not None)
    for number, case in enumerate(cases):
        y = 104 + number * step
        write(draw, (MARGIN, y + 18), case.title, room=sheet.width - 2 * MARGIN)
        _row(sheet, y + 26, side, case, scales)
    return sheet


def picture(case: Case, title: str, scales: Mapping[str, ColorScale], side: int = 216) -> Image.Image:
    """One image, larger: the row of Fig. 7, and below it the same maps laid over the image.

    scales: of the colors, by shared_scales.
    """
    step = side + GAP
    sheet, draw = _sheet(2 * step + 26, side, title, case.change is not None)
    write(draw, (MARGIN, 122), case.title, room=sheet.width - 2 * MARGIN)
    _row(sheet, 130, side, case, scales)
    image = np.asarray(resized(case.image, side))
    starts = _starts(side, case.change is not None)
    y = 130 + step
    sheet.paste(Image.fromarray(image), (starts["a"], y))
    for column, values in _heats(case).items():
        wide = nearest_value_map(values.places, case.centers, len(case.image), side)
        colors = heat_tile(wide, scales[column])
        sheet.paste(Image.fromarray(blended(image, colors, wide)), (starts[column], y))
    wide = nearest_value_map(case.labels, case.centers, len(case.image), side)
    sheet.paste(Image.fromarray(blended(image, label_tile(wide), wide)), (starts["e"], y))
    for column, tiles in (("c", case.projections), ("patches", case.patches)):
        if len(tiles):
            sheet.paste(resized(tiles[0], side), (starts[column], y))
    return sheet


def _row(sheet: Image.Image, y: int, side: int, case: Case, scales: Mapping[str, ColorScale]) -> None:
    """The columns of one image, from its own image to the legend."""
    starts, draw = _starts(side, case.change is not None), ImageDraw.Draw(sheet)
    sheet.paste(resized(case.covered, side), (starts["a"], y))
    left, top, size = (round(length * side / len(case.image)) for length in case.square)
    box = (starts["a"] + left, y + top, starts["a"] + left + size - 1, y + top + size - 1)
    draw.rectangle(box, outline=(255, 255, 255))
    draw.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), outline=INK)
    for column, values in _heats(case).items():
        wide = nearest_value_map(values.places, case.centers, len(case.image), side)
        sheet.paste(Image.fromarray(heat_tile(wide, scales[column])), (starts[column], y))
        draw_color_bar(sheet, (starts[column] + side + 8, y), side, scales[column], values.uncovered)
    _nine(sheet, (starts["c"], y), case.projections, side)
    _nine(sheet, (starts["patches"], y), case.patches, side)
    labels = nearest_value_map(case.labels, case.centers, len(case.image), side)
    sheet.paste(Image.fromarray(label_tile(labels)), (starts["e"], y))
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
        write(draw, (x + 54, y + 13), percent(label.share), size=BAR_LETTERS, color=FAINT, anchor="rs")
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
    """What columns b, c' and d show, in percent. A map without activity has nothing to be compared with: nan."""
    active = case.activity.uncovered if case.activity.uncovered > 0 else np.nan
    points = case.probability.places - np.nan_to_num(case.probability.uncovered)
    heats = {"b": Values(100 * case.activity.places / active, 100.0), "d": Values(100 * points, 0.0)}
    return heats if case.change is None else heats | {"change": Values(100 * case.change.places)}


def _starts(side: int, change: bool) -> dict[str, int]:
    """Left edge of each column."""
    names = ["a", "b", "c", "patches", *(["change"] if change else []), "d", "e", "end"]
    widths = [side + room for _, _, room in _heads(change)]
    starts = np.cumsum([MARGIN, *(width + GAP for width in widths)])
    return {name: int(start) for name, start in zip(names, starts, strict=True)}


def _heads(change: bool) -> list[tuple[str, str, int]]:
    return [head for head in HEADS if change or head[0][:2] != "c'"]


def _sheet(height: int, side: int, title: str, change: bool) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Paper with the title, the heads of the columns and the legend of the marks; rows begin at 104."""
    starts = _starts(side, change)
    sheet = Image.new("RGB", (starts["end"] - GAP + MARGIN, 138 + height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    name_marks(draw, (MARGIN, 124 + height), MARKS, GAP)
    write(draw, (MARGIN, 34), title, size=TITLE, room=sheet.width - 2 * MARGIN)
    for start, (head, note, room) in zip(starts.values(), _heads(change), strict=False):
        write(draw, (start, 70), head, size=CAPTION, room=side + room + GAP - 6)
        write(draw, (start, 88), note, size=BAR_LETTERS, color=FAINT, room=side + room + GAP - 6)
    return sheet, draw
