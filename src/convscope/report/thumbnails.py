"""What each layer looks for, at a glance: for its strongest maps an image patch and its projection, side by side.

One small picture for each layer, cut from its last grid, so that the head of the page costs kilobytes instead of grids.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from PIL import Image

from convscope.report.atlas import Atlas
from convscope.runs.atomic_io import write

MAPS = 5  # of each layer
QUALITY = 90


class Glance(NamedTuple):
    """source: the picture as seen from the page. maps: which ones are on it, strongest first, two tiles for each."""

    source: str
    maps: list[int]


def glances(folder: Path, found: Atlas | None) -> dict[str, Glance]:
    """Layer -> its glance, written into the report of a run's folder; left out where the last grid or its record is
    damaged.
    """
    made = {}
    for number, (layer, said) in enumerate(found.layers.values() if found else ()):
        frame, top = said["frames"][-1], said["top"][-1]
        scores = {place: nine["score"][0] for place, nine in enumerate(top) if nine["score"]}
        places = sorted(scores, key=lambda place: -scores[place])[:MAPS]
        grid = folder / unquote(frame["source"]).removeprefix("../")
        picture = _picture(grid, frame["sheet"], places) if places else None  # none where every shown map is dead
        if picture is not None:
            source = f"glances/{number}.jpg"
            write(folder / "report" / source, picture)
            made[layer] = Glance(source, [frame["sheet"]["maps"][place] for place in places])
    return made


def _picture(grid: Path, sheet: Mapping[str, Any], places: list[int]) -> bytes | None:
    """The first patch and the first projection of the maps at these places of a grid, in a row, as JPEG."""
    tile = sheet["tile"]
    row = Image.new("RGB", (2 * tile * len(places), tile))
    try:
        with Image.open(grid) as whole:
            for at, place in enumerate(places):
                for side, kind in enumerate(("patches", "projections")):
                    x, y = sheet[kind][place]
                    row.paste(whole.crop((x, y, x + tile, y + tile)), ((2 * at + side) * tile, 0))
    except (OSError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged or absurd files
        return None
    data = io.BytesIO()
    row.save(data, "jpeg", quality=QUALITY)
    return data.getvalue()
