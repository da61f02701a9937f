"""job=convert: any set of images, once converted for data=stream."""

from collections.abc import Iterator

from convscope.data.settings import DataSettings
from convscope.data.sources import Source
from convscope.data.stream.conversion import Conversion, converted
from convscope.runs.record import Number, Result, Table

__all__ = ["Conversion", "convert"]


def convert(source: Source, plan: Conversion, settings: DataSettings) -> Iterator[Result]:
    """What was written, split by split, and the files that were left out. Raises UserError as `converted`."""
    done = list(converted(source, plan, settings.image_size, settings.seed, settings.on_bad_image))
    rows = [
        {
            "split": one.split, "images": one.images, "left out": len(one.bad), "MiB": one.bytes / 2**20,
            "KiB an image": one.bytes / one.images / 2**10, "images a second": one.images / one.seconds,
        }
        for one in done
    ]  # fmt: skip
    yield Table("convert/splits", rows, "What was converted, and how fast")
    if left := [{"path": str(path), "reason": why} for one in done for path, why in one.bad]:
        yield Table("convert/left_out", left, "Files that cannot be read and were left out")
    yield Number("convert/images", sum(one.images for one in done), "images in chunks")
    yield Number("convert/bytes", sum(one.bytes for one in done), "bytes of JPEGs")
