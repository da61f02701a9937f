"""Errors of Hydra, OmegaConf and YAML in plain words: what was typed, what is possible, the nearest key or choice."""

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from convscope.cli.config_files import choices, place_in_files
from convscope.cli.keys import choices_with, explain_other_choice, typed_choice
from convscope.errors import UserError, did_you_mean, explain_unknown_key, install, list_possible

FOREIGN_NETS = ("model=torchvision", "model=timm", "model=python")  # these nets have no rows
PLUGINS = {  # choices of Hydra's groups that a package brings -> the extra that has it
    "hydra/sweeper=optuna": "search",
    "hydra/launcher=joblib": "cluster",
    "hydra/launcher=submitit_local": "cluster",
    "hydra/launcher=submitit_slurm": "cluster",
}
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
        if equals and choice.strip() in ("", "null", "None", "~") and (possible := choices(conf, group)):
            raise UserError(f"{override} chooses nothing; leave it out, or choose: {', '.join(possible)}")


def _check_rows_are_no_nets(experiment: Path, net: str) -> None:
    """Raises UserError for a net that would replace every row of an experiment: a typed net takes precedence."""
    texts = [file.read_text("utf-8", "replace") for file in sorted(experiment.glob("*.yaml"))]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    nets = dict.fromkeys(line.split()[-1] for line in lines if line.startswith("- override /model:"))
    if nets:
        raise UserError(
            f"experiment={experiment.name} is a table of its own nets ({', '.join(nets)}), and {net} would replace "
            f"every one of them; leave out {net}"
        )


def existing_choices(conf: Path, overrides: Sequence[str]) -> list[str]:
    """The overrides that choose an existing file of a group; of several values in a sweep the first."""
    first_values = [override.split(",")[0] for override in overrides]
    return [override for override in first_values if override in choices(conf, override.partition("=")[0])]


def explain_hydra_error(
    message: str, conf: Path, keys: Callable[[], Sequence[str]], words: Sequence[str] = (), goes_on: bool = False
) -> str:
    """An error of Hydra or OmegaConf in one line, with its file where the words lack it.

    keys: lists dotted keys. goes_on: for a run that goes on, whose choices stay.
    """
    place = place_in_files(message, words)
    if place.startswith(f"{conf}/") and (line := _explain_lacking_file(message, conf, words)):
        return line
    return place + _explained(message, conf, keys, words, goes_on)


def _explain_lacking_file(message: str, conf: Path, words: Sequence[str]) -> str:
    """The line for a key that a file of conf/ refers to, as ${model.name}, and a chosen file lacks; "" otherwise."""
    match = re.search(r"Interpolation key '((\w+)\.[\w.]+)' not found", message)
    choice = match and typed_choice(match[2], words)
    return f"{choice} has no {match[1]}; write it into the file of {choice}" if match and choice else ""


def _explained(
    message: str, conf: Path, list_keys: Callable[[], Sequence[str]], words: Sequence[str], goes_on: bool
) -> str:
    if match := re.search(r"Could not (?:find|load) '((?:hydra/)?[^'/]+)/([^']+)'", message):
        return explain_no_choice(match[1], match[2], conf)
    if match := re.search(r"^(\w+) appears more than once|Could not override '\w+/(\w+)@", message):
        group = match[1] or match[2]
        return f"{group} is chosen already; type {group}=<choice>, or in a file: - override /{group}: <choice>"
    if match := re.search(r"Ambiguous value for argument '((.+?)=(.+?))'\s+1\.", message, re.DOTALL):
        word, key, values = match.groups()
        return f"{word} are several values: -m runs each, {key}=[{values}] is a list, \"{key}='{values}'\" one text"
    if match := re.search(r"An item is already at '(.+?)'.\s+Either remove \+ prefix: '(.+)'\s+Or", message, re.DOTALL):
        return f"{match[1]} is a key already; type it without the +: {match[2]}"
    if match := re.search("Cannot find primary config '(.+?)'", message):
        return f"no --config-name={match[1]}: there is no {match[1]}.yaml in {conf}; leave the flag out"
    if match := re.search(r"Could not override '([^']+)'|Could not delete from config. '([^']+)'", message):
        key, keys = match[1] or match[2], list_keys()
        has_rows = typed_choice("model", words) not in FOREIGN_NETS and any(map(KEY_OF_ROWS.match, keys))
        if KEY_OF_ROWS.match(key) and not has_rows:
            return _explain_no_rows(key, conf)
        owners = [] if goes_on else choices_with(key, conf)
        return explain_other_choice(key, owners, words) if owners else explain_unknown_key(key, keys)
    if re.search("BasicSweeper does not support sweep type : INTERVAL", message):
        return "an interval is searched by hydra/sweeper=optuna; without it type several values: key=0.1,0.2"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key", "object_type", "See https")))


def explain_no_choice(group: str, choice: str, conf: Path) -> str:
    """The line for a choice of a config group that has no file."""
    possible = choices(conf, group)
    if extra := PLUGINS.get(f"{group}={choice}"):
        return f"{group}={choice} needs a library of its own; type {install(extra)}"
    if group == "model":
        return f"no model={choice}{_nearest_net(choice, possible)}{list_possible(possible)}"
    return f"no {group}={choice}{did_you_mean(f'{group}={choice}', possible)}{list_possible(possible)}"


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
    nets = [choice for choice in choices(conf, "model") if choice not in FOREIGN_NETS]
    others = f"choose another{list_possible(nets)}"
    return f"{key} is for nets with rows, and nets of Python, timm and torchvision have none; {others}"
