"""Errors of Hydra, OmegaConf and YAML in plain words: what was typed, what is possible, the nearest key or choice."""

import difflib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convscope.errors import UserError, did_you_mean, explain_unknown_key, list_possible
from convscope.runs.config_diff import flattened

LIBRARY_NETS = ("model=torchvision", "model=timm")  # these nets have weights and no rows
CHOSEN_GROUPS = ("data", "model", "optim", "evolution", "logger", "job")  # of which each choice has keys of its own
KEY_OF_ROWS = re.compile(r"model\.(layers|width)\b")
FILLED_GROUPS = ("job", "model", "data", "optim", "trainer", "evolution")  # whose files may not be empty
IN_FILES = re.compile(
    r"Could not (?:find|load) '([^']+)'|Could not override '([^']+)'|Interpolation key '([^']+)'|Key '([^']+)' not in"
    r"|Environment variable '([^']+)'|Invalid value '([^']+)'|interpolation type (\w+)|^(\S+) appears more than once"
    r"|node `(\w+)` is not"
)  # the mistakes that may stand in a file
GLOBAL_GROUPS = ("job", "experiment")  # whose files begin with # @package _global_


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


def explain_hydra_error(
    message: str, conf: Path, keys: Callable[[], Sequence[str]], words: Sequence[str] = (), goes_on: bool = False
) -> str:
    """An error of Hydra or OmegaConf in one line, with its file where the words lack it.

    keys: lists dotted keys. goes_on: for a run that goes on, whose choices stay.
    """
    return _place_in_files(message, words) + _explained(message, conf, keys, goes_on)


def _explained(message: str, conf: Path, list_keys: Callable[[], Sequence[str]], goes_on: bool) -> str:
    if match := re.search(r"Could not (?:find|load) '((?:hydra/)?[^'/]+)/([^']+)'", message):
        return explain_no_choice(match[1], match[2], conf)
    if match := re.search(r"^(\w+) appears more than once|Could not override '\w+/(\w+)@", message):
        group = match[1] or match[2]
        return f"{group} is chosen already; type {group}=<choice>, or in a file: - override /{group}: <choice>"
    if match := re.search(r"Ambiguous value for argument '((.+?)=(.+?))'\s+1\.", message, re.DOTALL):
        word, key, values = match.groups()
        return f"{word} are several values: -m runs each, {key}=[{values}] is a list, \"{key}='{values}'\" one text"
    if match := re.search("Cannot find primary config '(.+?)'", message):
        return f"no --config-name={match[1]}: there is no {match[1]}.yaml in {conf}; leave the flag out"
    if match := re.search(r"Could not override '([^']+)'|Could not delete from config. '([^']+)'", message):
        key, keys = match[1] or match[2], list_keys()
        if KEY_OF_ROWS.match(key) and "model.weights" in keys:
            return _explain_no_rows(key, conf)
        owners = [] if goes_on else _choices_with(key, conf)
        return _explain_other_choice(key, owners) if owners else explain_unknown_key(key, keys)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key", "object_type", "See https")))


def explain_no_choice(group: str, choice: str, conf: Path) -> str:
    """The line for a choice of a config group that has no file."""
    possible = choices(conf, group)
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
    nets = [choice for choice in choices(conf, "model") if choice not in LIBRARY_NETS]
    others = f"choose another{list_possible(nets)}"
    return f"{key} is for nets with rows, and nets of torchvision and timm have none; {others}"


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
            with suppress(OSError, ValueError, yaml.YAMLError, OmegaConfBaseException):
                content: Any = OmegaConf.to_container(OmegaConf.load(path))
                keys = flattened(content or {}, place)
                if key in keys and not key.startswith(f"{group}.layers."):
                    empty[choice] = keys[key] is None
    return sorted(empty, key=lambda choice: not empty[choice])


class ConfigFile(FileConfigSource):
    """Hydra's reader of conf/, --config-dir and the config of a run. Raises UserError with the line of a mistake."""

    read: dict[Path, str] = {}  # the files that were read, with their text

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        config, text = read_config_file(path)
        try:
            header = self._get_header_dict(text[:512])
        except ValueError as error:
            raise UserError(f"{path}, line 1: {error}") from None
        group = config_path.split("/")[0] if "/" in config_path else ""
        if header["package"] is None:
            _check_package(path, group, config, text)
        _check_defaults(path, config, text)
        ConfigFile.read[path] = text
        if not config and group in FILLED_GROUPS:
            raise UserError(f"{path} is empty; write the settings of {group}={path.stem} into it")
        return ConfigResult(config=config, path=f"file://{self.path}", provider=self.provider, header=header)


ConfigFile.__name__ = FileConfigSource.__name__  # a launcher's process registers that class again and compares names


def read_config_file(path: Path) -> tuple[DictConfig, str]:
    """The settings in a yaml file, and its text. Raises UserError with file and line of a mistake in it."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        line, problem = _mistake(text)
        config: Any = None if problem else OmegaConf.create(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line, problem = error.object[: error.start].count(b"\n") + 1, "bytes that are no UTF-8; save the file as UTF-8"
    except yaml.YAMLError as error:
        line, problem = _syntax_error(error, text)
    except (OmegaConfBaseException, ValueError) as error:
        line, problem = 0, str(error).splitlines()[0]
    if problem:
        raise UserError(f"{_place(path, line)}: {problem}")
    return config, text


def _place(path: Path, line: int) -> str:
    return f"{path}, line {line}" if line else str(path)


def _syntax_error(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line, from 1, and the problem of a text that is no YAML."""
    if not isinstance(error, yaml.MarkedYAMLError):  # of its reader
        return text[: getattr(error, "position", 0)].count("\n") + 1, "a control character, which YAML does not allow"
    start, mark = error.context_mark, error.problem_mark or error.context_mark
    line, problem = mark.line + 1 if mark else 0, str(error.problem)
    if "'\\t'" in problem:
        return line, "a tab; YAML is indented with blanks"
    if "duplicate key" in problem:
        return line, f"the key {problem.split()[-1]} stands twice; remove one of the two"
    begins = f", {error.context} that begins in line {start.line + 1}" if start and mark != start else ""
    return line, problem + begins


def _mistake(text: str) -> tuple[int, str]:
    """The line and the problem of YAML that is no settings; (0, "") where it may be settings."""
    events = list(yaml.parse(text, yaml.SafeLoader))
    if len(events) > 2 and not isinstance(events[2], yaml.MappingStartEvent):
        return events[2].start_mark.line + 1, "no mapping; settings are lines of key: value"
    for event in events:
        if isinstance(event, yaml.ScalarEvent) and not is_interpolation(event.value):
            return event.start_mark.line + 1, f"{event.value} is no interpolation; one is ${{group.key}}"
    return 0, ""


def is_interpolation(text: str) -> bool:
    """Whether OmegaConf takes the text as it is: its `${`, if any, are interpolations."""
    try:
        OmegaConf.create([text] if "${" in text else [])
    except OmegaConfBaseException:
        return False
    return True


def _check_defaults(path: Path, config: DictConfig, text: str) -> None:
    """Raises UserError for a list of defaults of a form that Hydra refuses."""
    settings: Any = OmegaConf.to_container(config)
    defaults = settings.get("defaults", [])
    for entry in defaults if isinstance(defaults, list) else [defaults]:
        is_choice = isinstance(entry, dict) and len(entry) == 1 and isinstance(defaults, list)
        ((choice, value),) = entry.items() if is_choice else ((entry, None),)
        place = _place(path, _line_of([str(choice)], text) or _line_of(["defaults"], text))
        if isinstance(value, bool):
            raise UserError(f'{place}: on and off mean true and false in YAML; write "on" or "off"')
        if not isinstance(choice, str) or not isinstance(value, str | list | None):
            raise UserError(f"{place}: defaults is a list of lines such as - override /model: zfnet")


def _check_package(path: Path, group: str, config: DictConfig, text: str) -> None:
    """Raises UserError where Hydra would put the settings at another place than the file is for, without a word."""
    if line := _line_of(["@package"], text, comments=True):
        raise UserError(f"{_place(path, line)}: # @package is read only at the top; make it the first line")
    if group in GLOBAL_GROUPS and set(config) - {"defaults"}:
        raise UserError(
            f"{_place(path, 1)}: the settings of this {group} stand nowhere; begin with # @package _global_"
        )


def _line_of(pieces: Sequence[str], text: str, comments: bool = False) -> int:
    """The number of the first line, from 1, that has these words, outside or inside of comments; 0: none has."""
    parts = [line.partition("#")[2 if comments else 0] for line in text.splitlines()]
    words = [re.compile(rf"(?<![\w-]){re.escape(piece)}(?![\w-])") for piece in pieces]
    return next((number for number, part in enumerate(parts, 1) if all(word.search(part) for word in words)), 0)


def _place_in_files(message: str, words: Sequence[str]) -> str:
    """ "<file>, line <n>: " of the mistake that an error of Hydra names; "" where the words or no file have it."""
    match = IN_FILES.search(message)
    pieces = re.split("[/@.]", next(filter(None, match.groups()), "")) if match else []
    if pieces and not any(word[0] == "~" or pieces[-1] in re.split(r"\W", word) for word in words):
        for several in (pieces[-2:], pieces[-1:]):
            for path, text in reversed(ConfigFile.read.items()):
                if line := _line_of(several, text):
                    return f"{_place(path, line)}: "
    name = re.match("In '([^']+/[^']+)'", message) if not match else None
    return next((f"{path}: " for path in ConfigFile.read if name and path.match(f"{name[1]}.yaml")), "")
