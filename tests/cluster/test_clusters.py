"""Every way of docs/clusters.md to run on several processes or machines, with the launchers, processes and signals of
each; the machines are this one."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from cluster.same import TINY, TWO, assert_same, summary
from conftest import ROOT, convscope
from convscope.cli.processes import check_processes, launched_process
from convscope.errors import UserError

HERE = ['hydra.launcher.setup=["export MASTER_ADDR=127.0.0.1"]', "hydra.launcher.mem_gb=1",
        "hydra.launcher.cpus_per_task=1"]  # fmt: skip
MANY = ["trainer.max_epochs=400", "evolution=off", "optim.batch_size=20"]  # goes on until somebody ends it


def started(words, cwd, *before, **environment):
    """The program in the background, what it says in cwd/said."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *before, str(ROOT / "src/run.py"), *map(str, words)]
    with (cwd / "said").open("ab") as said:
        return subprocess.Popen(command, cwd=cwd, env=env, stdout=said, stderr=said)


def wait_for(path, running):
    wait_until(path.exists, running)


def wait_until(over, running, seconds=120):
    until = time.monotonic() + seconds
    while not over():
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.02)


def ranks(folder):
    """Process numbers of the runs in `folder`."""
    found = subprocess.run(["pgrep", "-f", f"hydra.run.dir=.?{folder}"], capture_output=True, text=True).stdout
    return [int(number) for number in found.split()]


def queue_again(job, env, over):
    """Until `over()`; SLURM by itself lets a job that comes back wait for two minutes."""
    until = time.monotonic() + 120
    while not over():
        assert time.monotonic() < until
        told = subprocess.run(["scontrol", "show", "job", job], env=env, capture_output=True, text=True).stdout
        if "JobState=PENDING" in told:
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], env=env)
        time.sleep(0.3)


def test_joblib_trains_passes_what_finished_and_tells_what_failed(tmp_path, cache):
    """The command of the docs for two seeds, each with two learning rates; another launcher has trained the first."""
    words = ["-m", *TINY, *TWO, "evolution=off", f"data.cache_dir={cache}", "hydra.sweep.dir=outputs/sweep/seeds"]
    first = convscope(*words, "seed=0", "optim.lr=0.01", "name=row", cwd=tmp_path)
    sweep = tmp_path / "outputs/sweep/seeds"
    assert first.returncode == 0 and summary(sweep / "0_row")["finished"], first.stderr
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1", "optim.lr=0.01,-1", "name=row"]
    ended = convscope(*words, *joblib, cwd=tmp_path)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    for row in ("1_row", "3_row"):
        assert f"convscope: {row}: optim.lr=-1 is too small; it is above 0" in ended.stderr
        assert not (sweep / row / "checkpoints").exists()
    assert f"{sweep}/0_row has finished; nothing is left to do" in ended.stdout
    assert summary(sweep / "2_row")["finished"] and summary(sweep / "2_row")["seed"] == 1


def test_submitit_starts_the_processes_of_one_machine(one, tmp_path, cache):
    ended = convscope(
        "-m", "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2", "trainer.devices=2", *TINY, *TWO,
        f"data.cache_dir={cache}", "hydra.sweep.dir=sweep", "name=row", cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert_same(tmp_path / "sweep/0_row", one)


def test_a_slurm_job_on_two_nodes(one, tmp_path, cache, slurm):
    ended = convscope(
        "-m", "hydra/launcher=slurm", "trainer.num_nodes=2", *HERE, *TINY, *TWO, f"data.cache_dir={cache}",
        "hydra.sweep.dir=sweep", "name=row", cwd=tmp_path, **slurm,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert_same(tmp_path / "sweep/0_row", one)


def test_a_preempted_slurm_job_is_queued_again_and_goes_on(tmp_path, cache, slurm):
    words = ["-m", "hydra/launcher=slurm", *HERE, *TINY, *TWO, "evolution=off", f"data.cache_dir={cache}",
             "hydra.sweep.dir=sweep", "name=row", "trainer.max_epochs=20"]  # fmt: skip
    running = started(words, tmp_path, **slurm)
    wait_for(tmp_path / "sweep/0_row/checkpoints/last.ckpt", running)
    env = {**os.environ, **slurm}
    (job,) = subprocess.check_output(["squeue", "-h", "-o", "%A"], env=env, text=True).split()
    subprocess.run(["scancel", "--signal=USR2", job], env=env, check=True)
    queue_again(job, env, lambda: running.poll() is not None)
    assert running.wait(timeout=1) == 0, (tmp_path / "said").read_text()
    logs = "".join(path.read_text() for path in (tmp_path / "sweep/.submitit").rglob("*.out"))
    assert re.search(r"0_row goes on after epoch \d+ of 20( and \d of \d batches of the next)?\n", logs)
    assert summary(tmp_path / "sweep/0_row")["finished"] and summary(tmp_path / "sweep/0_row")["final"]["epoch"] == 20


def test_the_script_of_the_docs_is_queued_again_and_goes_on(tmp_path, cache, slurm):
    (script,) = re.findall(r"```bash\n(#!.*?)```", (ROOT / "docs/clusters.md").read_text(), re.DOTALL)
    words = " ".join([*TINY, *TWO, "trainer.max_epochs=20", "evolution=off", f"data.cache_dir={cache}"])
    (tmp_path / "job.sh").write_text(
        script.replace("python src/run.py", f"{sys.executable} {ROOT}/src/run.py").rstrip() + f" {words}\n"
    )
    env = {**os.environ, **slurm, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    command = ["sbatch", "--parsable", "--mem=1G", "--output=said", "--open-mode=append", "job.sh"]
    job = subprocess.check_output(command, cwd=tmp_path, env=env, text=True).strip()
    folder, until = tmp_path / f"outputs/train/slurm_{job}_0_zfnet", time.monotonic() + 120
    while not (folder / "checkpoints/last.ckpt").exists():
        assert time.monotonic() < until, (tmp_path / "said").read_text()
        time.sleep(0.02)
    subprocess.run(["scontrol", "requeue", job], env=env, check=True)
    queue_again(job, env, lambda: (folder / "summary.json").is_file() and summary(folder)["finished"])
    assert re.search(
        r"goes on after epoch \d+ of 20( and \d of \d batches of the next)?\n", (tmp_path / "said").read_text()
    )
    assert [path.name for path in folder.parent.iterdir()] == [folder.name] and not list(folder.glob("hpc*"))


def test_torchrun_by_hand_on_two_machines_finds_one_folder(one, tmp_path, cache, unused_port):
    torchrun = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d",
                f"--rdzv_endpoint=127.0.0.1:{unused_port}", "--rdzv_id=7", "--local_addr=127.0.0.1"]  # fmt: skip
    words = ["trainer.num_nodes=2", *TINY, *TWO, f"data.cache_dir={cache}"]
    nodes = [started(words, tmp_path, *torchrun) for _ in range(2)]
    assert [node.wait(timeout=240) for node in nodes] == [0, 0], (tmp_path / "said").read_text()
    (folder,) = (tmp_path / "outputs/train").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_[-\d]+_zfnet", folder.name)
    assert_same(folder, one)


def test_a_process_that_is_killed_takes_the_others_with_it(tmp_path, cache):
    run = tmp_path / "run"
    running = started(["trainer.devices=2", *TINY, *MANY, f"data.cache_dir={cache}", f"hydra.run.dir={run}"], tmp_path)
    wait_for(run / "checkpoints/last.ckpt", running)
    os.kill(max(ranks(run)), signal.SIGKILL)
    assert running.wait(timeout=60) == 1, (tmp_path / "said").read_text()
    assert ranks(run) == []
    said = (tmp_path / "said").read_text()
    assert "\nprocess 1 was ended by the signal Killed\nconvscope: the run on 2 devices ended with status" in said
    assert "torch.distributed.elastic" not in said


@pytest.mark.slow
def test_an_error_in_one_process_ends_all_of_them(tmp_path):
    """An image goes bad while the run reads it again and again: one process meets it, the other not."""
    draw = np.random.default_rng(0)
    for held in (f"{part}/{name}" for part in ("train", "val") for name in "ab"):
        (tmp_path / "data" / held).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(draw.integers(0, 256, (80, 80, 3), np.uint8)).save(tmp_path / f"data/{held}/{number}.png")
    run = tmp_path / "run"
    words = ["data=folder", f"data.root={tmp_path}/data", "data.image_size=64", "data.cache_gib=0", "data.workers=0",
             "model.width=0.05", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=400",
             "optim.batch_size=2", "evolution=off", f"data.cache_dir={tmp_path}/cache"]  # fmt: skip
    running = started([*words, f"hydra.run.dir={run}"], tmp_path)
    wait_for(run / "checkpoints/last.ckpt", running)
    (tmp_path / "data/train/a/0.png").write_bytes(b"")
    assert running.wait(timeout=60) == 1
    said = (tmp_path / "said").read_text()
    assert ranks(run) == [] and "Traceback" not in said
    assert len(re.findall("(?m)^convscope: .*train/a/0.png can no longer be read", said)) == 1


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"LOCAL_RANK": "1", "RANK": "3", "WORLD_SIZE": "4"}, ("torchrun", 3, 4)),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}, ("SLURM", 1, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, None),  # a batch script, not yet under srun
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SUBMITIT_LOCAL_NTASKS": "2", "SUBMITIT_LOCAL_GLOBALID": "1"}, ("submitit", 1, 2)),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "LOCAL_RANK": "0"}, ("torchrun", 0, 1)),
    ],
)
def test_who_started_a_process(env, expected):
    assert launched_process(env) == expected


@pytest.mark.parametrize(
    ("env", "settings", "said"),
    [
        ({}, (1, 2, False), r"num_nodes=2 needs processes on 2 machines, and this is one; start it by torchrun"),
        (
            {"LOCAL_RANK": "0", "WORLD_SIZE": "2"},
            (1, 1, False),
            r"torchrun started 2 processes, but trainer.devices=1",
        ),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2"}, (2, 1, True), r"a sweep under torchrun: leave torchrun away"),
    ],
)
def test_processes_that_do_not_fit_the_settings(env, settings, said):
    with pytest.raises(UserError, match=said):
        check_processes(launched_process(env), *settings)
