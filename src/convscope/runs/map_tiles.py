"""The tiles of single maps, cut out of the pictures of a run folder, whatever version has written it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from convscope.runs.index import IndexEntry
from convscope.runs.picture_files import opened_picture
from convscope.runs.reading import Run, read_run


class NineTiles(NamedTuple):
    """The projections of a map's strongest images and their patches, at most nine of each, strongest first."""

    projections: list[Image.Image]
    patches: list[Image.Image]


def tiles_of(run: Run | Path, layer: str, epoch: int | None = None) -> dict[int, NineTiles]:
    """Map -> its tiles at an epoch, for all maps of the layer that are drawn; a dead map has none.

    run: a run folder, or what `read_run` has read of it, which is faster for many calls. epoch: None for the grid of a
    net that was not trained in this run. Empty where nothing is drawn or the picture is damaged. The side of the tiles
    is the run's evolution.tile; runs of version 0.1 have 56 pixels.

        from convscope.runs.map_tiles import tiles_of
        tiles_of(Path("outputs/train/<run>"), "conv3", 12)[5].projections[0].save("conv3_map5.png")
    """
    entry = _entry(run, f"top9/{layer}", epoch)
    image = entry and _opened(run, entry)
    if entry is None or image is None or "projections" not in (entry.sheet or {}):
        return {}
    sheet = entry.sheet or {}
    blocks = zip(sheet["maps"], sheet["projections"], sheet["patches"], sheet["count"], strict=True)
    return {
        number: NineTiles(*(_nine(image, sheet, corner, count) for corner in corners))
        for number, *corners, count in blocks
    }


def strongest_of(run: Run | Path, layer: str, epoch: int | None = None) -> dict[int, Image.Image]:
    """Map -> the projection of its strongest image at an epoch; a dead map has a gray one or none.

    Reads the layer's strip of the epoch, a twentieth of its grid; of a run of version 0.1, or of a job, the grid. run,
    epoch: as in `tiles_of`.
    """
    entry = _entry(run, f"strips/{layer}", epoch)
    image = entry and _opened(run, entry)
    sheet = (entry and entry.sheet) or {}
    if image is None or "columns" not in sheet or "maps" not in sheet:
        return {number: nine.projections[0] for number, nine in tiles_of(run, layer, epoch).items() if nine.projections}
    places = ((number, *divmod(place, sheet["columns"])) for place, number in enumerate(sheet["maps"]))
    side = sheet["tile"]
    return {number: _cut(image, column * side, row * side, side) for number, row, column in places}


def _entry(run: Run | Path, name: str, epoch: int | None) -> IndexEntry | None:
    entries = run.entries if isinstance(run, Run) else read_run(run).entries
    return next((entry for entry in entries if entry.name == name and entry.epoch == epoch and entry.path), None)


def _opened(run: Run | Path, entry: IndexEntry) -> Image.Image | None:
    folder = run.folder if isinstance(run, Run) else Path(run)
    return opened_picture(folder / str(entry.path))


def _nine(image: Image.Image, sheet: Mapping[str, Any], corner: list[int], count: int) -> list[Image.Image]:
    left, top = corner
    step, side = sheet["step"], sheet["tile"]
    places = (divmod(rank, 3) for rank in range(count))
    return [_cut(image, left + column * step, top + row * step, side) for row, column in places]


def _cut(image: Image.Image, left: int, top: int, side: int) -> Image.Image:
    return image.crop((left, top, left + side, top + side))
