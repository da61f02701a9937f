"""Words of the command line that conf/ does not know, told with the nearest that it does."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from convscope.errors import UserError, did_you_mean

OPEN_GROUPS = ("model.layers", "trainer", "logger")  # where a key may be added that no file has
MAX_LISTED = 40  # possible words in a message
LIBRARY_NETS = ("model=torchvision", "model=timm")  # nets that have weights of their own, and no rows
KEY_OF_ROWS = re.compile(r"model\.(layers|width)\b")


def check_choices(conf: Path, words: Sequence[str]) -> None:
    """Raises UserError for a group without a choice (model=null), of which Hydra would make a traceback, and for a net
    beside an experiment whose rows are nets.
    """
    experiments = [word.partition("=")[2] for word in words if word.startswith("experiment=")]
    if (net := next((word for word in words if word.startswith("model=")), None)) and experiments:
        _check_rows_are_others(conf / "experiment" / experiments[0], net)
    for word in words:
        group, _, choice = word.partition("=")
        if "=" in word and choice.strip() in ("null", "None", "~") and (possible := choices(conf, group)):
            raise UserError(f"{word} chooses nothing; leave it out, or choose: {', '.join(possible)}")


def _check_rows_are_others(rows: Path, net: str) -> None:
    """UserError for a net that would take the place of every row of an experiment: the one typed takes precedence."""
    lines = [line.strip() for file in sorted(rows.glob("*.yaml")) for line in file.read_text().splitlines()]
    nets = dict.fromkeys(line.split()[-1] for line in lines if line.startswith("- override /model:"))
    if nets:
        raise UserError(
            f"experiment={rows.name} is a table of its own nets ({', '.join(nets)}), and {net} would take the place of "
            f"each; leave out {net}"
        )


def choices(conf: Path, group: str) -> list[str]:
    """group=choice for each file of a config group, those of folders inside it too; empty where there is no such."""
    if not group or not (conf / group).is_dir():
        return []
    files = [path for path in sorted((conf / group).rglob("*.yaml")) if path.parent.name != "shared"]
    return [f"{group}={path.relative_to(conf / group).with_suffix('').as_posix()}" for path in files]


def existing_choices(conf: Path, words: Sequence[str]) -> list[str]:
    """Those of the words that choose a file which is there; of several in a sweep the first."""
    firsts = [word.split(",")[0] for word in words]
    return [word for word in firsts if word in choices(conf, word.partition("=")[0])]


def explain_hydra_error(said: str, conf: Path, keys: Callable[[], Sequence[str]]) -> str:
    """What Hydra or OmegaConf said, in one line and with the nearest word. keys: all keys of the settings, dotted."""
    if found := re.search(r"Could not (?:find|load) '((?:hydra/)?[^'/]+)/([^']+)'", said):
        group, choice = found.groups()
        possible = choices(conf, group)
        return f"no {group}={choice}{did_you_mean(f'{group}={choice}', possible)}{_possible(possible)}"
    if found := re.search(r"Could not override '([^']+)'|Could not delete from config. '([^']+)'", said):
        given, known = found[1] or found[2], keys()
        return (
            _no_rows(given, conf)
            if KEY_OF_ROWS.match(given) and "model.weights" in known
            else _no_key(given, conf, known)
        )
    if found := re.search(r"Error parsing override '([^'=]+)'\s+missing EQUAL", said):
        return _no_word(found[1], conf)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key", "object_type", "See https")))


def _no_rows(given: str, conf: Path) -> str:
    nets = [choice for choice in choices(conf, "model") if choice not in LIBRARY_NETS]
    return f"{given} is of nets of rows, and nets of torchvision and timm have none; choose another{_possible(nets)}"


def _no_word(given: str, conf: Path) -> str:
    every = [choice for group in sorted(conf.iterdir()) if group.is_dir() for choice in choices(conf, group.name)]
    same = [choice for choice in every if choice.partition("=")[2] == given]
    near = f" (did you mean {' or '.join(same)}?)" if same else ""
    return f"{given} has no value{near}; words are key=value or group=choice, as python src/run.py --help lists them"


def _no_key(given: str, conf: Path, keys: Sequence[str]) -> str:
    tree = {".".join(key.split(".")[:depth]) for key in keys for depth in range(1, key.count(".") + 2)}
    parent, _, last = given.rpartition(".")
    while parent and parent not in tree:  # the first part that is wrong
        given, (parent, _, last) = parent, parent.rpartition(".")
    beside = sorted(key for key in tree if key.rpartition(".")[0] == parent and key != "hydra")
    same = [key for key in keys if key.rpartition(".")[2] == last]
    near = did_you_mean(last, [key.rpartition(".")[2] for key in beside]).replace(
        "mean ", f"mean {parent}." if parent else "mean "
    )
    if not near:
        near = f" (did you mean {same[0]}?)" if same else did_you_mean(last, {key.rpartition(".")[2] for key in keys})
    added = f"; a new one is added by +{given}=..." if parent and parent.startswith(OPEN_GROUPS) else ""
    return f"no key {given}{near}{_possible(beside)}{added}"


def _possible(words: Sequence[str]) -> str:
    shown = [*words[:MAX_LISTED], *(["..."] if len(words) > MAX_LISTED else [])]
    return f"; possible: {', '.join(shown)}" if shown else ""
