"""From the command line to settings, and from settings to a job, once or for each run of a sweep."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from traceback import walk_tb
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convscope.analyses import abouts
from convscope.cli.config_files import CONF, ConfigFile
from convscope.cli.devices import checked_processes, dividing_work, run_on_devices
from convscope.cli.environment import named_broken_libraries
from convscope.cli.errors import check_choices, existing_choices, explain_hydra_error
from convscope.cli.jobs import JOBS
from convscope.cli.keys import check_composed
from convscope.cli.named_nets import check_typed_target, with_nets_by_name
from convscope.cli.overrides import hydra_words
from convscope.cli.processes import (
    RELAUNCHED_BY,
    agree_on_start_time,
    check_single_process,
    quiet_after_refusal,
    refusal_status,
    set_ranks,
    unwind_at_sigterm,
)
from convscope.cli.resume import continue_hint, resolve_resume, training_settings
from convscope.cli.run_start import (
    is_in_sweep,
    settings_written_by,
    typed_words,
    write_hydra_record,
    write_run_record,
    write_training_record,
)
from convscope.cli.sweeps import EndWith, LastPage, collecting_garbage, is_sweep
from convscope.cli.training import check_moved_images
from convscope.errors import Stopped, UserError, one_line
from convscope.runs.atomic_io import cannot_write, check_writable, write
from convscope.runs.config_diff import flattened
from convscope.runs.training_runs import best_value
from convscope.runs.unfinished import has_checkpoint, images_moved, needs_training, training_lock

OF_OTHER_RUNS = ("report", "dashboard", "export")  # jobs that write into the folder of a run beside what it recorded
SECRET = re.compile(r"\$\{\s*oc\.env\s*:\s*(\w*(?:KEY|TOKEN|SECRET|PASSW|CREDENTIAL)\w*)", re.IGNORECASE)


def start(conf: Path) -> None:
    """Composes the command line and runs it; a UserError ends in one line and status 1, SIGTERM in status 143."""
    unwind_at_sigterm()
    try:
        _compose_and_run(conf)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"convscope: {_one_line(error, conf)}")
    except (OSError, RecursionError) as error:
        if any(frame.f_code is run.__code__ for frame, _ in walk_tb(error.__traceback__)):
            raise
        if isinstance(error, RecursionError):
            sys.exit(f"convscope: the defaults in {list(ConfigFile.read)[-1]} lead back to that file")
        sys.exit(f"convscope: {cannot_write(error.filename, error)}")  # Hydra could not make the folder of the run
    except KeyboardInterrupt:
        if RELAUNCHED_BY in os.environ:
            sys.exit(130)  # the command that started this process prints it
        raise
    except SystemExit as end:
        if end.code == 143 and not isinstance(end, Stopped) and RELAUNCHED_BY not in os.environ:
            print("convscope: ended by SIGTERM", file=sys.stderr)
        sys.exit(143 if type(end).__name__ == "SIGTERMException" else end.code)


def _compose_and_run(conf: Path) -> None:
    if undecodable := [argument for argument in sys.argv[1:] if argument.encode(errors="ignore").decode() != argument]:
        raise UserError(f"{ascii(undecodable[0])} holds bytes that are no UTF-8; rename what it names")
    Plugins.instance()  # registers Hydra's own readers of files
    SourcesRegistry.instance().types["file"] = ConfigFile
    arguments = sys.argv[1:] = hydra_words(sys.argv[1:], conf, is_sweep)
    check_choices(conf, arguments)
    sys.argv[1:] = resolve_resume(arguments)
    agree_on_start_time()
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(run)()
    finally:
        try:
            EndWith.run_job()
        finally:
            LastPage.write()  # with a link to what the job has found


def _one_line(error: Exception, conf: Path) -> str:
    if isinstance(error, UserError):
        return str(error)
    goes_on = "--config-path" in sys.argv  # its settings stand in place of conf/
    message = f"{error}: {error.__cause__}" if str(error).startswith("Error merging") else str(error)
    return one_line(explain_hydra_error(message, conf, lambda: _keys(conf, goes_on), sys.argv[1:], goes_on))


def _keys(conf: Path, goes_on: bool) -> list[str]:
    """All keys of the choices on this command line, or of the run that goes on."""
    folder = sys.argv[sys.argv.index("--config-path") + 1] if goes_on else str(conf)
    with initialize_config_dir(folder, version_base="1.3"):
        chosen = [] if goes_on else existing_choices(conf, sys.argv[1:])
        composed = hydra.compose("config", overrides=chosen, return_hydra_config=True)
    settings: Any = OmegaConf.to_container(composed)
    return list(flattened(settings))


def run(cfg: DictConfig) -> float | None:
    """Runs the job of a single run, or of one run of a sweep. Returns the number by which sweepers search."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    with (
        collecting_garbage(),
        quiet_after_refusal(),
        _refusals_in_one_line(cfg, folder),
        named_broken_libraries(),
    ):
        if cfg.job not in JOBS:
            raise UserError(f"unknown job {cfg.job}; possible: {', '.join(f'job={name}' for name in JOBS)}")
        if type(cfg.seed) is not int or not 0 <= cfg.seed < 2**32:
            raise UserError(f"seed={cfg.seed} is no seed; take a whole number from 0 on")
        check_writable(folder)
        check_typed_target(cfg, typed_words())
        cfg = with_nets_by_name(cfg, typed_words())
        if cfg.job == "train":
            _train_unless_finished(cfg, folder)
            return best_value(folder)
        _run_other_job(cfg, folder)
    return None


def _run_other_job(cfg: DictConfig, folder: Path) -> None:
    """Runs a job that trains nothing, on several devices where they can divide its images."""
    divides = any(about.divides for about in abouts().values() if about.job == cfg.job)
    if not divides:
        check_single_process(cfg.job)
    _check_no_training(cfg.job, folder)
    settings = _settings(cfg)
    process, devices = checked_processes(cfg) if divides else (None, 1)
    if process is None and devices > 1:
        return run_on_devices(cfg, folder, devices)
    with settings_written_by(partial(write_run_record, cfg, folder)), dividing_work(process):
        JOBS[cfg.job](settings, folder)


def _check_no_training(job: str, folder: Path) -> None:
    """Raises UserError where the record of another job would take the place of a training run's, which then is lost."""
    if job not in OF_OTHER_RUNS and training_settings(folder) is not None:
        raise UserError(f"{folder} is the folder of a training run; give job={job} another: hydra.run.dir=<folder>")


@contextmanager
def _refusals_in_one_line(cfg: DictConfig, folder: Path) -> Iterator[None]:
    """Ends a refused run with one line, and removes the folder of a run that ends before it records anything."""
    try:
        yield
    except (UserError, OmegaConfBaseException) as error:
        line = _one_line(error, CONF)
        if is_in_sweep():  # its other runs go on; the sweep ends with status 1
            _record_refusal(folder, cfg, line)
            print(f"convscope: {folder.name}: {line}", file=sys.stderr, flush=True)
            raise
        _remove_empty_run(folder)
        raise SystemExit(refusal_status(line)) from None  # before an exception Hydra would print the overrides
    except (SystemExit, KeyboardInterrupt):
        _remove_empty_run(folder)
        raise


def _record_refusal(folder: Path, cfg: DictConfig, problem: str) -> None:
    """Writes why a run of a sweep was refused before it recorded anything, so that tables of the sweep have its row."""
    summary = {"job": cfg.job, "name": cfg.name, "seed": cfg.seed, "finished": False, "problem": problem}
    with suppress(OSError, UserError, OmegaConfBaseException), training_lock(folder):
        if _is_empty(folder):
            write(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
            _settings(cfg)  # raises for a secret
            write_hydra_record(cfg, folder)


def _remove_empty_run(folder: Path) -> None:
    """Removes the folder of a run that ended before it recorded anything, and the empty folders around it."""
    if folder.resolve() in (Path.cwd(), *Path.cwd().parents) or not _is_empty(folder):
        return
    with suppress(UserError), training_lock(folder):  # UserError: another process has just begun in this folder
        shutil.rmtree(folder, ignore_errors=True)
    for parent in folder.absolute().parents[:2]:  # e.g. outputs/train, if this run was its first
        with suppress(OSError):
            if Path.cwd() in parent.parents:
                parent.rmdir()


def _is_empty(folder: Path) -> bool:
    """Whether a run has left nothing in its folder; False in all processes of a run but the first."""
    process = set_ranks()
    if RELAUNCHED_BY in os.environ or (process and process.rank):
        return False
    return folder.is_dir() and not any(folder.iterdir())


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """The composed settings as plain values; "words": the overrides. Raises UserError for a secret or a key of none."""
    unresolved: Any = OmegaConf.to_container(cfg)
    for key, value in flattened(unresolved).items():
        if isinstance(value, str) and (secret := SECRET.search(value)):
            raise UserError(
                f"{key}={value} would write ${secret[1]} into the files of the run; programs read it by itself"
            )
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = {**settings, "words": typed_words()}
    if RELAUNCHED_BY not in os.environ:  # else the command that started this process has checked them
        check_composed(settings, unresolved, HydraConfig.get())
    return settings


def _train_unless_finished(cfg: DictConfig, folder: Path) -> None:
    """Begins or continues the training run of `folder`, or prints that it has finished."""
    settings = _settings(cfg)
    process, devices = checked_processes(cfg)
    is_first, relaunched = process is None or process.rank == 0, RELAUNCHED_BY in os.environ
    with nullcontext() if relaunched or not is_first else training_lock(folder):  # the parent holds the lock
        before = training_settings(folder)
        if not needs_training(folder, before, settings):
            if images_moved(before, settings):
                check_moved_images(settings, folder)
            print(f"{folder} has finished; nothing is left to do", flush=True)
            return
        if process is None and devices > 1:
            return run_on_devices(cfg, folder, devices)
        try:
            with settings_written_by(partial(write_training_record, cfg, folder)):
                JOBS["train"](settings, folder)
        except (SystemExit, KeyboardInterrupt):
            if is_first and has_checkpoint(folder):
                print(continue_hint(folder, HydraConfig.get().sweep.dir if is_in_sweep() else None), flush=True)
            raise
