"""What is said of images that cannot be read: one line each, whatever their names are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from convscope.errors import UserError

SHOWN = 3  # of several bad images, those that a message names


class Bad(NamedTuple):
    """An image that cannot be read, and why."""

    path: Path
    reason: str

    @property
    def name(self) -> str:
        """The path in one line of plain text."""
        return printable(self.path)


def printable(path: Path | str) -> str:
    """The name in one line of plain text: what no terminal shows, such as a line's end or half a letter, is escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(path))


def refusal(bad: Sequence[Bad | tuple[Path, str]], read: int) -> UserError:
    """What on_bad_image=stop says of the bad ones among the first `read` images of a set: the first few by name."""
    named = [f"{printable(path)} cannot be read: {reason}" for path, reason in bad[:1]]
    if len(bad) == 1:
        return UserError(f"{named[0]}; mend or remove it, or type data.on_bad_image=skip")
    named += [f"{printable(path)}: {reason}" for path, reason in bad[1:SHOWN]]
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return UserError(
        f"{'; '.join(named)}{more} ({len(bad)} bad ones among the {read} images read so far); mend or remove them, "
        "type data.on_bad_image=skip, or list all by job=check_data"
    )
