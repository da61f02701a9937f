"""Settings that name files and folders: what cannot be a path is told by its key, before any work is done."""

import errno
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from convscope.cli.recording import Command, Settings
from convscope.errors import UserError

KEYS = (
    "run", "model.init", "data.root", "data.cache_dir", "diagnose.runs", "occlude.boxes", "correspond.parts",
    "claims.boxes", "claims.parts", "claims.transfer", "overlap.other", "convert.to", "transfer.keep",
)  # fmt: skip
LIST_KEYS = ("sweep", "claims.against", "transfer.beside")  # one, or a list of them
WITHOUT_IMAGES = ("report", "table", "dashboard")  # jobs that need no cache and no set
SHOWN = 100  # characters of what is no path


def paths_checked(command: Command) -> Command:
    """The command, begun where every path among the settings can be one."""

    @wraps(command)
    def checked(settings: Settings, folder: Path) -> None:
        several = (*LIST_KEYS, "ckpt") if settings["job"] == "evaluate" else LIST_KEYS
        for key in (*KEYS, *LIST_KEYS, "ckpt"):
            if not (key.startswith("data.") and settings["job"] in WITHOUT_IMAGES):
                for named in _named(settings, key, key in several):
                    check_path(key, named)
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


def check_path(key: str, named: Any) -> None:
    """Raises UserError where `named` can be no path: no text, or text that the system takes for none."""
    if not isinstance(named, str) or not named:
        hint = f"; write a name that is a number as {key}=./{named}" if type(named) in (int, float) else ""
        raise UserError(f"{key}={named or repr(named)} is no path{hint}")
    if "://" in named:
        return
    try:
        Path(named).expanduser().stat()
    except (OSError, ValueError, RuntimeError) as error:  # a zero byte, a home that nobody has
        if isinstance(error, OSError) and error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            return  # whoever opens it says what is wrong there
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{key}={named[:SHOWN]}{'...' * (len(named) > SHOWN)} cannot be opened: {reason}") from None
