"""What a run says of its images: those that were left out, and one that a loading process died of."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from convscope.record import Record
    from convscope.subject import Subject


class Bad(Protocol):
    """A file that cannot be read: its name in plain text, and why."""

    @property
    def name(self) -> str: ...
    @property
    def reason(self) -> str: ...


@contextmanager
def loading_watched(subjects: Sequence[Subject]) -> Iterator[None]:
    """A loading process that dies gives a Problem that names its image, not torch's traceback; none stays."""
    try:
        yield
    except RuntimeError as error:
        problem = next((told for each in subjects if (told := each.data.death(error))), None)
        raise error if problem is None else problem from None
    finally:
        for each in subjects:
            each.data.close()


def note_left_out(subjects: Sequence[Subject], record: Record, summary: dict[str, Any]) -> None:
    """bad_images.csv, the count and a warning in the summary, one line in the terminal; nothing where none is bad."""
    from convscope import terminal

    bad = dict.fromkeys(each for subject in subjects for each in subject.data.bad_images)
    if not bad or os.environ.get("RANK", "0") != "0":
        return
    write_bad_images(record, bad)
    emptied = dict.fromkeys(words for subject in subjects for words in subject.data.emptied)
    summary["bad_images"] = len(bad)
    told = [f"{len(bad)} images cannot be read and are left out; bad_images.csv has their names and reasons", *emptied]
    summary["warnings"] = [*summary.get("warnings", []), *told]
    for line in told:
        terminal.warning(line)


def write_bad_images(record: Record, bad: Iterable[Bad]) -> None:
    """bad_images.csv of the run folder: path, reason."""
    from convscope.record import write

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "reason"])
    writer.writerows([one.name, one.reason] for one in bad)
    write(record.folder / "bad_images.csv", text.getvalue())
