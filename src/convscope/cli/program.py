"""From the command line to settings, and from settings to a job, once or for each run of a sweep."""

from __future__ import annotations

import gc
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
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
from convscope.cli.jobs import JOBS, with_nets_by_name
from convscope.cli.keys import check_composed
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

GARBAGE = Throttle(1 / 20)  # the share of a sweep's time that collecting garbage between its runs may take
SECRET = re.compile(r"\$\{\s*oc\.env\s*:\s*(\w*(?:KEY|TOKEN|SECRET|PASSW|CREDENTIAL)\w*)", re.IGNORECASE)


def start(conf: Path) -> None:
    """Composes the command line and runs it; a UserError ends in one line and status 1, SIGTERM in status 143."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra passes errors on unchanged
    unwind_at_sigterm()
    try:
        _compose_and_run(conf)
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


def _compose_and_run(conf: Path) -> None:
    arguments = sys.argv[1:]
    if undecodable := [argument for argument in arguments if argument.encode(errors="ignore").decode() != argument]:
        raise UserError(f"{ascii(undecodable[0])} holds bytes that are no UTF-8; rename what it names")
    check_choices(conf, arguments)
    sys.argv[1:] = resolve_resume(arguments)
    agree_on_start_time()
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(run)()
    finally:
        LastPage.write()
        EndWith.run_job()


def _one_line(error: Exception, conf: Path) -> str:
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    return explain_hydra_error(str(error), conf, lambda: _keys(conf))


def _keys(conf: Path) -> list[str]:
    """All keys of the choices on this command line."""
    with initialize_config_dir(str(conf), version_base="1.3"):
        composed = hydra.compose("config", overrides=existing_choices(conf, sys.argv[1:]), return_hydra_config=True)
    settings: Any = OmegaConf.to_container(composed)
    return list(flattened(settings))


def run(cfg: DictConfig) -> None:
    """Runs the job of a single run, or of one run of a sweep."""
    if cfg.job not in JOBS:
        raise UserError(f"unknown job {cfg.job}; possible: {', '.join(f'job={name}' for name in JOBS)}")
    if type(cfg.seed) is not int or not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed={cfg.seed} is no seed; take a whole number from 0 on")
    folder = Path(HydraConfig.get().runtime.output_dir)
    with _collecting_garbage(), _refusals_in_one_line(cfg, folder):
        check_writable(folder)
        cfg = with_nets_by_name(cfg, HydraConfig.get().overrides.task)
        if cfg.job == "train":
            _train_unless_finished(cfg, folder)
        else:
            check_single_process(cfg.job)
            settings = _settings(cfg)
            if cfg.job != "report":  # its folder is that of another run
                _write_hydra_record(cfg, folder / ".hydra")
            JOBS[cfg.job](settings, folder)


@contextmanager
def _refusals_in_one_line(cfg: DictConfig, folder: Path) -> Iterator[None]:
    """Ends a refused run with one line, and removes the folder of a run that ends before it records anything."""
    try:
        yield
    except (UserError, OmegaConfBaseException) as error:
        line = _one_line(error, CONF)
        if _is_in_sweep():  # its other runs go on; the sweep ends with status 1
            _record_refusal(folder, cfg, line)
            print(f"convscope: {folder.name}: {line}", file=sys.stderr, flush=True)
            raise
        _remove_empty_run(folder)
        raise SystemExit(f"convscope: {line}") from None  # before an exception Hydra would print the overrides
    except (SystemExit, KeyboardInterrupt):
        _remove_empty_run(folder)
        raise


@contextmanager
def _collecting_garbage() -> Iterator[None]:
    """Frees what a finished run of a sweep leaves in reference cycles: its net, also on a GPU, and open files."""
    try:
        yield
    finally:
        if _is_in_sweep() and GARBAGE.due:
            with GARBAGE.counted():
                gc.collect()


def _is_in_sweep() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _record_refusal(folder: Path, cfg: DictConfig, problem: str) -> None:
    """Writes why a run of a sweep was refused before it recorded anything, so that tables of the sweep have its row."""
    summary = {"job": cfg.job, "name": cfg.name, "seed": cfg.seed, "finished": False, "problem": problem}
    with suppress(OSError, UserError), training_lock(folder):
        if _nothing_recorded(folder):
            write(folder / "summary.json", json.dumps(summary, indent=2) + "\n")


def _remove_empty_run(folder: Path) -> None:
    """Removes the folder of a run that ended before it recorded anything, and the empty folders around it."""
    if folder.resolve() in (Path.cwd(), *Path.cwd().parents) or not _nothing_recorded(folder):
        return
    with suppress(UserError), training_lock(folder):  # UserError: another process has just begun in this folder
        shutil.rmtree(folder, ignore_errors=True)
    for parent in folder.absolute().parents[:2]:  # e.g. outputs/train, if this run was its first
        with suppress(OSError):
            if Path.cwd() in parent.parents:
                parent.rmdir()


def _nothing_recorded(folder: Path) -> bool:
    """Whether a folder holds nothing but the config of its run; False in all processes of a run but the first."""
    process = set_ranks()
    if RELAUNCHED_BY in os.environ or (process and process.rank):
        return False
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {".hydra"}


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """The composed settings as plain values; "words": the overrides. Raises UserError for a secret or a key of none."""
    unresolved: Any = OmegaConf.to_container(cfg)
    for key, value in flattened(unresolved).items():
        if isinstance(value, str) and (secret := SECRET.search(value)):
            raise UserError(
                f"{key}={value} would write ${secret[1]} into the files of the run; programs read it by itself"
            )
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = {**settings, "words": list(HydraConfig.get().overrides.task)}
    check_composed(settings, unresolved, HydraConfig.get())
    return settings


def _train_unless_finished(cfg: DictConfig, folder: Path) -> None:
    """Begins or continues the training run of `folder`, or prints that it has finished."""
    settings = _settings(cfg)
    process, relaunched, devices = set_ranks(), RELAUNCHED_BY in os.environ, _device_count(cfg)
    is_first = process is None or process.rank == 0
    check_processes(process, devices, cfg.trainer.get("num_nodes", 1), _is_in_sweep())
    if relaunched:
        end_with_parents()
    with nullcontext() if relaunched or not is_first else training_lock(folder):  # the parent holds the lock
        if not needs_training(folder, training_settings(folder), settings):
            print(f"{folder} has finished; nothing is left to do", flush=True)
            return
        if is_first:
            _write_hydra_record(cfg, folder / ".hydra")
        if process is None and devices > 1:
            return relaunch_under_torchrun([str(ENTRY), *config_overrides_of(folder)], devices)
        try:
            JOBS["train"](settings, folder)
        except (SystemExit, KeyboardInterrupt):
            if is_first and has_checkpoint(folder):
                print(_continue_hint(folder), flush=True)
            raise


def _continue_hint(folder: Path) -> str:
    """What to type to go on with an interrupted run."""
    if _is_in_sweep():
        return f"go on with the same command and {shlex.quote(f'hydra.sweep.dir={HydraConfig.get().sweep.dir}')}"
    is_below = Path.cwd() in folder.absolute().parents
    return f"go on with: python src/run.py {shlex.quote(f'resume={os.path.relpath(folder) if is_below else folder}')}"


def _write_hydra_record(cfg: DictConfig, folder: Path) -> None:
    """Writes Hydra's record of a run; Hydra itself would write it before the settings are checked."""
    hydra_settings: Any = OmegaConf.to_container(HydraConfig.get())
    runtime = {key: hydra_settings["runtime"][key] for key in ("version", "choices")}  # no paths of this machine
    sources = [source["path"] for source in hydra_settings["runtime"]["config_sources"]]
    contents: dict[str, Any] = {"config.yaml": cfg}
    if str(folder) not in sources:  # a resumed run keeps the overrides of its first start
        contents["hydra.yaml"] = {"hydra": {**hydra_settings, "runtime": runtime}}
        contents["overrides.yaml"] = hydra_settings["overrides"]["task"]
    for name, content in contents.items():
        write(folder / name, OmegaConf.to_yaml(OmegaConf.create(content)))


def _device_count(cfg: DictConfig) -> int:
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
