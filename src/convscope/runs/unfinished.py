"""Whether a training run starts, resumes or is finished, by the files that earlier starts left in its folder.

A folder belongs to one run. The settings of its first start, in .hydra/config.yaml, hold for every later start. A run
resumes from checkpoints/last.ckpt. Nothing here needs torch: a sweep skips its finished rows at once.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from convscope.errors import UserError
from convscope.runs.config_diff import differing_keys, flattened
from convscope.runs.reading import read_table

TRAINING_GROUPS = ("model", "data", "optim", "trainer", "evolution", "seed")  # the settings that training depends on
CHANGEABLE_KEYS = ("trainer.max_epochs", "trainer.accelerator", "optim.compile", "data.workers", "data.cache_*",
                   "data.download", "evolution.tile")  # fmt: skip
PLACES = ("data.root", "model.init")  # files of this machine: what they hold is checked instead (training/start.py)
WEIGHT_FILES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")  # endings of model.weights where it is a file
MAX_KEYS = 6  # differing keys in a message
Settings = Mapping[str, Any]


def needs_training(folder: Path, before: Settings | None, settings: Settings) -> bool:
    """False where the run in `folder` has finished; else it starts, or resumes if it has a checkpoint.

    before: the settings that the folder was trained with, None where it has none. Raises UserError where the two differ
    in more than CHANGEABLE_KEYS, or where the number of epochs cannot be changed to that of `settings`.
    """
    finished, resumable = _finished(folder), has_checkpoint(folder)
    if not finished and not resumable:
        return True
    if before is None:
        raise UserError(f"{folder} holds a trained net but no whole .hydra/config.yaml to tell which; name another")
    _check_settings(folder, before, settings)
    epochs = _finished_epochs(folder)
    _check_epochs(folder, before, settings, epochs)
    if finished and epochs >= _max_epochs(settings):
        return False
    if not resumable:
        raise UserError(f"{folder} has no checkpoints/last.ckpt to go on from; choose another folder")
    return True


@contextmanager
def unchanged_if_refused(folder: Path) -> Iterator[None]:
    """Removes, after an error in the block, what the block has added to the folder; links lead where they led."""
    before = {path: os.readlink(path) if path.is_symlink() else None for path in folder.rglob("*")}
    try:
        yield
    except BaseException:
        for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
            target = before.get(path)
            with suppress(OSError):  # what cannot be removed stays
                if path.is_symlink() and target is not None and os.readlink(path) != target:
                    path.unlink()
                    path.symlink_to(target)
                elif path not in before:
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        raise


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has finished its first epoch in this folder, or was stopped within it."""
    return (folder / "checkpoints" / "last.ckpt").is_file()


def newest_unfinished(parent: Path, read: Callable[[Path], Settings | None], settings: Settings) -> Path | None:
    """The last started run in `parent` that is unfinished, has these settings and number of epochs, and is not locked.

    read: returns the settings of a run folder, None for other folders.
    """
    configs = sorted(parent.glob("*/.hydra/config.yaml"), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in (path.parent.parent for path in configs):
        before = None if _finished(folder) else read(folder)
        if before is None or _max_epochs(before) != _max_epochs(settings) or _changed_keys(before, settings):
            continue
        if _places(before) != _places(settings):
            continue
        with suppress(UserError), training_lock(folder):
            return folder
    return None


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Keeps other processes from training in `folder` within the block. Raises UserError where one already does.

    The lock is on the folder itself, leaves no file and ends with the process. On a file system without locks, and on
    Windows, nothing is locked.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process trains in {folder} just now; wait for it, or choose another"
                ) from None
        yield
    finally:
        os.close(descriptor)


def _check_settings(folder: Path, before: Settings, settings: Settings) -> None:
    changed = _changed_keys(before, settings)
    if not changed:
        return
    changes = [f"{key}={old}, now {new}" for key, (old, new) in list(changed.items())[:MAX_KEYS]]
    rest = [f"{len(changed) - MAX_KEYS} more keys"] if len(changed) > MAX_KEYS else []
    raise UserError(
        f"{folder} was trained with {'; '.join(changes + rest)}; leave the settings as they were, or name another "
        "folder: hydra.sweep.dir=<folder> for a sweep (hydra.sweep.subdir for its rows), hydra.run.dir=<folder> for "
        "one run"
    )


def _changed_keys(before: Settings, settings: Settings) -> dict[str, tuple[Any, Any]]:
    """Key -> old and new value, of each key that may not change and did."""
    old, new = (flattened({group: config.get(group) for group in TRAINING_GROUPS}) for config in (before, settings))
    changed = sorted(differing_keys(old, new))
    return {key: (old.get(key), new.get(key)) for key in changed if not _may_change(key, old.get(key), new.get(key))}


def _may_change(key: str, old: Any, new: Any) -> bool:
    """Whether a run may go on with another value of this key: where and how it computes, where its files lie."""
    if key == "trainer.devices":  # which devices
        return _device_count(old) == _device_count(new)
    if key == "model.weights":
        return all(isinstance(value, str) and value.endswith(WEIGHT_FILES) for value in (old, new))
    return any(fnmatchcase(key, pattern) for pattern in (*CHANGEABLE_KEYS, *PLACES))


def _device_count(devices: Any) -> str:
    """The number of devices of trainer.devices, or its value where that does not tell it."""
    listed = devices.strip(",").split(",") if isinstance(devices, str) and "," in devices else devices
    return str(len(listed) if isinstance(listed, list) else listed)


def _places(settings: Settings) -> dict[str, str]:
    """The keys of PLACES that have a value, as absolute paths."""
    flat = flattened({group: settings.get(group) for group in ("data", "model")})
    return {key: os.path.abspath(os.path.expanduser(flat[key])) for key in PLACES if isinstance(flat.get(key), str)}


def images_moved(before: Settings | None, settings: Settings) -> bool:
    """Whether the images lie elsewhere now than the settings of an earlier start say."""
    return before is not None and _places(before).get("data.root") != _places(settings).get("data.root")


def _check_epochs(folder: Path, before: Settings, settings: Settings, epochs: int) -> None:
    old, new = _max_epochs(before), _max_epochs(settings)
    if settings["optim"]["schedule"] == "cycle" and old != new:
        raise UserError(
            f"{folder} was trained with trainer.max_epochs={old:g}, now {new:g}: its learning rate follows one "
            "cycle over the whole run (optim.schedule=cycle), which cannot be stretched afterwards; leave it as "
            "it was, or train anew in another folder"
        )
    if new < epochs:
        raise UserError(f"{folder} has {epochs} epochs already, trainer.max_epochs={new:g} would take some away")


def _max_epochs(settings: Settings) -> float:
    """trainer.max_epochs; infinity for null or -1. Raises UserError for another value that is no number."""
    epochs = settings["trainer"].get("max_epochs")
    if not isinstance(epochs, int | float | None):
        raise UserError(f"trainer.max_epochs={epochs} is no number of epochs; take a whole number from 1, e.g. 12")
    return math.inf if epochs is None or epochs < 0 else epochs


def _finished(folder: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads((folder / "summary.json").read_text(encoding="utf-8")).get("finished"))
    return False


def _finished_epochs(folder: Path) -> int:
    """The last epoch in metrics.csv; 0 where it cannot be read."""
    with suppress(OSError, ValueError):
        columns, rows = read_table(folder / "metrics.csv")
        at = columns.index("epoch")
        return max((int(row[at]) for row in rows if len(row) > at), default=0)
    return 0
