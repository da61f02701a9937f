"""Training runs that are killed again and again, and whether what they leave is what an unbroken run leaves.

A thread in the program itself sends SIGKILL when the main thread is at a chosen place, for example within a checkpoint
that is being written; then the run is started again. In the end the folders are compared file by file.
"""

import argparse
import csv
import json
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLACES = {  # what the main thread is doing -> the function that it is in
    "anything": "fit",
    "a training step": "training_step",
    "a validation step": "validation_step",
    "drawing": "_draw_grid",
    "writing a checkpoint": "save_checkpoint",
    "writing metrics.csv": "row",
    "writing the page": "write_page",
}
TINY = ["data.train=40", "data.val=20", "data.image_size=64", "model.width=0.05", "optim.batch_size=10",
        "trainer.accelerator=cpu", "data.workers=0", "evolution.maps=2", "evolution.layers=[conv1,conv3]",
        "checkpoint.every_steps=1"]  # fmt: skip
EPOCHS = 20
APART = {"seconds", "images_per_second", "spent"}  # wall times
APART |= {"current_score"}  # of Lightning's: written, not restored, read by nobody
APART |= {"git"}  # of a working copy that somebody changes meanwhile


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kills", type=int, default=50)
    asked.add_argument("--seed", type=int, default=0)
    kills, draw, start = asked.parse_args().kills, random.Random(asked.parse_args().seed), time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        whole, left = Path(place) / "whole", kills
        words = [*TINY, f"trainer.max_epochs={EPOCHS}", f"data.cache_dir={place}/cache"]
        started([*words, f"hydra.run.dir={whole}"])
        done, lost, runs, unlike = Counter[str](), 0, 0, list[str]()
        while left:
            run = Path(place) / f"run{runs}"
            found, gone = killed_until_done([*words, f"hydra.run.dir={run}"], run, left, draw)
            done, lost, left, runs = done + found, lost + gone, left - found.total(), runs + 1
            unlike += [f"{run.name}: {line}" for line in different(whole, run)]
        spent = time.perf_counter() - start
    print(f"{kills} kills in {runs} runs, {spent:.0f} s; epochs lost: {lost}; files unlike the unbroken: {len(unlike)}")
    print("; ".join(f"{count} in {name}" for name, count in done.most_common()))
    print("\n".join(unlike))
    sys.exit(bool(lost or unlike))


def killed_until_done(words: list[str], run: Path, most: int, draw: random.Random) -> tuple[Counter[str], int]:
    """Starts a run, kills it at a random place and starts it again, `most` times or until it is through.

    Returns the kills by place, and how many epochs had been told of that the next start did not go on after.
    """
    done, lost, told = Counter[str](), 0, 0
    while True:
        name = draw.choice(list(PLACES))
        times = draw.randint(1, 2000) if name == "anything" else draw.randint(1, 3)
        said = started(words, *([PLACES[name], str(times)] if done.total() < most else []))
        epochs = [int(epoch) for epoch in re.findall(r"^epoch (\d+)/", said, re.MULTILINE)]
        lost += max(0, told - _kept(said, epochs, told))
        told = max([told, *epochs])
        if finished(run):
            return done, lost
        done[name] += 1


def _kept(said: str, epochs: list[int], told: int) -> int:
    """The epochs that a start did not do again: as it says, or as the first one that it tells of shows.

    All that had been told of where it was killed before either, or where nothing was left but the page.
    """
    begun = re.search(r"goes on after epoch (\d+) of \d+( and \d+ of)?", said)
    return int(begun[1]) + bool(begun[2]) if begun else min([told, *(epoch - 1 for epoch in epochs)])


def finished(run: Path) -> bool:
    path = run / "summary.json"
    return path.is_file() and bool(json.loads(path.read_text())["finished"])


def started(words: list[str], *place: str) -> str:
    """What a run says until it is through or, at this place and this often there, killed."""
    program = [str(Path(__file__)), "--inside", *place, "--"] if place else [str(ROOT / "src" / "run.py")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, *program, *words], env=env, capture_output=True, text=True, timeout=600)
    if ended.returncode not in (0, -signal.SIGKILL):
        sys.exit(f"status {ended.returncode}: {ended.stdout}{ended.stderr}")
    return ended.stdout


def different(one: Path, other: Path) -> list[str]:
    """A line for each file that two run folders do not have in common, wall times and folders' names aside."""
    files = [{path.relative_to(run) for path in run.rglob("*") if path.is_file()} for run in (one, other)]
    files = [{name for name in found if name.parts[0] != ".hydra"} for found in files]  # how they were started
    lines = [f"{name} is in one only" for name in sorted(files[0] ^ files[1])]
    for name in sorted(files[0] & files[1]):
        if name.parts[0] not in ("report", "about.json") and _content(one, name) != _content(other, name):
            lines.append(f"{name} differs")
    return lines


def _content(run: Path, name: Path) -> Any:
    path = run / name
    if path.suffix == ".ckpt":
        import torch

        return _plain(torch.load(path, weights_only=True), str(run))
    if path.suffix in (".csv", ".json") and path.parent == run:
        rows = list(csv.DictReader(path.open())) if path.suffix == ".csv" else json.loads(path.read_text())
        return _plain(rows, str(run))
    return path.read_bytes()


def _plain(held: Any, run: str) -> Any:
    """Without wall times, tensors as their bytes; the folder's own name goes."""
    if isinstance(held, dict):
        return {_plain(key, run): _plain(value, run) for key, value in held.items() if key not in APART}
    if isinstance(held, list | tuple):
        return [_plain(value, run) for value in held]
    if isinstance(held, str):
        told = held.replace(run, "")
        return [_plain(json.loads(line), run) for line in told.splitlines()] if told.startswith('{"epoch"') else told
    return (held.dtype, held.shape, held.numpy().tobytes()) if hasattr(held, "numpy") else held


def _inside(function: str, times: int, words: list[str]) -> None:
    """The program, with a thread that kills it when the main thread is in `function` for so many-th time."""
    sys.setswitchinterval(1e-5)
    main_thread = threading.main_thread().ident or 0

    def watch() -> None:
        met, was = 0, False
        while True:
            frame, there = sys._current_frames().get(main_thread), False
            with suppress(AttributeError):  # what stands for a frame of a running thread need not be one
                while frame is not None and not there:
                    there, frame = frame.f_code.co_name == function, frame.f_back
            met += there and (function == PLACES["anything"] or not was)
            if there and met >= times:
                time.sleep(random.random() * 0.004)
                os.kill(os.getpid(), signal.SIGKILL)
            was = there
            time.sleep(0.0003)

    threading.Thread(target=watch, daemon=True).start()
    sys.argv, sys.path[0] = [str(ROOT / "src" / "run.py"), *words], str(ROOT / "src")
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _inside(sys.argv[2], int(sys.argv[3]), sys.argv[5:])
    else:
        main()
