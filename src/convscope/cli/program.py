"""A command line becomes settings, of one job or of several in a sweep. With run.py the only files that know Hydra."""

from __future__ import annotations

import gc
import json
import os
import re
import shlex
import shutil
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convscope.cli.errors import check_choices, existing_choices, explain_hydra_error
from convscope.cli.jobs import JOBS
from convscope.cli.processes import (
    RELAUNCHED_BY,
    agree_on_start_time,
    check_processes,
    check_single_process,
    end_with_parents,
    relaunch_under_torchrun,
    set_ranks,
    unwind_at_sigterm,
)
from convscope.cli.resume import CONF, ENTRY, config_overrides_of, resolve_resume, training_settings
from convscope.cli.sweeps import EndWith, LastPage
from convscope.errors import Stopped, UserError
from convscope.runs.atomic_io import cannot_write, check_writable, write
from convscope.runs.config_diff import flattened
from convscope.runs.throttle import Throttle
from convscope.runs.unfinished import has_checkpoint, needs_training, training_lock

GARBAGE = Throttle(1 / 20)  # of a sweep's time: collected after each of its runs, if they are not very short
SECRET = re.compile(r"\$\{\s*oc\.env\s*:\s*(\w*(?:KEY|TOKEN|SECRET|PASSW|CREDENTIAL)\w*)", re.IGNORECASE)


def start(conf: Path) -> None:
    """Composes the command line and runs it; a UserError ends in one line and status 1, SIGTERM in status 143."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us as they are
    unwind_at_sigterm()
    try:
        if strange := [word for word in sys.argv[1:] if word.encode(errors="ignore").decode() != word]:
            raise UserError(f"{ascii(strange[0])} holds bytes that are no UTF-8; rename what it names")
        check_choices(conf, sys.argv[1:])
        sys.argv[1:] = resolve_resume(sys.argv[1:])
        agree_on_start_time()
        try:
            hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(run)()
        finally:
            LastPage.work()
            EndWith.work()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"convscope: {_one_line(error, conf)}")
    except OSError as error:
        if any(frame.f_code is run.__code__ for frame, _ in walk_tb(error.__traceback__)):
            raise
        sys.exit(f"convscope: {cannot_write(error.filename, error)}")  # Hydra could not make the folder of the run
    except SystemExit as end:
        if end.code == 143 and not isinstance(end, Stopped):
            print("convscope: ended by SIGTERM", file=sys.stderr)
        sys.exit(143 if type(end).__name__ == "SIGTERMException" else end.code)


def _one_line(error: Exception, conf: Path) -> str:
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    return explain_hydra_error(str(error), conf, lambda: _keys(conf))


def _keys(conf: Path) -> list[str]:
    """All keys that the choices of this command line have."""
    with initialize_config_dir(str(conf), version_base="1.3"):
        composed = hydra.compose("config", overrides=existing_choices(conf, sys.argv[1:]), return_hydra_config=True)
    held: Any = OmegaConf.to_container(composed)
    return list(flattened(held))


def run(cfg: DictConfig) -> None:
    """One job of a single run or of a sweep."""
    if cfg.job not in JOBS:
        raise UserError(f"unknown job {cfg.job}; possible: {', '.join(f'job={name}' for name in JOBS)}")
    if type(cfg.seed) is not int or not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed={cfg.seed} is no seed; take a whole number from 0 on")
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        check_writable(folder)
        if cfg.job == "train":
            _train_what_is_left(cfg, folder)
        else:
            check_single_process(cfg.job)
            if cfg.job != "report":  # which writes into the folder of another run
                _keep(cfg, folder / ".hydra")
            JOBS[cfg.job](_settings(cfg), folder)
    except (UserError, OmegaConfBaseException) as error:
        line = _one_line(error, CONF)
        if HydraConfig.get().mode == RunMode.MULTIRUN:  # the others go on; the sweep ends with status 1
            _note(folder, cfg, line)
            print(f"convscope: {folder.name}: {line}", file=sys.stderr, flush=True)
            raise
        _leave_nothing(folder)
        raise SystemExit(f"convscope: {line}") from None  # of an exception Hydra would print the overrides first
    except (SystemExit, KeyboardInterrupt):
        _leave_nothing(folder)
        raise
    finally:
        if HydraConfig.get().mode == RunMode.MULTIRUN and GARBAGE.due:
            with GARBAGE.counted():
                gc.collect()  # what a run that is over holds in circles: its net, on a GPU too, and open files


def _note(folder: Path, cfg: DictConfig, line: str) -> None:
    """A row of a sweep that was refused before it recorded anything says why, so that tables of the sweep have it."""
    said = {"job": cfg.job, "name": cfg.name, "seed": cfg.seed, "finished": False, "problem": line}
    with suppress(OSError, UserError), training_lock(folder):
        if _nothing_recorded(folder):
            write(folder / "summary.json", json.dumps(said, indent=2) + "\n")


def _leave_nothing(folder: Path) -> None:
    """Removes the folder of a run that ended before it recorded anything; the process that began it does."""
    if folder.resolve() in (Path.cwd(), *Path.cwd().parents) or not _nothing_recorded(folder):
        return
    with suppress(UserError), training_lock(folder):  # else it is another process that has just begun here
        shutil.rmtree(folder, ignore_errors=True)
    for above in folder.absolute().parents[:2]:  # outputs/train, where it has just been made
        with suppress(OSError):
            if Path.cwd() in above.parents:
                above.rmdir()


def _nothing_recorded(folder: Path) -> bool:
    """Whether a run has come no further here than its own config; of several processes only the first may say so."""
    started = set_ranks()
    if RELAUNCHED_BY in os.environ or (started and started.rank):
        return False
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {".hydra"}


def _settings(cfg: DictConfig) -> dict[str, Any]:
    typed: Any = OmegaConf.to_container(cfg)
    for key, value in flattened(typed).items():
        if isinstance(value, str) and (named := SECRET.search(value)):
            raise UserError(
                f"{key}={value} would write ${named[1]} into the files of the run; programs read it by itself"
            )
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    return {**settings, "words": list(HydraConfig.get().overrides.task)}


def _train_what_is_left(cfg: DictConfig, folder: Path) -> None:
    """Begins the run of `folder`, goes on with it, or says that it has finished."""
    settings = _settings(cfg)
    here, ours = (
        set_ranks(),
        RELAUNCHED_BY in os.environ,
    )  # where it was ours to start the processes, we hold the folder
    check_processes(here, _processes(cfg), cfg.trainer.get("num_nodes", 1), HydraConfig.get().mode == RunMode.MULTIRUN)
    if ours:
        end_with_parents()
    with nullcontext() if ours or (here and here.rank) else training_lock(folder):
        if not needs_training(folder, training_settings(folder), settings):
            print(f"{folder} has finished; nothing is left to do", flush=True)
            return
        if here is None or here.rank == 0:
            _keep(cfg, folder / ".hydra")
        if here is None and _processes(cfg) > 1:
            return relaunch_under_torchrun([str(ENTRY), *config_overrides_of(folder)], _processes(cfg))
        try:
            JOBS["train"](settings, folder)
        except (SystemExit, KeyboardInterrupt):
            if (here is None or here.rank == 0) and has_checkpoint(folder):
                print(_how_to_go_on(folder), flush=True)
            raise


def _how_to_go_on(folder: Path) -> str:
    known = HydraConfig.get()
    if known.mode == RunMode.MULTIRUN:
        return f"go on with the same command and {shlex.quote(f'hydra.sweep.dir={known.sweep.dir}')}"
    below = Path.cwd() in folder.absolute().parents
    return f"go on with: python src/run.py {shlex.quote(f'resume={os.path.relpath(folder) if below else folder}')}"


def _keep(cfg: DictConfig, place: Path) -> None:
    """Hydra's own record of a run, written by us: Hydra would write it before anyone could object to the settings."""
    known: Any = OmegaConf.to_container(HydraConfig.get())
    runtime = {key: known["runtime"][key] for key in ("version", "choices")}  # without the paths of this machine
    sources = [source["path"] for source in known["runtime"]["config_sources"]]
    kept: dict[str, Any] = {"config.yaml": cfg}
    if str(place) not in sources:  # else the words are another start's
        kept |= {"hydra.yaml": {"hydra": {**known, "runtime": runtime}}, "overrides.yaml": known["overrides"]["task"]}
    for name, content in kept.items():
        write(place / name, OmegaConf.to_yaml(OmegaConf.create(content)))


def _processes(cfg: DictConfig) -> int:
    """How many devices of this machine the run takes: a number, a list of them, or all (auto, -1)."""
    devices = cfg.trainer.get("devices", 1)
    if devices in ("auto", -1, "-1"):
        import torch

        return 1 if cfg.trainer.accelerator == "cpu" else max(1, torch.cuda.device_count())
    listed = devices.split(",") if isinstance(devices, str) else devices
    count = int(devices) if str(devices).isdigit() else 0 if isinstance(listed, int) else len(listed)
    if count < 1 or (isinstance(devices, str) and not devices.replace(",", "").isdigit()):
        raise UserError(f"trainer.devices={devices} are no devices; take a number, a list such as [0,1], or auto")
    return count
