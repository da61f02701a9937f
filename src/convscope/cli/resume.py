"""resume=<run> and resume=auto become overrides that make Hydra take the config and the folder of an earlier run."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from convscope.cli.config_files import CONF, choices, read_config_file
from convscope.cli.errors import explain_no_choice
from convscope.cli.overrides import quoted, search_path
from convscope.cli.processes import launched_process
from convscope.errors import UserError, command_line
from convscope.runs.reading import is_sweep_folder, run_around
from convscope.runs.unfinished import TRAINING_GROUPS, newest_unfinished

_SWEEP_FLAGS = {"-m", "--multirun"}
LOGGER_KEY = re.compile(r"\+{0,2}logger\.(\w+)[\w.]*=")


def resolve_resume(arguments: list[str]) -> list[str]:
    """The arguments with resume=<run> or resume=auto replaced. Raises UserError where that run cannot go on."""
    runs = [argument.removeprefix("resume=") for argument in arguments if argument.startswith("resume=")]
    if not runs or runs[-1] in ("", "null"):
        return _with_moved_images(arguments)
    remaining = [argument for argument in arguments if not argument.startswith("resume=")]
    if runs[-1] == "auto":
        return _resolve_auto(remaining)
    folder = Path(runs[-1]).expanduser().resolve()
    if folder.is_file() or folder.name == "checkpoints":
        folder = run_around(folder)
    _check_config(folder, f"resume={runs[-1]}")
    settings = training_settings(folder)
    _check_resumable(folder, settings, f"resume={runs[-1]}", remaining)
    remaining = _without_own_choices(folder, f"resume={runs[-1]}", remaining)
    return [*config_overrides_of(folder), *_with_logger_defaults(settings, remaining)]


def _with_moved_images(arguments: list[str]) -> list[str]:
    """The arguments with data.root=... beside ckpt=... as a new key: the images are those of the checkpoint.

    conf/data, which has another set by default, holds only where data=... is typed (data/trained_images.py).
    """
    typed = {name: value for name, _, value in (argument.partition("=") for argument in arguments)}
    if typed.get("ckpt", "null") in ("", "null") or typed.keys() & {"data", "experiment"}:
        return arguments
    keys = ("data.root=", "data.download=")
    return [f"++{argument}" if argument.startswith(keys) else argument for argument in arguments]


def _check_config(folder: Path, resume: str) -> None:
    """Raises UserError for a mistake in the config of the run, if it has one."""
    config = folder / ".hydra" / "config.yaml"
    try:
        if config.is_file():
            read_config_file(config)
    except UserError as mistake:
        raise UserError(f"{resume} is no folder of a training run: {mistake}") from None


def _check_resumable(folder: Path, settings: Any, resume: str, arguments: list[str]) -> None:
    """Raises UserError where the folder is not one training run's, or the other arguments ask for another job.

    settings: of the run in the folder, as `training_settings`.
    """
    if _SWEEP_FLAGS & set(arguments) or is_sweep_folder(folder):
        raise UserError(f"{resume}: a sweep goes on by its own command with hydra.sweep.dir=<its folder>")
    if "${" in str(folder):
        raise UserError(f"{resume}: ${{ in the name of a folder means something else in settings; rename the folder")
    if settings is None:
        raise UserError(f"{resume} is no folder of a training run; type resume=outputs/train/<run>")
    if jobs := [argument for argument in arguments if argument.startswith("job=") and argument != "job=train"]:
        raise UserError(f"{resume} goes on with a training run; leave {jobs[0]} away")
    if places := [argument for argument in arguments if argument.startswith("hydra.run.dir=")]:
        raise UserError(f"{resume} goes on in its own folder; leave {places[0]} away")


def _without_own_choices(folder: Path, resume: str, arguments: list[str]) -> list[str]:
    """The arguments without choices such as model=zfnet that the run has made: its settings have no groups any more.

    Raises UserError for another choice. Choices of loggers stay.
    """
    remaining, own = [], _choices_of(folder)
    for argument in arguments:
        group, choice = _group_and_choice(argument)
        if choice == "":
            raise UserError(f"{argument} chooses nothing; leave it out, or choose: {', '.join(choices(CONF, group))}")
        if choice is None or group in ("job", "logger"):
            remaining.append(argument)
            continue
        if f"{group}={choice}" not in choices(CONF, group):
            raise UserError(explain_no_choice(group, choice, CONF))
        if group not in own:
            raise UserError(f"{resume} does not say which {group} it has chosen; leave {argument} out")
        if str(own[group]) != choice:
            chosen = f"{group}={own[group]}" if own[group] else f"no {group}"
            raise UserError(
                f"{resume} goes on with {chosen} as it began; leave {argument} out; to train anew, leave {resume} out"
            )
    return remaining


def _group_and_choice(argument: str) -> tuple[str, str | None]:
    """Config group and choice of an override such as model=zfnet; no choice for other overrides."""
    group, equals, choice = argument.lstrip("+").partition("=")
    is_choice = equals and "/" not in group and bool(choices(CONF, group))
    return group, choice.strip().strip("'\"") if is_choice else None


def _choices_of(folder: Path) -> dict[str, Any]:
    """Config group -> choice with which the run in `folder` was first started; empty where that is not recorded."""
    try:
        loaded: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "hydra.yaml"))
        return dict(loaded["hydra"]["runtime"]["choices"])
    except (OSError, ValueError, KeyError, TypeError, YAMLError, OmegaConfBaseException):
        return {}


def _with_logger_defaults(settings: dict[str, Any], arguments: list[str]) -> list[str]:
    """The arguments with logger=wandb, logger=[wandb,mlflow] and logger.wandb.project=x for a config without groups.

    Loggers that the run does not have get the defaults of conf/logger; those that are not chosen are removed.
    """
    group = settings.get("logger") or {}
    present = list(group) if isinstance(group, dict) else []
    choice = next((choice for name, choice in map(_group_and_choice, reversed(arguments)) if name == "logger"), None)
    chosen = present if choice is None else re.findall(r"[^][,\s]+", choice)
    keys = {argument: match[1] for argument in arguments if (match := LOGGER_KEY.match(argument))}
    overrides = [f"~logger.{name}" for name in present if name not in chosen]
    overrides += [] if isinstance(group, dict) else ["~logger"]
    for name in dict.fromkeys([*chosen, *keys.values()]):
        if name not in present and f"logger={name}" not in choices(CONF, "logger"):
            raise UserError(explain_no_choice("logger", name, CONF))
        if name != "local" and (name not in present or name not in chosen):
            defaults = OmegaConf.to_container(OmegaConf.load(CONF / "logger" / f"{name}.yaml"))
            overrides.append(f"++logger.{name}={_as_override(defaults)}")
    remaining = [argument for argument in arguments if _group_and_choice(argument)[0] != "logger"]
    return [*overrides, *(f"++{argument.lstrip('+')}" if argument in keys else argument for argument in remaining)]


def _as_override(value: Any) -> str:
    """A plain value as Hydra's grammar of overrides writes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_as_override(item)}" for key, item in value.items()) + "}"
    return "[" + ",".join(map(_as_override, value)) + "]" if isinstance(value, list) else json.dumps(value)


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


def config_overrides_of(folder: Path, settings: Path | None = None) -> list[str]:
    """Arguments that start the run of `folder` again as it was composed, or by the config.yaml in `settings`."""
    config = ["--config-path", str((settings or folder / ".hydra").resolve()), "--config-name", "config"]
    return [*config, f"hydra.run.dir={quoted(str(folder))}", "hydra.output_subdir=null", "hydra/job_logging=stdout"]


def continue_hint(folder: Path, sweep: str | None) -> str:
    """What to type to go on with an interrupted run. sweep: the folder of the sweep that it belongs to."""
    if sweep is not None:
        return f"go on with the same command and {shlex.quote(f'hydra.sweep.dir={sweep}')}"
    relative = os.path.relpath(folder)
    is_below = Path.cwd() in folder.absolute().parents and relative not in ("auto", "null") and relative[0] != "~"
    resumed = command_line(f"resume={relative if is_below else folder.absolute()}")
    return f"go on with: {resumed}{_target_to_type(folder)}"


def _target_to_type(folder: Path) -> str:
    """The words of a net of Python, which have to be typed again; "" for other nets."""
    model = (training_settings(folder) or {}).get("model", {})
    if model.get("source") != "python":
        return ""
    from convscope.models.targets import target_args, target_name, target_words

    return f" {target_words(target_name(model), target_args(model))}"
