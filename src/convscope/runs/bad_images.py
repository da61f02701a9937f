"""bad_images.csv of a run folder: the images that could not be read."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from convscope.runs.atomic_io import write


class BadFile(Protocol):
    """A file that cannot be read: its name in plain text, and why."""

    @property
    def name(self) -> str: ...
    @property
    def reason(self) -> str: ...


def write_bad_images(folder: Path, bad: Iterable[BadFile]) -> None:
    """Writes bad_images.csv of the run folder: path, reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "reason"])
    writer.writerows([file.name, file.reason] for file in bad)
    write(folder / "bad_images.csv", text.getvalue())
