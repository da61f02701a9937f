"""Writes files whole or not at all, whatever ends the process that writes them.

A file is written beside its final place and renamed, so that a reader finds the old file or the new one. This holds
when the process is killed. After a power cut only files written with `force` are safe: the checkpoints
(training/callbacks/checkpoints.py), from which metrics.csv is made again. Forcing every picture to the disk would cost
too much.
"""

import errno
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convscope.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
_PARTIAL = re.compile(r"\.(\d+)\..+")  # .<process>.<name>


class CannotWrite(UserError):
    """The system refused to write a file. The earlier file of this name is unchanged."""


class DiskFull(CannotWrite):
    """The file did not fit on the disk."""


def write(path: Path, content: Callable[[Path], object] | bytes | str, force: bool = False) -> None:
    """Writes a file whole or not at all.

    content: bytes, text, or a function that writes to the path it is given. force: returns only when the disk has the
    file, for files that must survive a power cut. Raises CannotWrite.
    """
    partial = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix stays: writers choose the format by it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(partial)
        else:
            partial.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
        if force:
            _to_disk(partial)
        os.replace(partial, path)
        if force:
            _to_disk(path.parent)
    except Exception as error:  # each library reports a full disk in its own way
        raise (_full(path, partial) if _is_full(error, path.parent) else _refused(path, error)) from None
    finally:
        if path.parent.is_dir():
            partial.unlink(missing_ok=True)


def append(path: Path, line: str) -> None:
    """Adds a line to a text file, after removing a partial line of a killed process. A line is added whole or not.

    Raises CannotWrite.
    """
    try:
        with open(path, "ab+", buffering=0) as file:
            end = _end_of_lines(file.seek(0, os.SEEK_END), path)
            file.truncate(end)
            rest = memoryview(line.encode(errors="backslashreplace") + b"\n")
            try:
                while rest:
                    rest = rest[file.write(rest) or 0 :]
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise (_full(path, path) if error.errno in FULL else _refused(path, error)) from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process is within such a block for this folder.

    Nobody waits on Windows, on a file system without locks, and where there is no folder.
    """
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing it leaves the lock to a process that was forked meanwhile
        os.close(descriptor)


def check_writable(folder: Path) -> None:
    """Creates the folder where it is absent. Leaves no file. Raises UserError where no file can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from None


def cannot_write(folder: object, error: OSError) -> UserError:
    """The UserError for an output folder that cannot be created or written."""
    return UserError(f"cannot write to {folder} ({error.strerror}); choose another with hydra.run.dir=<folder>")


def remove_partial_files(folder: Path) -> None:
    """Removes the files that killed processes were writing. Files of a living process of this machine stay."""
    for path in folder.rglob(".[0-9]*"):
        match = _PARTIAL.fullmatch(path.name)
        if match and not process_is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def process_is_alive(process: int) -> bool:
    """Whether another process of this machine has this number.

    The number of this process counts as ended: an earlier process had it, as in a container that was started again.
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
    """Number of bytes up to the last line break, including it."""
    with open(path, "rb") as file:
        file.seek(max(0, size - 1))
        if not size or file.read(1) == b"\n":
            return size
        file.seek(0)
        return file.read(size).rfind(b"\n") + 1


def _to_disk(path: Path) -> None:
    if path.is_dir() and sys.platform == "win32":  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(error: Exception, folder: Path) -> bool:
    """Whether the disk is full. torch reports only an unexpected position; there the free space decides."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    if "No space left" in str(error) or "quota exceeded" in str(error).lower():
        return True
    return isinstance(error, RuntimeError) and folder.is_dir() and shutil.disk_usage(folder).free < 2**16


def _refused(path: Path, error: Exception) -> Exception:
    """The system's reason and the file or folder it is about; an error that is not the system's comes back as it is."""
    if not isinstance(error, OSError) or error.errno is None:
        return error
    cause = Path(error.filename or path)
    place = "" if cause.name.endswith(path.name) else f" ({cause})"
    return CannotWrite(f"cannot write {path}: {error.strerror}{place}")


def _full(path: Path, partial: Path) -> DiskFull:
    existing = next(folder for folder in path.absolute().parents if folder.is_dir())
    partial_size = partial.stat().st_size if partial != path and partial.is_file() else 0
    free = shutil.disk_usage(existing).free + partial_size
    return DiskFull(
        f"the disk is full: {path.name} does not fit into the {free / 1e6:.1f} MB left for {path.parent}; make room, "
        "then a training run goes on from its last checkpoint with resume=<its folder>"
    )
