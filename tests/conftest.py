"""Shared by all tests: the program as a user starts it, and one small finished run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SMALL = [
    "data.train=80", "data.val=40", "data.image_size=64", "model.width=0.1", "evolution.maps=4",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "optim.batch_size=20",
]  # fmt: skip


def convscope(*words, cwd, **environment):
    """Runs `python src/run.py <words>` in `cwd` and returns the finished process."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **environment}
    command = [sys.executable, str(ROOT / "src/run.py"), *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One cache of decoded images for all runs of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, cache):
    """The run folder of a small net after two epochs on critters."""
    place = tmp_path_factory.mktemp("trained")
    ended = convscope(*SMALL, f"data.cache_dir={cache}", f"hydra.run.dir={place}/run", cwd=place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place / "run"
