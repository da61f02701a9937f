"""Errors of Hydra and OmegaConf in plain words: what was typed, what is possible, and the nearest key or choice."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from convscope.errors import UserError, did_you_mean
from convscope.runs.config_diff import flattened

OPEN_GROUPS = ("model.layers", "trainer", "logger")  # where + may add a key that no file has
MAX_LISTED = 40  # possible keys or choices in a message
LIBRARY_NETS = ("model=torchvision", "model=timm")  # these nets have weights and no rows
CHOSEN_GROUPS = ("data", "model", "optim", "evolution", "logger", "job")  # of which each choice has keys of its own
KEY_OF_ROWS = re.compile(r"model\.(layers|width)\b")


def check_choices(conf: Path, overrides: Sequence[str]) -> None:
    """Raises UserError for a group without a choice (model=null), of which Hydra would make a traceback.

    Also for a net typed beside an experiment whose rows are nets.
    """
    experiments = [override.partition("=")[2] for override in overrides if override.startswith("experiment=")]
    net = next((override for override in overrides if override.startswith("model=")), None)
    if net and experiments:
        _check_rows_are_no_nets(conf / "experiment" / experiments[0], net)
    for override in overrides:
        group, equals, choice = override.partition("=")
        if equals and choice.strip() in ("null", "None", "~") and (possible := choices(conf, group)):
            raise UserError(f"{override} chooses nothing; leave it out, or choose: {', '.join(possible)}")


def _check_rows_are_no_nets(experiment: Path, net: str) -> None:
    """Raises UserError for a net that would replace every row of an experiment: a typed net takes precedence."""
    lines = [line.strip() for file in sorted(experiment.glob("*.yaml")) for line in file.read_text().splitlines()]
    nets = dict.fromkeys(line.split()[-1] for line in lines if line.startswith("- override /model:"))
    if nets:
        raise UserError(
            f"experiment={experiment.name} is a table of its own nets ({', '.join(nets)}), and {net} would replace "
            f"every one of them; leave out {net}"
        )


def choices(conf: Path, group: str) -> list[str]:
    """group=choice for each file of a config group, also in its folders; empty where there is no such group."""
    if not group or not (conf / group).is_dir():
        return []
    files = [path for path in sorted((conf / group).rglob("*.yaml")) if path.parent.name != "shared"]
    return [f"{group}={path.relative_to(conf / group).with_suffix('').as_posix()}" for path in files]


def existing_choices(conf: Path, overrides: Sequence[str]) -> list[str]:
    """The overrides that choose an existing file of a group; of several values in a sweep the first."""
    first_values = [override.split(",")[0] for override in overrides]
    return [override for override in first_values if override in choices(conf, override.partition("=")[0])]


def explain_hydra_error(message: str, conf: Path, list_keys: Callable[[], Sequence[str]], goes_on: bool = False) -> str:
    """An error of Hydra or OmegaConf in one line, with the nearest key or choice.

    list_keys: all dotted keys. goes_on: for a run that goes on, whose choices stay.
    """
    if match := re.search(r"Could not (?:find|load) '((?:hydra/)?[^'/]+)/([^']+)'", message):
        return explain_no_choice(match[1], match[2], conf)
    if match := re.search(r"Could not override '([^']+)'|Could not delete from config. '([^']+)'", message):
        key, keys = match[1] or match[2], list_keys()
        if KEY_OF_ROWS.match(key) and "model.weights" in keys:
            return _explain_no_rows(key, conf)
        owners = [] if goes_on else _choices_with(key, conf)
        return _explain_other_choice(key, owners) if owners else _explain_unknown_key(key, keys)
    if match := re.search(r"Error parsing override '([^'=]+)'\s+missing EQUAL", message):
        return _explain_no_value(match[1], conf)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key", "object_type", "See https")))


def explain_no_choice(group: str, choice: str, conf: Path) -> str:
    """The line for a choice of a config group that has no file."""
    possible = choices(conf, group)
    return f"no {group}={choice}{did_you_mean(f'{group}={choice}', possible)}{_possible(possible)}"


def _explain_no_rows(key: str, conf: Path) -> str:
    nets = [choice for choice in choices(conf, "model") if choice not in LIBRARY_NETS]
    return f"{key} is for nets with rows, and nets of torchvision and timm have none; choose another{_possible(nets)}"


def _explain_no_value(text: str, conf: Path) -> str:
    groups = [group.name for group in sorted(conf.iterdir()) if group.is_dir()]
    matches = [choice for group in groups for choice in choices(conf, group) if choice.partition("=")[2] == text]
    hint = f" (did you mean {' or '.join(matches)}?)" if matches else ""
    return f"{text} has no value{hint}; overrides are key=value or group=choice, as python src/run.py --help lists them"


def _explain_other_choice(key: str, owners: Sequence[str]) -> str:
    others = f" (also of {', '.join(owners[1:5])}{', ...' * (len(owners) > 5)})" if len(owners) > 1 else ""
    return f"no key {key} in what is chosen; it is a key of {owners[0]}{others}; type {owners[0]} too"


def _choices_with(key: str, conf: Path) -> list[str]:
    """The choices of config groups whose files have this key, those first that give it no value."""
    empty: dict[str, bool] = {}
    for group in CHOSEN_GROUPS:
        for choice in choices(conf, group):
            path = conf / group / f"{choice.partition('=')[2]}.yaml"
            package = re.search(r"^# @package (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
            place = {"_global_": ""}.get(package[1], f"{package[1]}.") if package else f"{group}."
            with suppress(OSError, ValueError, YAMLError, OmegaConfBaseException):
                content: Any = OmegaConf.to_container(OmegaConf.load(path))
                keys = flattened(content or {}, place)
                if key in keys and not key.startswith(f"{group}.layers."):
                    empty[choice] = keys[key] is None
    return sorted(empty, key=lambda choice: not empty[choice])


def _explain_unknown_key(key: str, keys: Sequence[str]) -> str:
    tree = {".".join(path.split(".")[:depth]) for path in keys for depth in range(1, path.count(".") + 2)}
    parent, _, last = key.rpartition(".")
    while parent and parent not in tree:  # goes up to the first part that is wrong
        key, (parent, _, last) = parent, parent.rpartition(".")
    siblings = sorted(path for path in tree if path.rpartition(".")[0] == parent and path != "hydra")
    hint = _nearest_key(parent, last, siblings, keys)
    addition = f"; a new one is added by +{key}=..." if parent and parent.startswith(OPEN_GROUPS) else ""
    return f"no key {key}{hint}{_possible(siblings)}{addition}"


def _nearest_key(parent: str, last: str, siblings: Sequence[str], keys: Sequence[str]) -> str:
    """The nearest sibling of a mistyped key, else a key elsewhere of the same last part, else the nearest last part."""
    if nearest := did_you_mean(last, [path.rpartition(".")[2] for path in siblings]):
        return nearest.replace("mean ", f"mean {parent}." if parent else "mean ")
    same_last = [path for path in keys if path.rpartition(".")[2] == last]
    if same_last:
        return f" (did you mean {same_last[0]}?)"
    return did_you_mean(last, {path.rpartition(".")[2] for path in keys})


def _possible(names: Sequence[str]) -> str:
    listed = [*names[:MAX_LISTED], *(["..."] if len(names) > MAX_LISTED else [])]
    return f"; possible: {', '.join(listed)}" if listed else ""
