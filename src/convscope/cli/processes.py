"""The processes that train one net together: who started them, which of them this one is, and how we start them.

Ranks count from 0; rank 0 alone writes. Nothing here knows torch until processes have to agree on something.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple

from convscope.errors import UserError
from convscope.runs.atomic_io import process_is_alive
from convscope.training.stop import exit_143

RELAUNCHED_BY = "CONVSCOPE_RELAUNCHED"  # the number of the process whose relaunch() started this one
START_TIME = "CONVSCOPE_BEGAN"  # in place of the time in the name of a run folder, conf/config.yaml


class LaunchedProcess(NamedTuple):
    """One process among several. by: torchrun, SLURM (srun) or submitit (on one machine)."""

    by: str
    rank: int
    size: int


def launched_process(env: Mapping[str, str] = os.environ) -> LaunchedProcess | None:
    """Which process this is among those that somebody started for one run; None for a process on its own."""
    if "LOCAL_RANK" in env and "SUBMITIT_LOCAL_GLOBALID" not in env:
        return LaunchedProcess("torchrun", int(env.get("RANK", env["LOCAL_RANK"])), int(env.get("WORLD_SIZE", "1")))
    if int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return LaunchedProcess("SLURM", int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"]))
    if int(env.get("SUBMITIT_LOCAL_NTASKS", "1")) > 1:
        return LaunchedProcess("submitit", int(env["SUBMITIT_LOCAL_GLOBALID"]), int(env["SUBMITIT_LOCAL_NTASKS"]))
    return None


def set_ranks(env: MutableMapping[str, str] = os.environ) -> LaunchedProcess | None:
    """place(), and its rank under the names by which torch and Lightning look for it."""
    here = launched_process(env)
    if here is None:
        return None
    env.update(RANK=str(here.rank), WORLD_SIZE=str(here.size))
    if here.by == "submitit":  # which tells its tasks their ranks, but not where to meet
        env["LOCAL_RANK"] = env["SUBMITIT_LOCAL_LOCALID"]
        env["NODE_RANK"] = env.get("SUBMITIT_LOCAL_NODEID", "0")
        env.setdefault("MASTER_ADDR", "127.0.0.1")
        env.setdefault("MASTER_PORT", str(20_000 + int(env["SUBMITIT_LOCAL_JOB_ID"]) % 20_000))
    return here


def agree_on_start_time() -> None:
    """One time for all processes of a run, so that the folder named for it is one: the first of them sets it.

    A SLURM step has its job's number instead, which stays when the job is requeued. Nothing happens where a process is
    on its own, or the launcher offers no store to meet in (then hydra.run.dir has to name the folder).
    """
    here = launched_process()
    if here is None or START_TIME in os.environ:
        return
    if here.by == "SLURM":
        os.environ[START_TIME] = f"slurm_{os.environ['SLURM_JOB_ID']}_{os.environ.get('SLURM_STEP_ID', '0')}"
    elif os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        from datetime import datetime

        from torch.distributed import TCPStore

        store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
        mine = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
        os.environ[START_TIME] = store.compare_set("convscope/began", "", mine).decode()


def check_single_process(job: str) -> None:
    """Raises UserError where several were started for a job that is for one."""
    here = launched_process()
    if here is not None and here.size > 1:
        raise UserError(f"job={job} runs in one process, {here.by} started {here.size}; start it without {here.by}")


def check_processes(here: LaunchedProcess | None, devices: int, nodes: int, sweep: bool) -> None:
    """Raises UserError where the processes that were started are not those that the settings speak of."""
    if here is None and nodes > 1:
        raise UserError(
            f"trainer.num_nodes={nodes} needs processes on {nodes} machines, and this is one; start it by torchrun "
            "or srun, or as a sweep with hydra/launcher=slurm (docs/clusters.md)"
        )
    if here is None:
        return
    if sweep and here.by == "torchrun":
        raise UserError("a sweep under torchrun: leave torchrun away; trainer.devices=<n> starts them for each run")
    if here.size != devices * nodes:
        raise UserError(
            f"{here.by} started {here.size} processes, but trainer.devices={devices} x trainer.num_nodes={nodes} is "
            f"{devices * nodes}; let trainer.devices be the processes per machine and trainer.num_nodes the machines"
        )


def relaunch_under_torchrun(words: Sequence[str], count: int) -> None:
    """This program with other words under torchrun, one process per device of this machine.

    Lightning's own launch repeats the command line in every process; in a sweep that trains something else. Raises
    UserError when a process fails. SIGTERM ends all of them, then this one (unwind_at_sigterm).
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("SUBMITIT_")}
    env[RELAUNCHED_BY] = str(os.getpid())
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    running = subprocess.Popen([*torchrun, *words], env=env)
    try:
        status = running.wait()
    finally:
        running.terminate()  # torchrun ends its processes before it ends; nothing where it has ended
        running.wait()
    if status:
        raise UserError(f"the run on {count} devices ended with status {status}; its error stands above")


def end_with_parents(every: float = 1.0) -> None:
    """Ends this process, one of relaunch(), soon after torchrun or the process that started it is gone.

    Killed without warning they cannot end it, and a run that nobody watches would write beside the next start.
    """
    above, first = os.getppid(), int(os.environ[RELAUNCHED_BY])

    def watch() -> None:
        while os.getppid() == above and process_is_alive(first):
            time.sleep(every)
        os._exit(1)  # at once, whatever the other threads wait for

    threading.Thread(target=watch, daemon=True).start()


def unwind_at_sigterm() -> None:
    """From now on SIGTERM is SystemExit(143): a job that it ends removes what is half made and says how far it came.

    A second one ends the process at once. Whoever has said what the signal shall do is obeyed; training listens by
    itself (training/stop.py).
    """
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, exit_143)
