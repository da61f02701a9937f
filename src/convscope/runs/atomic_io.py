"""Files that are whole or absent under their names, whatever ends the process that writes them.

A file is written beside its place and renamed, so a reader meets the old one or the new one. The rename holds against a
killed process; against a power cut only what `write` forces to the disk is safe: the checkpoints
(training/callbacks/checkpoints.py), from which metrics.csv is made again. Forcing every picture would cost more than
it keeps.
"""

import errno
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from convscope.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
_PART = re.compile(r"\.(\d+)\..+")  # .<process>.<name>


class CannotWrite(UserError):
    """The system refused to write a file; that of its name is as it was."""


class DiskFull(CannotWrite):
    """It did not fit."""


def write(path: Path, content: Callable[[Path], object] | bytes | str, force: bool = False) -> None:
    """Puts `content` (bytes, text, or a function that writes the file it is given) at `path`, whole or not at all.

    force: returns only when the disk has it, for what a power cut must not take. Raises CannotWrite.
    """
    part = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix stays: writers choose the format by it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(part)
        else:
            part.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
        if force:
            _to_disk(part)
        os.replace(part, path)
        if force:
            _to_disk(path.parent)
    except Exception as error:  # each library says in its own words that the disk is full
        raise (_full(path, part) if _is_full(error, path.parent) else _refused(path, error)) from None
    finally:
        if path.parent.is_dir():
            part.unlink(missing_ok=True)


def append(path: Path, line: str) -> None:
    """Adds a line to a text file. What a killed process has left of a line goes; one that does not fit leaves nothing.

    Raises CannotWrite.
    """
    try:
        with open(path, "ab+", buffering=0) as file:
            end = _end_of_lines(file.seek(0, os.SEEK_END), path)
            file.truncate(end)
            left = memoryview(line.encode(errors="backslashreplace") + b"\n")
            try:
                while left:
                    left = left[file.write(left) or 0 :]
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise (_full(path, path) if error.errno in FULL else _refused(path, error)) from None


def check_writable(folder: Path) -> None:
    """Makes the folder where it is absent; UserError where nothing can be written into it. Leaves no file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from None


def cannot_write(folder: object, error: OSError) -> UserError:
    """The UserError of an output folder that cannot be made or written."""
    return UserError(f"cannot write to {folder} ({error.strerror}); choose another with hydra.run.dir=<folder>")


def remove_parts(folder: Path) -> None:
    """Removes what killed processes were just writing. What a living process of this machine writes stays."""
    for path in folder.rglob(".[0-9]*"):
        found = _PART.fullmatch(path.name)
        if found and not lives(int(found[1])):
            path.unlink(missing_ok=True)


def lives(process: int) -> bool:
    """Whether another process of this machine has this number.

    Our own counts as ended: it is the one before us that had it, as in a container that was started again.
    """
    if process == os.getpid() or sys.platform == "win32":
        return process != os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _end_of_lines(size: int, path: Path) -> int:
    """Bytes up to the last line break, itself included."""
    with open(path, "rb") as file:
        file.seek(max(0, size - 1))
        if not size or file.read(1) == b"\n":
            return size
        file.seek(0)
        return file.read(size).rfind(b"\n") + 1


def _to_disk(path: Path) -> None:
    if path.is_dir() and sys.platform == "win32":  # a folder cannot be opened there
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _is_full(error: Exception, folder: Path) -> bool:
    """torch says no more than that a position was not as expected; then it is the room left that tells."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    told = "No space left" in str(error) or "quota exceeded" in str(error).lower()
    return told or (isinstance(error, RuntimeError) and folder.is_dir() and shutil.disk_usage(folder).free < 2**16)


def _refused(path: Path, error: Exception) -> Exception:
    """What the system says of the file or a folder on its way; an error of another kind, of our own, as it is."""
    if not isinstance(error, OSError) or error.errno is None:
        return error
    about = Path(error.filename or path)
    way = "" if about.name.endswith(path.name) else f" ({about})"
    return CannotWrite(f"cannot write {path}: {error.strerror}{way}")


def _full(path: Path, part: Path) -> DiskFull:
    there = next(folder for folder in path.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(there).free + (part.stat().st_size if part != path and part.is_file() else 0)
    return DiskFull(
        f"the disk is full: {path.name} does not fit into the {free / 1e6:.1f} MB left for {path.parent}; make room, "
        "then a training run goes on from its last checkpoint with resume=<its folder>"
    )
