"""Shared by all tests: the program as a user starts it, and one small finished run."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from prepared import Prepared

pytest_plugins = ["run_folders"]
ROOT = Path(__file__).resolve().parent.parent
SMALL = [
    "data.train=80", "data.val=40", "data.image_size=64", "model.width=0.1", "evolution.maps=4",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "optim.batch_size=20",
]  # fmt: skip


@cache
def prepared():
    """What has imported torch and waits to become the program."""
    folder = Path(tempfile.mkdtemp(prefix="convscope-tests-"))
    waiting = Prepared(folder)
    atexit.register(lambda: (waiting.close(), shutil.rmtree(folder, ignore_errors=True)))
    return waiting


def convscope(*words, cwd, fresh=False, signaled=(), **environment):
    """Runs `python src/run.py <words>` in `cwd` and returns the finished process.

    fresh: a new interpreter, where the program is to start others of itself; else a fork of one that has imported what
    is slow. signaled: a pattern and the name of the signal that it gets as soon as a file of the pattern is in `cwd`.
    """
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **environment}
    command = [str(ROOT / "src/run.py"), *map(str, words)]
    command = [str(ROOT / "tests/signaled.py"), *signaled, *command] if signaled else command
    if not fresh and hasattr(os, "fork"):
        return prepared().start(command, cwd, env)
    return subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="session", name="cache")
def cache_of_images(tmp_path_factory):
    """One cache of decoded images for all runs of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, cache):
    """The run folder of a small net after two epochs on critters."""
    place = tmp_path_factory.mktemp("trained")
    ended = convscope(*SMALL, f"data.cache_dir={cache}", f"hydra.run.dir={place}/run", cwd=place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place / "run"
