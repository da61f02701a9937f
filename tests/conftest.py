"""Shared by all tests: the program as a user starts it, and one small finished run."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from convscope.cli.environment import accept_help_texts_of_hydra
from prepared import prepared

pytest_plugins = ["run_folders"]
accept_help_texts_of_hydra()  # as the program does at its start: many tests run parts of it in their own process
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start of the program compiles it anew,
sys.dont_write_bytecode = False  # and each start of the tests takes the asserts of 260 files apart
ROOT = Path(__file__).resolve().parent.parent
SMALL = [
    "data.train=80", "data.val=40", "data.image_size=64", "model.width=0.1", "evolution.maps=4",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "optim.batch_size=20",
]  # fmt: skip


STARTING = {"trained", "cache", "browser", "slurm"}  # fixtures of runs, trainings, browsers and clusters
LONGEST = ["test_readme.py", "test_clusters.py", "test_conf.py", "test_processes.py", "test_installation.py",
           "test_no_float64.py", "test_loggers.py", "test_resume.py", "test_runs_of_0_1.py", "test_atlas_browser.py",
           "test_atomic_io.py", "test_adding_an_analysis.py", "test_hostile.py", "test_foreign_trainer.py",
           "test_python_docs.py", "test_settings.py", "test_environment.py", "test_browser.py",
           "test_map_browser.py"]  # fmt: skip


def pytest_collection_modifyitems(items):
    """Marks as slow what starts a run, a browser or a cluster by a fixture; other tests say so themselves.

    Puts the longest files first: one that is left for the end keeps a worker busy when the others have nothing to do.
    """
    for item in items:
        if STARTING & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


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


def pytest_collection_finish():
    """Leaves half a million objects of libraries and tests out of what is searched for garbage again and again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    gc.unfreeze()  # else libraries report at the end what they take for leaks


@pytest.fixture(scope="session", name="cache")
def cache_of_images(tmp_path_factory):
    """One cache of decoded images for all runs of the session, and of all workers of pytest."""
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def trained(tmp_path_factory, cache):
    """The run folder of a small net after two epochs on critters; CONVSCOPE_TRAINED: of the tests that start these."""
    if "CONVSCOPE_TRAINED" in os.environ:
        return Path(os.environ["CONVSCOPE_TRAINED"])
    place = tmp_path_factory.mktemp("trained")
    ended = convscope(*SMALL, f"data.cache_dir={cache}", f"hydra.run.dir={place}/run", cwd=place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place / "run"
