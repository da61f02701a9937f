"""A real SLURM of two nodes on this machine, for the time of the tests, and words that make a run of seconds."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cluster.same import TINY
from conftest import convscope

HERE = Path(__file__).resolve().parent
NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """The environment in which SLURM's commands find the two nodes."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    reason = f"no {', '.join(missing)} here; `make slurm` installs them" if missing else ""
    if not reason and os.geteuid() != 0:
        reason = "starting SLURM needs root"
    if reason:
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    try:
        up = subprocess.run([HERE / "slurm_up.sh", folder], capture_output=True, text=True, timeout=60)
        assert up.returncode == 0, up.stdout + up.stderr
        yield {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    finally:
        subprocess.run([HERE / "slurm_down.sh", folder], timeout=60)


@pytest.fixture(scope="session")
def one(tmp_path_factory, cache):
    """The folder of a run in one process with the steps that two processes take together in the other tests."""
    place = tmp_path_factory.mktemp("one")
    words = [*TINY, "evolution.maps=2", "optim.batch_size=20", f"data.cache_dir={cache}", "hydra.run.dir=run"]
    ended = convscope(*words, cwd=place)
    assert ended.returncode == 0, ended.stderr
    return place / "run"
