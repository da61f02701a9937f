"""The processes of one run: their launcher, the rank of this process, and starting them by torchrun.

Ranks count from 0; rank 0 alone writes. torch is imported only where processes have to agree on a time.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from convscope.errors import INSTALLED, UserError
from convscope.runs.atomic_io import process_is_alive
from convscope.training.stop import exit_143

RELAUNCHED_BY = "CONVSCOPE_RELAUNCHED"  # the id of the process whose relaunch_under_torchrun started this process
REFUSAL = "CONVSCOPE_REFUSAL"  # the file for the line that ends all processes of a run
TORCHRUN = Path(__file__).with_name("torchrun.py")
ENTRY = ["-m", "convscope"] if INSTALLED else [str(Path(__file__).resolve().parents[2] / "run.py")]
START_TIME = "CONVSCOPE_BEGAN"  # in place of the time in the name of a run folder, conf/config.yaml


class LaunchedProcess(NamedTuple):
    """One of several processes. launcher: torchrun, SLURM (srun) or submitit (on one machine)."""

    launcher: str
    rank: int
    world_size: int


def launched_process(env: Mapping[str, str] = os.environ) -> LaunchedProcess | None:
    """This process among those that a launcher started for one run; None for a single process."""
    if "LOCAL_RANK" in env and "SUBMITIT_LOCAL_GLOBALID" not in env:
        return LaunchedProcess("torchrun", int(env.get("RANK", env["LOCAL_RANK"])), int(env.get("WORLD_SIZE", "1")))
    if int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return LaunchedProcess("SLURM", int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"]))
    if int(env.get("SUBMITIT_LOCAL_NTASKS", "1")) > 1:
        return LaunchedProcess("submitit", int(env["SUBMITIT_LOCAL_GLOBALID"]), int(env["SUBMITIT_LOCAL_NTASKS"]))
    return None


def set_ranks(env: MutableMapping[str, str] = os.environ) -> LaunchedProcess | None:
    """Sets the variables from which torch and Lightning read the rank; returns `launched_process`."""
    process = launched_process(env)
    if process is None:
        return None
    env.update(RANK=str(process.rank), WORLD_SIZE=str(process.world_size))
    if process.launcher == "submitit":  # gives its tasks their ranks, but no address to meet at
        env["LOCAL_RANK"] = env["SUBMITIT_LOCAL_LOCALID"]
        env["NODE_RANK"] = env.get("SUBMITIT_LOCAL_NODEID", "0")
        env.setdefault("MASTER_ADDR", "127.0.0.1")
        env.setdefault("MASTER_PORT", str(20_000 + int(env["SUBMITIT_LOCAL_JOB_ID"]) % 20_000))
    return process


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the first of several, which alone writes and logs."""
    return os.environ.get("RANK", "0") == "0"


def agree_on_start_time() -> None:
    """Sets one start time for all processes of a run, so that all of them name the same run folder.

    The first process to arrive sets the time. A SLURM step has the number of its job instead, which stays when the job
    is requeued. Nothing happens for a single process, and where the launcher offers no store to meet in (then
    hydra.run.dir has to name the folder).
    """
    process = launched_process()
    if process is None or START_TIME in os.environ:
        return
    if process.launcher == "SLURM":
        os.environ[START_TIME] = f"slurm_{os.environ['SLURM_JOB_ID']}_{os.environ.get('SLURM_STEP_ID', '0')}"
    elif os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        from datetime import datetime

        from torch.distributed import TCPStore

        store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
        time_here = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
        os.environ[START_TIME] = store.compare_set("convscope/began", "", time_here).decode()


def check_single_process(job: str) -> None:
    """Raises UserError where several processes were started for a job that needs one."""
    process = launched_process()
    if process is not None and process.world_size > 1:
        launcher = process.launcher
        raise UserError(
            f"job={job} runs in one process, {launcher} started {process.world_size}; start it without {launcher}"
        )


def check_processes(process: LaunchedProcess | None, devices: int, nodes: int, sweep: bool) -> None:
    """Raises UserError where the number of processes is not the one that the settings ask for."""
    if type(nodes) is not int or nodes < 1:
        raise UserError(f"trainer.num_nodes={nodes} is no number of machines; take a whole number from 1, e.g. 1")
    if process is None and nodes > 1:
        raise UserError(
            f"trainer.num_nodes={nodes} needs processes on {nodes} machines, and this is one; start it by torchrun "
            "or srun, or as a sweep with hydra/launcher=slurm (docs/clusters.md)"
        )
    if process is None:
        return
    if sweep and process.launcher == "torchrun":
        raise UserError("a sweep under torchrun: leave torchrun away; trainer.devices=<n> starts them for each run")
    if process.world_size != devices * nodes:
        raise UserError(
            f"{process.launcher} started {process.world_size} processes, but trainer.devices={devices} x "
            f"trainer.num_nodes={nodes} is {devices * nodes}; let trainer.devices be the "
            "processes per machine and trainer.num_nodes the machines, or unset LOCAL_RANK where nothing started them"
        )


def device_count(devices: Any, accelerator: Any) -> int:
    """How many devices of this machine trainer.devices asks for: a number, a list of them, or all (auto, -1)."""
    if devices in ("auto", -1, "-1"):
        import torch

        return 1 if accelerator == "cpu" else max(1, torch.cuda.device_count())
    listed = devices.split(",") if isinstance(devices, str) else devices
    is_list = isinstance(listed, Sequence)  # also one of OmegaConf
    count = int(devices) if str(devices).isdigit() else len(listed) if is_list else 0
    if count < 1 or (isinstance(devices, str) and not devices.replace(",", "").isdigit()):
        raise UserError(f"trainer.devices={devices} are no devices; take a number, a list such as [0,1], or auto")
    return count


def relaunch_under_torchrun(arguments: Sequence[str], count: int) -> None:
    """Runs this program with other arguments under torchrun, one process per device of this machine.

    Lightning's own launch repeats the command line in every process, which in a sweep would train another net. Raises
    UserError when a process fails, with its own line if it has one (`refusal_status`). SIGTERM ends all of the
    processes, then this one (unwind_at_sigterm).
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("SUBMITIT_")}
    env[RELAUNCHED_BY] = str(os.getpid())
    env |= {"PYTHONSAFEPATH": "1"} if INSTALLED else {}  # else -m prefers what lies in the working directory
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    torchrun = [sys.executable, "-P", str(TORCHRUN), "--standalone", f"--nproc_per_node={count}", *ENTRY]
    with TemporaryDirectory() as place:
        refusal = Path(place, "refusal")
        running = subprocess.Popen([*torchrun, *arguments], env={**env, REFUSAL: str(refusal)})
        try:
            status = running.wait()
        finally:
            running.terminate()  # torchrun ends its processes first; without effect after its end
            running.wait()
        if refusal.is_file():
            raise UserError(refusal.read_text(encoding="utf-8"))
    if status:
        raise UserError(f"the run on {count} devices ended with status {status}; its error stands above")


def refusal_status(line: str) -> str | int:
    """What sys.exit gets for a run that ends with this line: the line, which Python prints.

    The processes of relaunch_under_torchrun leave it to the one that started them, which prints the first of theirs.
    """
    if REFUSAL not in os.environ:
        return f"convscope: {line}"
    with suppress(FileExistsError), open(os.environ[REFUSAL], "x", encoding="utf-8") as file:
        file.write(line)
    return 1


def refusal() -> str:
    """The line that one of the processes of relaunch_under_torchrun has left for the one that started them, or ""."""
    path = os.environ.get(REFUSAL)
    return Path(path).read_text(encoding="utf-8") if path and Path(path).is_file() else ""


@contextmanager
def quiet_after_refusal() -> Iterator[None]:
    """Ends a process without a word where an error follows from the end of another one, which has left its line."""
    try:
        yield
    except Exception:
        if refusal():
            raise SystemExit(1) from None
        raise


def end_with_parents(interval: float = 1.0) -> None:
    """Ends this process soon after its torchrun, or the process that started torchrun, has ended. interval: seconds.

    Parents that are killed cannot end their children, and such a run would write into the folder of the next start.
    """
    torchrun, first = os.getppid(), int(os.environ[RELAUNCHED_BY])

    def watch() -> None:
        while os.getppid() == torchrun and process_is_alive(first):
            time.sleep(interval)
        os._exit(1)  # at once, whatever the other threads wait for

    threading.Thread(target=watch, daemon=True).start()


def unwind_at_sigterm() -> None:
    """Makes SIGTERM raise SystemExit(143), so that a job can remove incomplete files and print how far it came.

    A second SIGTERM ends the process at once. A handler that is already set stays; training sets its own
    (training/stop.py).
    """
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, exit_143)
