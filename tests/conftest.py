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


STARTING = {"trained", "cache", "page", "slurm"}  # fixtures of runs, trainings, browsers and clusters


def pytest_collection_modifyitems(items):
    """Marks as slow what starts a run, a browser or a cluster by a fixture; other tests say so themselves."""
    for item in items:
        if STARTING & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@cache
def prepared():
    """What has imported torch and waits to become the program."""
    folder = Path(tempfile.mkdtemp(prefix="convscope-tests-"))
    waiting = Prepared(folder)
    atexit.register(lambda: (waiting.close(), shutil.rmtree(folder, ignore_errors=True)))
    return waiting


def convscope(*words, cwd, signaled=(), **environment):
    """Runs `python src/run.py <words>` in `cwd` and returns the finished process.

    It is a fork of a process that has imported what is slow, where the system has forks; else a new interpreter.
    signaled: a pattern and the name of the signal that it gets as soon as a file of the pattern is in `cwd`.
    """
    command = [str(ROOT / "src/run.py"), *map(str, words)]
    return python(*([ROOT / "tests/signaled.py", *signaled, *command] if signaled else command), cwd=cwd, **environment)


def python(*command, cwd, **environment):
    """Runs `python <file> <words>` in `cwd`, prepared like the program, and returns the finished process."""
    command, env = [*map(str, command)], {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **environment}
    if hasattr(os, "fork"):
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
