"""A run on several devices: which processes it has, starting them, and making them divide the work of a job."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from convscope.cli.processes import (
    RELAUNCHED_BY,
    LaunchedProcess,
    check_processes,
    device_count,
    end_with_parents,
    relaunch_under_torchrun,
    set_ranks,
)
from convscope.cli.resume import config_overrides_of
from convscope.cli.run_start import WORDS, is_in_sweep, typed_words, write_hydra_record
from convscope.runs.atomic_io import write


def checked_processes(cfg: DictConfig) -> tuple[LaunchedProcess | None, int]:
    """This process among those of its run, None for a single one, and the devices of this machine.

    Raises UserError where the number of processes is not the one that the settings ask for.
    """
    process, devices = set_ranks(), device_count(cfg.trainer.get("devices", 1), cfg.trainer.get("accelerator"))
    check_processes(process, devices, cfg.trainer.get("num_nodes", 1), is_in_sweep())
    if RELAUNCHED_BY in os.environ:
        end_with_parents()
    return process, devices


def run_on_devices(cfg: DictConfig, folder: Path, devices: int) -> None:
    """Runs the job in new processes, one per device.

    They read the settings from a folder of their own: that of the run keeps its settings until nothing can be refused.
    """
    with TemporaryDirectory(prefix="convscope-") as settings:
        write_hydra_record(cfg, folder, Path(settings))
        write(Path(settings, WORDS), json.dumps(typed_words()))
        relaunch_under_torchrun(config_overrides_of(folder, Path(settings)), devices)


@contextmanager
def dividing_work(process: LaunchedProcess | None) -> Iterator[None]:
    """Within the block, the processes of this run divide the work of a job, and the others than the first are silent.

    Errors are printed all the same.
    """
    if process is None or process.world_size == 1:
        yield
        return
    from convscope.data.shared_passes import joined_processes

    if process.launcher == "SLURM":  # sets no address to meet at
        from pytorch_lightning.plugins.environments import SLURMEnvironment

        slurm = SLURMEnvironment(auto_requeue=False)
        os.environ |= {"MASTER_ADDR": slurm.main_address, "MASTER_PORT": str(slurm.main_port)}
    with ExitStack() as stack:
        if process.rank:
            os.environ["TTY_COMPATIBLE"] = "0"  # rich draws no progress bars
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        stack.enter_context(joined_processes())
        yield
