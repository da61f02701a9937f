"""The words resume=<run> and resume=auto become words that make Hydra take a run's own config and folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from convscope.cli.processes import launched_process
from convscope.errors import UserError
from convscope.runs.unfinished import TRAINING_GROUPS, newest_unfinished

ENTRY = Path(__file__).resolve().parent.parent.parent / "run.py"
CONF = ENTRY.parent.parent / "conf"


def resolve_resume(words: list[str]) -> list[str]:
    """The words of a command line; resume=<run> becomes what makes Hydra take that run's own config and folder."""
    named = [word.removeprefix("resume=") for word in words if word.startswith("resume=")]
    if not named or named[-1] in ("", "null"):
        return words
    if named[-1] == "auto":
        return _newest([word for word in words if not word.startswith("resume=")])
    folder, asked = Path(named[-1]).expanduser().resolve(), f"resume={named[-1]}"
    if {"-m", "--multirun"} & set(words) or (folder / "multirun.yaml").is_file():
        raise UserError(f"{asked}: a sweep goes on by its own command with hydra.sweep.dir=<its folder>")
    if "${" in str(folder):
        raise UserError(f"{asked}: ${{ in the name of a folder means something else in settings; rename the folder")
    if training_settings(folder) is None:
        raise UserError(f"{asked} is no folder of a training run; type resume=outputs/train/<run>")
    others = [word for word in words if not word.startswith("resume=")]
    if jobs := [word for word in others if word.startswith("job=") and word != "job=train"]:
        raise UserError(f"{asked} goes on with a training run; leave {jobs[0]} away")
    return [*config_overrides_of(folder), *others]


def _newest(words: list[str]) -> list[str]:
    """The words with the folder of the newest unfinished run that they describe, where there is one; says which."""
    if {"-m", "--multirun"} & set(words) or launched_process() is not None:
        raise UserError("resume=auto is for a run that this command starts by itself; name its folder, or the sweep's")
    if any(word.startswith("hydra.run.dir=") for word in words):
        return words  # the same command and folder go on anyway
    plain = [word for word in words if not word.startswith("-")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        now = hydra.compose("config", overrides=plain, return_hydra_config=True)
        around = Path(now.hydra.run.dir).parent
    asked: Any = {part: OmegaConf.to_container(now[part], resolve=True) for part in TRAINING_GROUPS if part != "seed"}
    asked["seed"] = now.seed
    found = newest_unfinished(around, training_settings, asked) if now.job == "train" else None
    if found is None:
        print(f"resume=auto: no unfinished run of these settings in {around}; a new one begins", flush=True)
        return words
    print(f"resume=auto: {found}", flush=True)
    return [*words, f"hydra.run.dir={_quoted(found)}"]


def training_settings(folder: Path) -> Any:
    """Those that a training run was begun with; None where there are none, or they are damaged, or another job's.

    What would make Hydra start code of the file's choice is refused: a run that somebody else made may be gone on with.
    """
    config = folder / ".hydra" / "config.yaml"
    try:
        loaded = OmegaConf.load(config) if config.is_file() else None
        _check_harmless(config, OmegaConf.to_container(loaded) if loaded is not None else None)
        held: Any = OmegaConf.to_container(loaded, resolve=True) if loaded is not None else None
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return None
    if not isinstance(held, dict) or held.get("job") != "train" or not held.keys() >= set(TRAINING_GROUPS):
        return None
    return held if all(isinstance(held[part], dict) for part in TRAINING_GROUPS if part != "seed") else None


def _check_harmless(config: Path, held: Any) -> None:
    own = [str(key) for key in held if str(key) in ("hydra", "defaults")] if isinstance(held, dict) else []
    if strange := own + _targets(held):
        raise UserError(f"{config} holds {', '.join(strange)}, which no run of convscope writes; it is not read")


def _targets(held: Any) -> list[str]:
    inside = held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
    own = ["_target_"] if isinstance(held, dict) and "_target_" in held else []
    return own or next((found for each in inside if (found := _targets(each))), [])


def config_overrides_of(folder: Path) -> list[str]:
    """Words that start the run of `folder` again as it was composed."""
    config = ["--config-path", str((folder / ".hydra").resolve()), "--config-name", "config"]
    return [*config, f"hydra.run.dir={_quoted(folder)}", "hydra.output_subdir=null", "hydra/job_logging=stdout"]


def _quoted(path: Path) -> str:
    """A path as a value of Hydra's, whatever is in its name."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), str(path))
    return f"'{escaped}'"
