"""export.what=film: a map, or all maps of a layer, over the epochs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from convscope.cli.exports.plan import ExportConfig, check_map, chosen_layers, file_stem, several_epochs
from convscope.engine.progress import track_parts
from convscope.plots.film import Moment, layer_frame, map_frame
from convscope.report.one_file import spread
from convscope.runs.atomic_io import write
from convscope.runs.film_file import check_film_format, default_film_format, write_film
from convscope.runs.map_tiles import NineTiles, strongest_of, tiles_of
from convscope.runs.reading import Run

NO_TILES = NineTiles([], [])
MOST_IN_MEMORY = 100  # epochs in a webp or gif: Pillow holds all frames, of 5 MB each, until it writes the file


def films(run: Run, plan: ExportConfig, out: Path) -> Iterator[Path]:
    """Writes a film for each layer of the plan, and yields their paths. Raises UserError for a run of one epoch."""
    form, printed = plan.format or default_film_format(), ""
    check_film_format(form)
    for layer in chosen_layers(run, plan):
        drawn = several_epochs(run, layer, "a film")
        epochs = drawn if form == "mp4" else spread(drawn, MOST_IN_MEMORY)
        if plan.map is not None:
            check_map(run, layer, plan.map)
        path = out / f"{file_stem(layer, plan.map)}.{form}"
        frames = _layer_frames(run, layer, epochs) if plan.map is None else _map_frames(run, layer, plan.map, epochs)
        shown = track_parts(frames, f"drawing {path.name}", len(epochs), lambda _: 1)
        write(path, partial(write_film, shown, len(epochs), form=form))
        yield path
        line = f"{form} has room for {len(epochs)} of the {len(drawn)} epochs, evenly chosen; export.format=mp4 has all"
        if len(epochs) < len(drawn) and line != printed:  # layers have the same
            print(line, flush=True)
            printed = line


def _moments(title: str, epochs: list[int]) -> Iterator[Moment]:
    for place, epoch in enumerate(epochs, 1):
        yield Moment(title, epoch, place / len(epochs))


def _map_frames(run: Run, layer: str, number: int, epochs: list[int]) -> Iterator[Image.Image]:
    for moment in _moments(f"{layer} map {number}: what it looks for", epochs):
        yield map_frame(*tiles_of(run, layer, moment.epoch).get(number, NO_TILES), moment)


def _layer_frames(run: Run, layer: str, epochs: list[int]) -> Iterator[Image.Image]:
    maps = _maps(run, layer, epochs)
    for moment in _moments(f"{layer}: the strongest projection of each map", epochs):
        tiles, alive = strongest_of(run, layer, moment.epoch), _alive(run, layer, moment.epoch)
        yield layer_frame({number: tiles.get(number) if number in alive else None for number in maps}, moment)


def _maps(run: Run, layer: str, epochs: list[int]) -> list[int]:
    """The maps that are drawn at any of the epochs, so that each has its place in every frame."""
    return sorted({number for epoch in epochs for number in _counts(run, layer, epoch)})


def _alive(run: Run, layer: str, epoch: int) -> set[int]:
    return {number for number, count in _counts(run, layer, epoch).items() if count}


def _counts(run: Run, layer: str, epoch: int) -> dict[int, int]:
    """Map -> how many of its nine tiles are drawn at an epoch."""
    for entry in run.entries:
        if entry.name == f"top9/{layer}" and entry.epoch == epoch and entry.sheet and "count" in entry.sheet:
            return dict(zip(entry.sheet["maps"], entry.sheet["count"], strict=True))
    return {}
