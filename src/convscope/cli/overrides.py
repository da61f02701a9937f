"""The words of a command line as Hydra takes them: flags wherever they stand, paths and names as they were typed.

Hydra's grammar knows few characters. A value that it would refuse, or change, is put in quotes here.

A path is the text as typed, whatever its characters, with these exceptions, each for a text that names no file:
* null means none; `???` is no value
* quotes, Hydra's escapes (`a\\=b`) and `${...}` keep their meaning
* a,b are two values where the command is a sweep; elsewhere one path, unless a and b exist: then the line is refused
* [a,b] is a list, at the keys that take one
Where both the text as typed and such a meaning name files, the meaning counts. `~` is the home of a user.

The value of another key goes to the grammar; one that the grammar refuses is text as typed, unless it begins like a
list, a mapping, a sweep or a quoted text: then it is a mistake.
"""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from convscope import analyses
from convscope.cli.config_files import choices, is_interpolation
from convscope.cli.help import flags_and_overrides
from convscope.config import path_keys
from convscope.errors import NoPath, UserError, check_new_path, check_path, command_line

HYDRA_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
_SHARED_PATHS = (
    "ckpt",
    "run",
    "sweep",
    "resume",
    "model.init",
    "model.weights",
    "data.root",
    "data.cache_dir",
    "convert.to",
    "export.out",
)
_TEXTS = ("name",)
_ADDED = re.compile(r"model\.(weights$|args\.)")  # keys that the file of a net of one's own need not have
SweepTest = Callable[[Sequence[str], Sequence[str], Path], bool]
_OVERRIDE = re.compile(r"(\+{0,2}([A-Za-z_$][\w./@:$-]*))\s*=(.*)", re.ASCII | re.DOTALL)
_STRUCTURE = re.compile(r"\s*([\[{'\"]|(choice|range|glob|interval|sort|shuffle|tag|int|float|str|bool)\s*\()")
_ELEMENT = re.compile(
    r"""\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\[[^\]]*\])\s*(?=,|$)|(?:\$\{[^}]*\}|[^,])*""", re.DOTALL
)


def hydra_words(arguments: Sequence[str], conf: Path, is_sweep: SweepTest) -> list[str]:
    """The flags, then the overrides, as Hydra takes them. Raises UserError for a word that it cannot take.

    The value of resume, which Hydra does not read, is plain text. is_sweep: tells it of flags, overrides and conf.
    """
    flags, overrides = flags_and_overrides(arguments)
    sweeps = cache(partial(is_sweep, flags, overrides, conf))
    return [*flags, *(_taken(override, sweeps, conf) for override in overrides)]


def quoted(text: str) -> str:
    """The text as a value of an override, whatever its characters."""
    return QuotedString(text, Quote.single).with_quotes()


def search_path(flags: Sequence[str]) -> list[str]:
    """The flag --config-dir as an override, for Hydra's function compose, which has no flags."""
    folders = [flag.partition("=")[2] for flag in flags if flag.startswith("--config-dir=")]
    return [f"hydra.searchpath=[{quoted(os.path.abspath(folder))}]" for folder in folders]


@cache
def keys_of_paths() -> dict[str, bool]:
    """Every key whose value is a place on this disk; whether it may be a list of them."""
    of_analyses = [path_keys(about.config) for about in analyses.abouts().values()]
    shared = dict.fromkeys((*_SHARED_PATHS, *HYDRA_FOLDERS), False)
    return {**shared, **{key: several for keys in of_analyses for key, several in keys.items()}, "ckpt": True}


def _explain_no_value(text: str, conf: Path) -> str:
    """What is missing in a word without =, with the choices of that name."""
    groups = [group.name for group in sorted(conf.iterdir()) if group.is_dir()]
    matches = [choice for group in groups for choice in choices(conf, group) if choice.partition("=")[2] == text]
    hint = f" (did you mean {' or '.join(matches)}?)" if matches else ""
    return f"{text} has no value{hint}; overrides are key=value or group=choice, as {command_line('--help')} lists them"


def _taken(word: str, is_sweep: Callable[[], bool], conf: Path) -> str:
    """The override in the form that Hydra takes. Raises UserError where there is none."""
    match = _OVERRIDE.fullmatch(word)
    if match is None:
        return _without_value(word, conf)
    start, key, value = match.groups()
    start = f"++{key}" if _ADDED.match(key) else start
    if key in keys_of_paths():
        return f"{start}={_path_value(word, key, value, is_sweep)}"
    if _parsed(value) is not None:
        return f"{start}={value}"
    as_text = f"{start}={quoted(_interpolated(value))}"
    if _STRUCTURE.match(value) and key not in _TEXTS:
        raise UserError(f"{word} {_reason(value)}; as one text it is typed {_for_shell(as_text)}")
    return as_text


def _without_value(word: str, conf: Path) -> str:
    """A deletion, which has no value. Raises UserError for another word that is no key=value."""
    name, equals, _ = word.partition("=")
    if word.startswith("~") and _parse(word) is not None:
        return word
    if equals:
        raise UserError(
            f"{word}: {name.strip() or 'nothing'} is no key; a key has letters, digits, _ and dots: optim.lr=0.01"
        )
    raise UserError(_explain_no_value(word, conf))


def _path_value(word: str, key: str, value: str, is_sweep: Callable[[], bool]) -> str:
    """The value of a key of paths in the form that Hydra takes; that of resume as plain text."""
    parsed, meaning = _parsed(value), _meaning(value)
    is_null = parsed is not None and parsed.value() is None
    if not _exists(value) and (meaning == "" or (is_null and key in HYDRA_FOLDERS)):
        raise UserError(f"{word} names nothing; is the variable after it set? Leave the word out, or name a place")
    if key == "resume":
        return _checked(key, _place(value if _exists(value) else meaning), check_path)
    if key in HYDRA_FOLDERS:
        return _hydra_folder(key, value, meaning)
    is_list = keys_of_paths()[key] and re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL) is not None
    is_text = parsed is not None and not parsed.is_sweep_override() and isinstance(parsed.value(), str)
    parts = _elements(value.strip()[1:-1] if is_list else value) if is_list or not is_text else [meaning]
    parts_exist = all(_exists(_meaning(part)) for part in parts)
    is_several = is_list or (len(parts) > 1 and all(parts) and is_sweep())
    if _exists(value) and not (parts_exist and (is_several or (is_text and meaning != value))):
        return _typed(value)
    if is_several:
        several = ",".join(_path_value(word, key, part, is_sweep) for part in parts)
        return f"[{several}]" if is_list else several
    if len(parts) > 1 and parts_exist:
        together = f", {key}=[{value}] takes them together" if keys_of_paths()[key] else ""
        raise UserError(f"{word} names {len(parts)} places: -m runs the job once with each{together}")
    is_kept = is_null or (parsed is not None and parsed.is_sweep_override() and len(parts) == 1 and is_sweep())
    return value if is_kept or (is_text and (meaning != value.strip() or parts_exist)) else _typed(value)


def _hydra_folder(key: str, value: str, meaning: str) -> str:
    """The value of hydra.run.dir or hydra.sweep.dir, which Hydra creates before a job can check it."""
    folder = value if _exists(value) or meaning == value.strip() else meaning
    place = os.path.expanduser(_place(folder))
    if "${" in place and (_exists(folder) or not is_interpolation(place)):
        raise UserError(f"{key}={value}: ${{ in the name of a folder means something else in settings; choose another")
    return as_value(_checked(key, place, check_new_path))


def _checked(key: str, path: str, check: Callable[[str], str]) -> str:
    try:
        return check(path)
    except NoPath as refusal:
        raise UserError(f"{key}={path} {refusal}") from None


def _elements(text: str) -> list[str]:
    """The parts between the commas that stand in no quotes, brackets or interpolation."""
    parts, position = [], 0
    while text.strip() and position <= len(text):
        match = _ELEMENT.match(text, position)
        part = match[0] if match else ""
        parts.append(part if _exists(part) else part.strip())
        position += len(part) + 1
    return parts


def _meaning(value: str) -> str:
    """The text that Hydra makes of a value; the value itself where it makes none of it."""
    override = _parsed(value)
    text = None if override is None or override.is_sweep_override() else override.value()
    return text if isinstance(text, str) else value


def _typed(text: str) -> str:
    """The text as typed, as a value; `${...}` is a name where it exists or is no interpolation."""
    place = _place(text)
    return as_value(_escaped(place) if os.path.lexists(text) else _interpolated(place))


def as_value(text: str) -> str:
    """The text as a value of an override, in quotes where it needs them; `${...}` stays an interpolation."""
    override = _parsed(text)
    is_plain = override is not None and not override.is_sweep_override() and override.value() == text
    return text if is_plain and "${" not in text else quoted(text)


def _place(path: str) -> str:
    """The path, written so that it is neither the home of a user nor a value that is missing (???)."""
    home = os.path.expanduser(path)
    if path.startswith("~") and os.path.lexists(path) and (home == path or not os.path.lexists(home)):
        return os.path.abspath(path)
    return "./???" if path == "???" and os.path.lexists(path) else path


def _interpolated(text: str) -> str:
    return text if is_interpolation(text) else _escaped(text)


def _escaped(text: str) -> str:
    return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)


def _for_shell(word: str) -> str:
    return shlex.quote(word) if re.search(r'["$`!]|\\\\', word) else f'"{word}"'


def _exists(path: str) -> bool:
    return bool(path) and (os.path.lexists(path) or os.path.lexists(os.path.expanduser(path)))


def _parsed(value: str) -> Override | None:
    return _parse(f"key={value}")


@lru_cache(1000)
def _parse(word: str) -> Override | None:
    """The override as Hydra reads it, None where its grammar refuses it."""
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def _reason(value: str) -> str:
    closing = {"[": "]", "{": "}"}.get(value.strip()[0], value.strip()[0])
    is_open = closing in "]}'\"" and closing not in value.strip()[1:]
    return f"lacks its closing {closing}" if is_open else "is no list, mapping or sweep"
