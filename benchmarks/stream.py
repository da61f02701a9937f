"""What a converted set costs and saves: images per second of data=stream over those of data=folder without cache.

Photographs from $CONVSCOPE_DATA/imagenette224 where that is set, else drawn JPEGs of the usual size; crops of
224 pixels, processor seconds of one thread on both sides. python benchmarks/stream.py
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import interleaved  # first: sets the number of threads
from loader import BATCH, COUNT, photographs

from convscope.data.module import ImageData
from convscope.data.settings import DataSettings
from convscope.data.sources import Source, limited
from convscope.data.stream.conversion import Conversion, converted
from convscope.data.stream.source import stream

SIZE = 224


def epoch(source: Source, place: Path) -> Callable[[], None]:
    """One epoch of COUNT random crops, each image decoded when its turn comes."""
    data = ImageData(source, DataSettings(SIZE, BATCH, COUNT, workers=0, cache_dir=str(place), cache_gib=0))
    data.mean  # finds it  # noqa: B018

    def run() -> None:
        for _ in map(data.centered, data.train_dataloader()):
            pass

    return run


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source = photographs(place)
        few = Source(source.classes, limited(source.train, COUNT, 0), limited(source.val, 10, 0))
        list(converted(few, Conversion(str(place / "set")), SIZE, 0, "stop"))
        chunks = stream(place / "set", SIZE, place, 1)
        sides = {"folder": epoch(few, place / "cache"), "stream": epoch(chunks, place / "cache")}
        seconds = interleaved.paired(sides, rounds=5)
        interleaved.line("stream/folder without cache, 224", interleaved.ratio(seconds, "folder", "stream"), 1.0)


if __name__ == "__main__":
    main()
