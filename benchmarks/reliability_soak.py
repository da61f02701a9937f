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
from typing import NamedTuple

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
    """The state at every tenth, and how far the last tenth is from the second: the first one loads and warms up."""
    tenths = list(_tenths(found))
    print(f"{name}\n{'done':>6} {'MiB':>8} {'files':>6} {'threads':>8} {'ms each':>8}")
    for done, mark, spent in tenths:
        print(f"{done:6.0%} {mark.memory:8.1f} {mark.files:6d} {mark.threads:8d} {1000 * spent:8.1f}")
    second, last = tenths[1], tenths[-1]
    print(
        f"from the second tenth to the last: memory {last[1].memory / second[1].memory - 1:+.1%}, open files at most "
        f"{max(mark.files for mark in found)}, threads at most {max(mark.threads for mark in found)}, "
        f"time for each {last[2] / second[2] - 1:+.1%}\n",
        flush=True,
    )


def _tenths(found: list[Mark]) -> Iterator[tuple[float, Mark, float]]:
    """(share done, state, mean seconds of a unit in this tenth, all that it pays for now and then included)."""
    for tenth in range(1, 11):
        start, end = len(found) * (tenth - 1) // 10, len(found) * tenth // 10
        first = found[max(0, start - 1)].seconds
        yield end / len(found), found[end - 1], (found[end - 1].seconds - first) / max(1, end - max(1, start))


if __name__ == "__main__":
    main()
