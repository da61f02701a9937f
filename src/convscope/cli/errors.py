"""Errors of Hydra and OmegaConf in plain words: what was typed, what is possible, and the nearest key or choice."""

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from convscope.cli.keys import other_choices
from convscope.errors import UserError, did_you_mean, explain_unknown_key, list_possible

LIBRARY_NETS = ("model=torchvision", "model=timm")  # these nets have weights and no rows
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


def explain_hydra_error(message: str, conf: Path, list_keys: Callable[[], Sequence[str]]) -> str:
    """An error of Hydra or OmegaConf in one line, with the nearest key or choice. list_keys: all dotted keys."""
    if match := re.search(r"Could not (?:find|load) '((?:hydra/)?[^'/]+)/([^']+)'", message):
        group, choice = match.groups()
        possible = choices(conf, group)
        if group == "model":
            return f"no model={choice}{_nearest_net(choice, possible)}{list_possible(possible)}"
        return f"no {group}={choice}{did_you_mean(f'{group}={choice}', possible)}{list_possible(possible)}"
    if match := re.search(r"Could not override '([^']+)'|Could not delete from config. '([^']+)'", message):
        key, keys = match[1] or match[2], list_keys()
        is_row_of_library_net = KEY_OF_ROWS.match(key) and "model.weights" in keys
        choices_with_it = other_choices(key) if key not in keys else ""
        if choices_with_it and not is_row_of_library_net and key.count(".") < 2:
            return f"no key {key} here; it is {choices_with_it}"
        return _explain_no_rows(key, conf) if is_row_of_library_net else explain_unknown_key(key, keys)
    if match := re.search(r"Error parsing override '([^'=]+)'\s+missing EQUAL", message):
        return _explain_no_value(match[1], conf)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key", "object_type", "See https")))


def _nearest_net(choice: str, possible: Sequence[str]) -> str:
    """ "; type model=torchvision model.name=resnet18": what a net that has no file may have meant; "" for no idea."""
    from convscope.models.library_metadata import nearest_nets

    if begun := [word for word in possible if word.startswith(f"model={choice}")]:
        return f" (did you mean {' or '.join(begun)}?)"
    names = [word.partition("=")[2] for word in possible]
    near = difflib.get_close_matches(choice.lower(), names, 1, 0.6)
    words, ratio = nearest_nets(choice)
    if near and difflib.SequenceMatcher(None, choice.lower(), near[0]).ratio() >= ratio:
        return f" (did you mean model={near[0]}?)"
    return ("; type " if ratio == 1 else "; perhaps ") + words if words else ""


def _explain_no_rows(key: str, conf: Path) -> str:
    nets = [choice for choice in choices(conf, "model") if choice not in LIBRARY_NETS]
    others = f"choose another{list_possible(nets)}"
    return f"{key} is for nets with rows, and nets of torchvision and timm have none; {others}"


def _explain_no_value(text: str, conf: Path) -> str:
    groups = [group.name for group in sorted(conf.iterdir()) if group.is_dir()]
    matches = [choice for group in groups for choice in choices(conf, group) if choice.partition("=")[2] == text]
    hint = f" (did you mean {' or '.join(matches)}?)" if matches else ""
    return f"{text} has no value{hint}; overrides are key=value or group=choice, as python src/run.py --help lists them"
