"""resume=<run> and resume=auto become overrides that make Hydra take the config and the folder of an earlier run."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from convscope.cli.errors import read_config_file
from convscope.cli.overrides import quoted, search_path
from convscope.cli.processes import launched_process
from convscope.errors import UserError
from convscope.runs.unfinished import TRAINING_GROUPS, newest_unfinished

ENTRY = Path(__file__).resolve().parent.parent.parent / "run.py"
CONF = ENTRY.parent.parent / "conf"
_SWEEP_FLAGS = {"-m", "--multirun"}


def resolve_resume(arguments: list[str]) -> list[str]:
    """The arguments with resume=<run> or resume=auto replaced. Raises UserError where that run cannot go on."""
    runs = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    if not runs or runs[-1] in ("", "null"):
        return arguments
    remaining = [argument for argument in arguments if not argument.startswith("resume=")]
    if runs[-1] == "auto":
        return _resolve_auto(remaining)
    folder = Path(runs[-1]).expanduser().resolve()
    _check_config(folder, f"resume={runs[-1]}")
    _check_resumable(folder, f"resume={runs[-1]}", remaining)
    return [*config_overrides_of(folder), *remaining]


def _check_config(folder: Path, resume: str) -> None:
    """Raises UserError for a mistake in the config of the run, if it has one."""
    config = folder / ".hydra" / "config.yaml"
    try:
        if config.is_file():
            read_config_file(config)
    except UserError as mistake:
        raise UserError(f"{resume} is no folder of a training run: {mistake}") from None


def _check_resumable(folder: Path, resume: str, arguments: list[str]) -> None:
    """Raises UserError where the folder is not one training run's, or the other arguments ask for another job."""
    if _SWEEP_FLAGS & set(arguments) or (folder / "multirun.yaml").is_file():
        raise UserError(f"{resume}: a sweep goes on by its own command with hydra.sweep.dir=<its folder>")
    if "${" in str(folder):
        raise UserError(f"{resume}: ${{ in the name of a folder means something else in settings; rename the folder")
    if training_settings(folder) is None:
        raise UserError(f"{resume} is no folder of a training run; type resume=outputs/train/<run>")
    if jobs := [argument for argument in arguments if argument.startswith("job=") and argument != "job=train"]:
        raise UserError(f"{resume} goes on with a training run; leave {jobs[0]} away")


def _resolve_auto(arguments: list[str]) -> list[str]:
    """The arguments and the folder of the newest unfinished run of the same settings, if any; prints which."""
    if _SWEEP_FLAGS & set(arguments) or launched_process() is not None:
        raise UserError("resume=auto is for a run that this command starts by itself; name its folder, or the sweep's")
    if any(argument.startswith("hydra.run.dir=") for argument in arguments):
        return arguments  # the same command and folder go on anyway
    overrides = [argument for argument in arguments if not argument.startswith("-")] + search_path(arguments)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = hydra.compose("config", overrides=overrides, return_hydra_config=True)
        parent = Path(composed.hydra.run.dir).parent
    groups = [group for group in TRAINING_GROUPS if group != "seed"]
    settings: Any = {group: OmegaConf.to_container(composed[group], resolve=True) for group in groups}
    settings["seed"] = composed.seed
    unfinished = newest_unfinished(parent, training_settings, settings) if composed.job == "train" else None
    if unfinished is None:
        print(f"resume=auto: no unfinished run of these settings in {parent}; a new one begins", flush=True)
        return arguments
    print(f"resume=auto: {unfinished}", flush=True)
    return [*arguments, f"hydra.run.dir={quoted(str(unfinished))}"]


def training_settings(folder: Path) -> Any:
    """The settings that a training run began with; None where there are none, or damaged ones, or another job's.

    Raises UserError for settings that would make Hydra run code of the file's choice: the run may be somebody else's.
    """
    config = folder / ".hydra" / "config.yaml"
    try:
        loaded = OmegaConf.load(config) if config.is_file() else None
        _check_harmless(config, OmegaConf.to_container(loaded) if loaded is not None else None)
        settings: Any = OmegaConf.to_container(loaded, resolve=True) if loaded is not None else None
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return None
    if not isinstance(settings, dict) or settings.get("job") != "train" or not settings.keys() >= set(TRAINING_GROUPS):
        return None
    return settings if all(isinstance(settings[group], dict) for group in TRAINING_GROUPS if group != "seed") else None


def _check_harmless(config: Path, content: Any) -> None:
    """Raises UserError for keys that Hydra acts on, which no run of convscope writes."""
    hydra_keys = [key for key in map(str, content) if key in ("hydra", "defaults")] if isinstance(content, dict) else []
    if refused := hydra_keys + _targets(content):
        raise UserError(f"{config} holds {', '.join(refused)}, which no run of convscope writes; it is not read")


def _targets(content: Any) -> list[str]:
    """["_target_"] where that key is anywhere in the content, else []."""
    if isinstance(content, dict) and "_target_" in content:
        return ["_target_"]
    values = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return next((targets for value in values if (targets := _targets(value))), [])


def config_overrides_of(folder: Path) -> list[str]:
    """Arguments that start the run of `folder` again as it was composed."""
    config = ["--config-path", str((folder / ".hydra").resolve()), "--config-name", "config"]
    return [*config, f"hydra.run.dir={quoted(str(folder))}", "hydra.output_subdir=null", "hydra/job_logging=stdout"]


def continue_hint(folder: Path, sweep: str | None) -> str:
    """What to type to go on with an interrupted run. sweep: the folder of the sweep that it belongs to."""
    if sweep is not None:
        return f"go on with the same command and {shlex.quote(f'hydra.sweep.dir={sweep}')}"
    relative = os.path.relpath(folder)
    is_below = Path.cwd() in folder.absolute().parents and relative not in ("auto", "null") and relative[0] != "~"
    return f"go on with: python src/run.py {shlex.quote(f'resume={relative if is_below else folder.absolute()}')}"
