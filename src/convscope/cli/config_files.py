"""Files of settings as Hydra reads them: conf/, --config-dir, and the config of a run; their mistakes have a line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convscope.cli.environment import CONF
from convscope.errors import UserError

FILLED_GROUPS = ("job", "model", "data", "optim", "trainer", "evolution")  # whose files may not be empty
IN_FILES = re.compile(
    r"Could not (?:find|load) '([^']+)'|Could not override '([^']+)'|Interpolation key '([^']+)'|Key '([^']+)' not in"
    r"|Environment variable '([^']+)'|Invalid value '([^']+)'|interpolation type (\w+)|^(\S+) appears more than once"
    r"|node `(\w+)` is not"
)  # the mistakes that may stand in a file
GLOBAL_GROUPS = ("job", "experiment")  # whose files begin with # @package _global_


def choices(conf: Path, group: str) -> list[str]:
    """group=choice for each file of a config group, also in its folders; empty where there is no such group."""
    if not group or not (conf / group).is_dir():
        return []
    files = [path for path in sorted((conf / group).rglob("*.yaml")) if path.parent.name != "shared"]
    return [f"{group}={path.relative_to(conf / group).with_suffix('').as_posix()}" for path in files]


@cache
def keys_of_file(group: str, choice: str, conf: Path = CONF) -> dict[str, Any]:
    """Dotted key -> value, as the file of a choice sets them; {} where there is no such file, or a damaged one.

    As deep as names are fixed: two parts, in loggers three. group: "" for a file beside the groups, such as config.
    """
    with suppress(OSError, ValueError, TypeError, RecursionError, yaml.YAMLError):
        text = (conf / group / f"{choice}.yaml").read_text(encoding="utf-8")
        content: Any = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
        place = group if package is None else package[1].replace("_global_", "")
        own = dict(content or {}) if isinstance(content, Mapping | None) else {}
        bases = [line for line in own.pop("defaults", None) or () if isinstance(line, str) and line != "_self_"]
        inherited = [keys_of_file(group, base.removesuffix("@_here_"), conf) for base in bases]
        return {key: value for keys in (*inherited, dict(_dotted(own, place))) for key, value in keys.items()}
    return {}


def _dotted(content: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{place}.{name}" if place else str(name)
        is_whole = key.count(".") >= (2 if key.startswith("logger.") else 1)
        yield from _dotted(value, key) if isinstance(value, Mapping) and value and not is_whole else [(key, value)]


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
        if not config and (group in FILLED_GROUPS or (group in GLOBAL_GROUPS and header["package"] is None)):
            raise UserError(f"{path} is empty; write the settings of {group}={path.stem} into it")
        return ConfigResult(config=config, path=f"file://{self.path}", provider=self.provider, header=header)


ConfigFile.__name__ = FileConfigSource.__name__  # a launcher's process registers that class again and compares names


def read_config_file(path: Path) -> tuple[DictConfig, str]:
    """The settings in a yaml file, and its text. Raises UserError with file and line of a mistake in it."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        line, problem = _mistake(text)
        config: Any = None if problem else OmegaConf.create(_content(text))
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


@cache
def _content(text: str) -> Any:
    """The settings in YAML as plain values. A sweep reads the same files twice for each of its runs."""
    return OmegaConf.to_container(OmegaConf.create(text))


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


@cache
def _mistake(text: str) -> tuple[int, str]:
    """The line and the problem of YAML that is no settings; (0, "") where it may be settings, or is no YAML."""
    events: list[Any] = []
    with suppress(yaml.YAMLError):  # OmegaConf's parser says what is wrong
        events += yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if len(events) > 2 and not isinstance(events[2], yaml.MappingStartEvent):
        return events[2].start_mark.line + 1, "no mapping; settings are lines of key: value"
    for event in events:
        if isinstance(event, yaml.ScalarEvent) and not is_interpolation(event.value):
            return event.start_mark.line + 1, f"{event.value} is no interpolation; one is ${{group.key}}"
    return 0, ""


def is_interpolation(text: str) -> bool:
    """Whether OmegaConf takes the text as it is: its `${`, if any, are interpolations."""
    if "${" not in text:
        return True
    try:
        OmegaConf.create([text])
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


def place_in_files(message: str, words: Sequence[str]) -> str:
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
