"""What a user can mend, told in one line."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Raised with one line that says what was given, what is possible and what to type. Shown without a traceback."""


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """ " (did you mean zfnet?)" for the known word that is nearest to a mistyped one, "" where none is near."""
    near = difflib.get_close_matches(str(word), [str(each) for each in known], 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else ""


class Stopped(SystemExit):
    """A run that a signal has ended, with all it has done in checkpoints/last.ckpt. code: 128 + the signal's number."""
