"""Whether a training run begins, goes on or is done: read from what earlier starts have left in its folder.

A folder belongs to one run. The settings of its first start, in .hydra/config.yaml, hold for every later one; a run
goes on from checkpoints/last.ckpt. What is done there is read without torch: a sweep passes its finished rows at once.
"""

import csv
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

TRAINING_GROUPS = (
    "model",
    "data",
    "optim",
    "trainer",
    "evolution",
    "seed",
)  # of the settings: what a training run depends on
CHANGEABLE_KEYS = ("trainer.max_epochs", "trainer.accelerator", "data.workers", "data.cache_*", "data.download")
SHOWN = 6  # differing keys in a message
Settings = Mapping[str, Any]


def needs_training(folder: Path, before: Settings | None, now: Settings) -> bool:
    """False where the run in `folder` has finished; else it begins, or goes on if it has a checkpoint.

    before: the settings that the folder was trained with, None where it holds none. Raises UserError where they differ
    from those of `now` in more than where the run computes and how many epochs it has.
    """
    finished, whole = _finished(folder), has_checkpoint(folder)
    if not finished and not whole:
        return True
    if before is None:
        raise UserError(f"{folder} holds a trained net but no whole .hydra/config.yaml to tell which; name another")
    _check_settings(folder, before, now)
    done, wanted = _epochs(folder), _wanted(now)
    _check_epochs(folder, before, now, done)
    if finished and done >= wanted:
        return False
    if not whole:
        raise UserError(f"{folder} has no checkpoints/last.ckpt to go on from; choose another folder")
    if finished:  # a longer run: what the summary says of the shorter one is over
        (folder / "summary.json").unlink(missing_ok=True)
    return True


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has come to the end of its first epoch here, or stopped within it."""
    return (folder / "checkpoints" / "last.ckpt").is_file()


def newest_unfinished(around: Path, read: Callable[[Path], Settings | None], now: Settings) -> Path | None:
    """The run in `around` that was started last, has not finished, has the settings of `now` and is not being trained.

    read: settings of a run's folder, None for other folders. The number of epochs has to be the same, too.
    """
    found = sorted(around.glob("*/.hydra/config.yaml"), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in (path.parent.parent for path in found):
        before = None if _finished(folder) else read(folder)
        if before is None or _wanted(before) != _wanted(now) or _changed(before, now):
            continue
        with suppress(UserError), training_lock(folder):
            return folder
    return None


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Keeps every other process from training in `folder` meanwhile; UserError where one does already.

    The lock is on the folder itself, leaves no file and ends with the process. File systems without locks have none.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process trains in {folder} just now; wait for it, or choose another"
                ) from None
        yield
    finally:
        os.close(place)


def _check_settings(folder: Path, before: Settings, now: Settings) -> None:
    changed = _changed(before, now)
    if not changed:
        return
    told = [f"{key}={was}, now {is_}" for key, (was, is_) in list(changed.items())[:SHOWN]]
    more = [f"{len(changed) - SHOWN} more keys"] if len(changed) > SHOWN else []
    raise UserError(
        f"{folder} was trained with {'; '.join(told + more)}; leave the settings as they were, or name another folder: "
        "hydra.sweep.dir=<folder> for a sweep (hydra.sweep.subdir for its rows), hydra.run.dir=<folder> for one run"
    )


def _changed(before: Settings, now: Settings) -> dict[str, tuple[Any, Any]]:
    """Key -> its two values, for each that may not change and did."""
    was, is_ = (flattened({part: settings.get(part) for part in TRAINING_GROUPS}) for settings in (before, now))
    keys = sorted(
        key for key in differing_keys(was, is_) if not any(fnmatchcase(key, free) for free in CHANGEABLE_KEYS)
    )
    return {key: (was.get(key), is_.get(key)) for key in keys}


def _check_epochs(folder: Path, before: Settings, now: Settings, done: int) -> None:
    was, wanted = _wanted(before), _wanted(now)
    if now["optim"]["schedule"] == "cycle" and was != wanted:
        raise UserError(
            f"{folder} was trained with trainer.max_epochs={was:g}, now {wanted:g}: its learning rate follows one "
            "cycle over the whole run (optim.schedule=cycle), which cannot be stretched afterwards; leave it as "
            "it was, or train anew in another folder"
        )
    if wanted < done:
        raise UserError(f"{folder} has {done} epochs already, trainer.max_epochs={wanted:g} would take some away")


def _wanted(settings: Settings) -> float:
    epochs = settings["trainer"].get("max_epochs")
    return math.inf if epochs is None or epochs < 0 else epochs


def _finished(folder: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads((folder / "summary.json").read_text(encoding="utf-8")).get("finished"))
    return False


def _epochs(folder: Path) -> int:
    """The epochs in metrics.csv."""
    with suppress(OSError, ValueError, KeyError), open(folder / "metrics.csv", encoding="utf-8") as rows:
        return max((int(row["epoch"]) for row in csv.DictReader(rows)), default=0)
    return 0
