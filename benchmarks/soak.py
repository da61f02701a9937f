"""What grows in a process that lives long: 2,000 short epochs, and 200 trainings of one sweep, as a user starts them.

Memory, open files and threads are read from outside, in /proc, each time a tenth is done; Linux alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TINY = ["model.width=0.05", "data.train=40", "data.val=20", "data.image_size=64", "data.workers=0", "optim.batch_size=20",
        "trainer.accelerator=cpu", "evolution.maps=2", "evolution.layers=[conv1,conv3]"]  # fmt: skip


class Mark(NamedTuple):
    """The process when one more unit (an epoch, a training) was done. memory: resident, in MiB."""

    seconds: float
    memory: float
    files: int
    threads: int


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--epochs", type=int, default=2000)
    asked.add_argument("--jobs", type=int, default=200)
    asked = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        words = [*TINY, f"data.cache_dir={place}/cache", f"hydra.run.dir={place}/run"]
        told(f"{asked.epochs:,} epochs", marks([*words, f"trainer.max_epochs={asked.epochs}"], "epoch "))
        seeds = ",".join(map(str, range(asked.jobs)))
        sweep = ["-m", *words, "trainer.max_epochs=1", f"seed={seeds}", f"hydra.sweep.dir={place}/sweep"]
        told(f"{asked.jobs} trainings of one sweep", marks(sweep, "look at "))


def marks(words: list[str], beginning: str) -> list[Mark]:
    """One for each line of the program's output that begins so."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, str(ROOT / "src/run.py"), *words]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, bufsize=1) as running:
        found = [_mark(running.pid) for line in running.stdout or () if line.startswith(beginning)]
    if running.returncode:
        sys.exit(f"{' '.join(command)} ended with status {running.returncode}")
    return found


def _mark(process: int) -> Mark:
    place = Path(f"/proc/{process}")
    said = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    memory = int(said["VmRSS"].split()[0]) / 1024
    return Mark(time.perf_counter(), memory, len(list((place / "fd").iterdir())), int(said["Threads"]))


def told(name: str, found: list[Mark]) -> None:
    """The state at every tenth, and how far the last tenth is from the first."""
    print(f"{name}\n{'done':>6} {'MiB':>8} {'files':>6} {'threads':>8} {'ms each':>8}")
    for done, mark, spent in _tenths(found):
        print(f"{done:6.0%} {mark.memory:8.1f} {mark.files:6d} {mark.threads:8d} {1000 * spent:8.1f}")


def _tenths(found: list[Mark]) -> Iterator[tuple[float, Mark, float]]:
    """(share done, state, median seconds of a unit in this tenth)."""
    each = np.diff([mark.seconds for mark in found], prepend=np.nan)
    for tenth in range(1, 11):
        start, end = len(found) * (tenth - 1) // 10, len(found) * tenth // 10
        if end > start:
            yield end / len(found), found[end - 1], float(np.nanmedian(each[start:end]))


if __name__ == "__main__":
    main()
