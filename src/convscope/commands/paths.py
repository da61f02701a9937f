"""Settings that name files and folders: what cannot be a path is told by its key, before any work is done."""

from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from convscope.commands.recording import Command, Settings
from convscope.problem import Problem

ONE = (
    "run", "model.init", "data.root", "data.cache_dir", "diagnose.runs", "occlude.boxes", "correspond.parts",
    "claims.boxes", "claims.parts", "claims.transfer", "overlap.other", "convert.to", "transfer.keep",
)  # fmt: skip
SEVERAL = ("sweep", "claims.against", "transfer.beside")  # one, or a list of them
SHOWN = 100  # characters of what is no path


def paths_checked(command: Command) -> Command:
    """The command, begun where every path among the settings can be one."""

    @wraps(command)
    def checked(settings: Settings, folder: Path) -> None:
        several = (*SEVERAL, "ckpt") if settings["job"] == "evaluate" else SEVERAL
        for key in (*ONE, *SEVERAL, "ckpt"):
            for named in _named(settings, key, key in several):
                _check(key, named)
        command(settings, folder)

    return checked


def _named(settings: Settings, key: str, several: bool) -> Iterator[Any]:
    """What stands at a key such as data.root, if anything; each of a list by itself."""
    found: Any = settings
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if several and isinstance(found, list):
        yield from (each for each in found if each is not None or key != "ckpt")  # beside others: the net of model=...
    elif found is not None:
        yield found


def _check(key: str, named: Any) -> None:
    if not isinstance(named, str) or not named:
        hint = f"; write a name that is a number as {key}=./{named}" if type(named) in (int, float) else ""
        raise Problem(f"{key}={named or repr(named)} is no path{hint}")
    try:
        Path(named).expanduser().exists()
    except (OSError, ValueError, RuntimeError) as error:  # a zero byte, a home that nobody has
        reason = getattr(error, "strerror", None) or error
        raise Problem(f"{key}={named[:SHOWN]}{'...' * (len(named) > SHOWN)} cannot be opened: {reason}") from None
