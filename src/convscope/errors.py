"""Errors that a user can mend, each in one line."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Raised with one line that says what was given, what is possible and what to type. Shown without a traceback."""


class Stopped(SystemExit):
    """A run that a signal has ended, with all its work in checkpoints/last.ckpt. code: 128 + the signal's number."""


def did_you_mean(text: object, possible: Iterable[object]) -> str:
    """ " (did you mean zfnet?)" for the possible name nearest to a mistyped one, "" where none is near."""
    nearest = difflib.get_close_matches(str(text), [str(name) for name in possible], 1, 0.6)
    return f" (did you mean {nearest[0]}?)" if nearest else ""
