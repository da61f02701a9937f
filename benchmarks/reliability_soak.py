"""What grows in a process that lives long: 2,000 short epochs, and 200 trainings of one sweep, as a user starts them.

Memory, open files, threads and processor time are read from outside, in /proc, after every epoch and every training;
Linux alone. Processor time, because a busy machine stretches the clock's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from scipy.stats import theilslopes

ROOT = Path(__file__).resolve().parent.parent
TINY = ["model.width=0.05", "data.train=40", "data.val=20", "data.image_size=64", "data.workers=0",
        "optim.batch_size=20", "trainer.accelerator=cpu", "evolution.maps=2",
        "evolution.layers=[conv1,conv3]"]  # fmt: skip


class Mark(NamedTuple):
    """The process when one more unit (an epoch, a training) was done. seconds: of the processor, so far. memory:
    resident, in MiB.
    """

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
    ticks = sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:13]))  # user and system
    return Mark(ticks / os.sysconf("SC_CLK_TCK"), memory, len(list((place / "fd").iterdir())), int(said["Threads"]))


def told(name: str, found: list[Mark]) -> None:
    """The state at every tenth, and what has grown since the first one, which loads and warms up."""
    tenths = list(_parts(found, 10))
    print(f"{name}\n{'done':>6} {'MiB':>8} {'files':>6} {'threads':>8} {'ms each':>8}")
    for done, mark, spent in tenths:
        print(f"{done:6.0%} {mark.memory:8.1f} {mark.files:6d} {mark.threads:8d} {1000 * spent:8.1f}")
    fine = list(_parts(found, min(50, len(found))))
    low, middle, high = trend([spent for _, _, spent in fine[len(fine) // 10 :]])
    print(
        f"from the second tenth on: memory {tenths[-1][1].memory / tenths[1][1].memory - 1:+.1%}, open files at most "
        f"{max(mark.files for mark in found)}, threads at most {max(mark.threads for mark in found)}, time for each "
        f"{middle:+.1%}, with 95 % between {low:+.1%} and {high:+.1%}\n",
        flush=True,
    )


def trend(values: list[float]) -> tuple[float, float, float]:
    """By how much of their median the values grow from the first to the last, by the slope of Theil and Sen: the ends
    of its 95 % interval and itself between them. Bursts, as of a machine that others use, move it little.
    """
    slope, _, low, high = theilslopes(values)
    over = (len(values) - 1) / median(values)
    return low * over, slope * over, high * over


def _parts(found: list[Mark], count: int) -> Iterator[tuple[float, Mark, float]]:
    """(share done, state, mean seconds of a unit in this part, all that it pays for now and then included)."""
    for part in range(1, count + 1):
        start, end = len(found) * (part - 1) // count, len(found) * part // count
        first = found[max(0, start - 1)].seconds
        yield end / len(found), found[end - 1], (found[end - 1].seconds - first) / max(1, end - max(1, start))


if __name__ == "__main__":
    main()
