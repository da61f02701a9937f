"""The surroundings of the program: what a notebook, a desktop, a pipe or another Python brings along is set right.

The program writes files and text, in one process or in those of a launcher. Nothing slow is imported here.
"""

import argparse
import atexit
import ctypes
import errno
import gc
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from convscope.errors import INSTALLED, UserError, install, reason_of

PACKAGE = Path(__file__).resolve().parents[1]
CONF = (PACKAGE if INSTALLED else PACKAGE.parents[1]) / "conf"  # the config groups
NARROWEST = 20  # columns of a terminal in which a table can be read
OURS = ("convscope", "__main__", "run")  # packages
OF_PROGRAM = ("hydra", "omegaconf", "pytorch_lightning", "torchmetrics")  # the library works without these
RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK")
OF_ALLOCATION = ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
OF_GROUP = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


@contextmanager
def plain_surroundings() -> Iterator[None]:
    """Runs the program where figures become files, output may be cut off, and broken libraries end it in one line."""
    settle_environment(os.environ)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # no news of its fonts
    accept_help_texts_of_hydra()
    for name in ("stdout", "stderr"):
        setattr(sys, name, lasting_stream(getattr(sys, name)))
    try:
        with named_broken_libraries():
            yield
    except KeyboardInterrupt:
        print("convscope: interrupted", file=sys.stderr)
        sys.exit(130)
    except UserError as error:
        sys.exit(f"convscope: {error}")
    finally:  # nothing is left to unwind: SIGTERM would print a traceback out of what libraries do at the end
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Collects no garbage while libraries are imported, which leave none, and never looks through their objects later.

    They are about a million; looking through them again and again takes a tenth of the time of a short training.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > 100_000:
            gc.freeze()
            atexit.register(gc.unfreeze)  # else libraries report at the end what they take for leaks
        if was_enabled:
            gc.enable()


@contextmanager
def named_broken_libraries() -> Iterator[None]:
    """Raises UserError where a library cannot be imported, as with a setting of its own that it does not know."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not (library := library_not_imported(error)):
            raise
        if isinstance(error, ModuleNotFoundError) and library in OF_PROGRAM:
            raise UserError(f"the program needs {library}, which is not installed; type {install('train')}") from None
        raise UserError(
            f"{library} cannot be imported ({reason_of(error)}); mend its installation, or the variable of the "
            "environment that it speaks of"
        ) from error


def settle_environment(env: MutableMapping[str, str]) -> None:
    """Sets right the variables that would end the program, or make it silent, before it has read a word."""
    env["MPLBACKEND"] = "agg"  # a notebook names its own, which matplotlib does not know outside of it
    if not os.path.exists(env.get("MATPLOTLIBRC", "")):
        env.pop("MATPLOTLIBRC", None)
    env["HYDRA_FULL_ERROR"] = "1"  # Hydra passes errors on unchanged
    if not env.get("COLUMNS", "80").isdecimal() or int(env.get("COLUMNS", "80")) < NARROWEST:
        del env["COLUMNS"]
    for name in (*RANKS, "WORLD_SIZE", *OF_ALLOCATION):
        if not env.get(name, "0").isdecimal():
            del env[name]
    if not _is_launched(env):
        for name in (*RANKS, *OF_GROUP, *OF_ALLOCATION):  # of a notebook's process group, of an allocation's shell
            env.pop(name, None)
    if "error" in env.pop("PYTHONWARNINGS", ""):  # no library of this field can be imported so; `python -W error` can
        warnings.filters[:] = [entry for entry in warnings.filters if entry[0] != "error"]  # type: ignore[index]
        warnings.simplefilter("ignore", DeprecationWarning)


def _is_launched(env: MutableMapping[str, str]) -> bool:
    """Whether torchrun, srun or submitit has started this process, or somebody by hand as one of several.

    env: with numbers for all ranks and sizes.
    """
    sizes = {"SLURM_PROCID": "SLURM_STEP_NUM_TASKS", "LOCAL_RANK": "WORLD_SIZE"}
    several = any(rank in env and int(env.get(size, "1")) > 1 for rank, size in sizes.items())
    return several or "TORCHELASTIC_RUN_ID" in env or "SUBMITIT_LOCAL_NTASKS" in env


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory for the rest of the process; returns False where there is no glibc.

    Training steps and analyses ask for the same memory again and again. By default every large tensor is fresh memory
    that the system first fills with zeros, page by page: a fifth of a training step of ZFNet at 224 on one core, and up
    to half of an analysis. The price: the process never gets smaller than its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


class _Outlet(io.FileIO):
    """A file descriptor whose reader may go away, as in `... | head`: what cannot be written then is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno == errno.EPIPE:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
            return len(data)


def lasting_stream(stream: Any) -> Any:
    """The stream, but a reader that goes away ends no run, and letters that the terminal lacks are escaped."""
    if sys.platform == "win32" and stream is not None:  # its console takes UTF-16 by a stream of its own
        stream.reconfigure(errors="backslashreplace")
        return stream
    try:
        stream.flush()
        outlet = io.BufferedWriter(_Outlet(stream.fileno(), "w", closefd=False))
    except (AttributeError, OSError, ValueError):  # no stream, or none of the system
        return stream
    stream_of_lines = {"line_buffering": stream.line_buffering, "write_through": stream is sys.stderr}
    return io.TextIOWrapper(outlet, stream.encoding, "backslashreplace", **stream_of_lines)


def accept_help_texts_of_hydra(parsers: Any = argparse.ArgumentParser) -> None:
    """Lets Python 3.14 take the one help text of Hydra 1.3.8 that is no string (facebookresearch/hydra#3121).

    Since 3.14 argparse checks help texts by formatting them. Hydra formats its own. Nothing happens before 3.14.
    """
    check = getattr(parsers, "_check_help", None)
    if check is None:
        return

    def check_strings(parser: Any, action: Any) -> None:
        if isinstance(action.help, str):
            check(parser, action)

    parsers._check_help = check_strings


def library_not_imported(error: Exception) -> str:
    """The name of the library in whose import the error arose; "" for any other error, also in modules of ours."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    packages = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame in frames]
    importing = [name for name, frame in zip(packages, frames, strict=True) if frame.f_code.co_name == "<module>"]
    library = next((name for name in importing if name not in OURS), "")
    missing = str(error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return "" if packages[-1:] in (["convscope"], ["__main__"]) and not missing else library or missing
