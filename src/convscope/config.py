"""Typed settings: ranges and choices stand in a class, and every wrong value is one line that names its key.

A class of settings is a frozen pydantic dataclass, strict (`true` is no 1):

    @config("occlude")
    class Occlusion:
        images: int | list[int] = 5
        scored: Annotated[int, Field(ge=1)] = 100
        boxes: PathText | None = None

`read_config(Occlusion, settings)` reads the group `occlude` of the settings. Nothing here knows torch or Hydra.
"""

import errno
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from convscope.errors import UserError, did_you_mean

__all__ = [
    "Count",
    "PathText",
    "Split",
    "check_path",
    "check_path_key",
    "check_type",
    "config",
    "describe_type",
    "read_config",
    "value_at",
]

Config = TypeVar("Config")
Settings = Mapping[str, Any]
LARGEST = 3e38  # of float32; also rules out inf and nan
LONGEST = 100  # characters of a path that an error repeats
_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", types.NoneType: "null"}


class NoPath(ValueError):
    """Text that can be no path; says why."""


def check_path(text: str) -> str:
    """The text, if it can be a path or an address. Raises NoPath for what the system takes for none."""
    if not text:
        raise NoPath("is no path")
    if "://" in text:
        return text
    try:
        Path(text).expanduser().stat()
    except (OSError, ValueError, RuntimeError) as error:  # a zero byte, a home that nobody has
        if isinstance(error, OSError) and error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            return text  # whoever opens the file says what is wrong with it
        raise NoPath(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    return text


PathText = Annotated[str, AfterValidator(check_path)]
Count = Annotated[int, Field(ge=1)]
Split = Literal["val", "train"]


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def config(
    group: str, elsewhere: Mapping[str, str] = types.MappingProxyType({})
) -> Callable[[type[Config]], type[Config]]:
    """Makes a class a frozen, strict pydantic dataclass whose errors are one line with the key.

    group: the config group or job whose keys the fields are. elsewhere: field -> the key that it comes from, for fields
    that are no keys of the group, e.g. batch_size: optim.batch_size.
    """

    def decorate(plain: type[Config]) -> type[Config]:
        made: Any = dataclass(frozen=True, config=ConfigDict(strict=True, allow_inf_nan=False))(plain)
        made.config_group, made.config_elsewhere = group, dict(elsewhere)
        validate = made.__init__

        def __init__(self: Any, *args: Any, **values: Any) -> None:
            try:
                validate(self, *args, **values)
            except ValidationError as error:
                names = [field.name for field in fields(made)]
                raise UserError(_in_words(made, {**dict(zip(names, args, strict=False)), **values}, error)) from None

        made.__init__ = __init__
        return made

    return decorate


def read_config(kind: type[Config], settings: Settings, group: str | None = None) -> Config:
    """The settings of a class decorated by `config`: the keys of its group, and those that it takes from elsewhere.

    group: another group of the same keys. Raises UserError that names the key, its value and what is possible.
    """
    described: Any = kind
    name = group or described.config_group
    values, hints = settings.get(name, {}), get_type_hints(kind, include_extras=True)
    keys = [field for field in hints if field not in described.config_elsewhere]
    if not isinstance(values, Mapping):
        raise UserError(f"{name}={values} holds no keys; it has {', '.join(keys)}")
    if unknown := sorted(values.keys() - set(keys), key=str):
        raise UserError(f"{name}.{unknown[0]} is no key{did_you_mean(unknown[0], keys)}; possible: {', '.join(keys)}")
    return build_config(kind, {**values, **_from_elsewhere(described, settings)})


def build_config(kind: type[Config], values: Settings) -> Config:
    """The class with these values of its fields. Raises UserError for one that is missing or wrong."""
    described: Any = kind
    for field in fields(described):
        if field.default is MISSING and field.default_factory is MISSING and field.name not in values:
            hint = get_type_hints(kind, include_extras=True)[field.name]
            raise UserError(f"{_key(kind, field.name)} is missing; it is {describe_type(hint)}")
    for name, value in values.items():
        if _too_large(value):
            hint = get_type_hints(kind, include_extras=True)[name]
            raise UserError(f"{_key(kind, name)}={_shown(value)} is not {describe_type(hint)}")
    return kind(**values)


def check_type(key: str, value: Any, hint: Any) -> None:
    """Raises UserError where the value of a key is of none of the types of the hint."""
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True))
        adapter.validate_python(value)
        fits = not _too_large(value)
    except ValidationError:
        fits = False
    if not fits:
        raise UserError(f"{key}={_shown(value)} is not {describe_type(hint)}")


def value_at(settings: Any, key: str) -> Any:
    """The value at a dotted key such as data.root; None where any part of the key is missing."""
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def check_path_key(settings: Settings, key: str, several: bool = False) -> None:
    """Raises UserError where a key names what can be no path. several: a list of paths, or null in it, is possible."""
    value = value_at(settings, key)
    for path in value if several and isinstance(value, list) else [value]:
        if path is None:
            continue
        if not isinstance(path, str):
            raise UserError(f"{key}={path} {_no_path(key, path)}")
        try:
            check_path(path)
        except NoPath as refusal:
            raise UserError(f"{key}={_cut(path)} {refusal}") from None


def describe_type(hint: Any) -> str:
    """The values of a type in words: int | list[int] | None -> "a whole number, a list such as [3, 7] or null"."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe_type(inside[0])
    if origin in (Union, types.UnionType):
        kinds = list(dict.fromkeys(describe_type(kind) for kind in inside if get_origin(kind) or kind in _WORDS)) or [
            "a value"
        ]
        return f"{', '.join(kinds[:-1])} or {kinds[-1]}" if len(kinds) > 1 else kinds[0]
    if origin in (list, tuple):
        return (
            "a list such as [3, 7]" if describe_type(inside[0]).endswith("number") else "a list such as [conv1, conv5]"
        )
    if origin is dict:
        return "a mapping such as {frontal: 1}"
    return ", ".join(map(_shown, inside)) if origin is Literal else _WORDS.get(hint, str(hint))


def _from_elsewhere(described: Any, settings: Settings) -> dict[str, Any]:
    """Field -> value of the keys outside the group; a key that the settings do not have is left to its default."""
    values = {field: value_at(settings, key) for field, key in described.config_elsewhere.items()}
    absent = {field for field, key in described.config_elsewhere.items() if key.split(".")[0] not in settings}
    return {field: value for field, value in values.items() if field not in absent}


def _key(kind: Any, field: str) -> str:
    return str(kind.config_elsewhere.get(field, f"{kind.config_group}.{field}"))


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _too_large(value: Any) -> bool:
    """Whether a number in the value is beyond what tensors hold."""
    if isinstance(value, Mapping):
        return any(_too_large(part) for part in value.values())
    if isinstance(value, list | tuple):
        return any(_too_large(part) for part in value)
    if isinstance(value, int):
        return abs(value) >= 2**63
    return isinstance(value, float) and not abs(value) < LARGEST


def _in_words(kind: Any, values: Settings, refusal: ValidationError) -> str:
    """One line on the first wrong value: its key, the value, what is possible."""
    errors = refusal.errors(include_url=False)
    first = next((error for error in errors if error["type"] in _RANGES), errors[0])
    field = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "unexpected_keyword_argument" or field not in (
        hints := get_type_hints(kind, include_extras=True)
    ):
        return f"{kind.config_group}.{field} is no key; possible: {', '.join(get_type_hints(kind))}"
    key, value, hint = _key(kind, field), values.get(field), hints[field]
    outcome = [error for error in errors if error["loc"][:1] == (field,)]
    return f"{key}={_cut(value)} {_reason(key, value, hint, outcome)}{_example(kind, field)}"


def _cut(value: Any) -> str:
    text = _shown(value) if value != "" else "''"
    return text[:LONGEST] + "..." * (len(text) > LONGEST)


_BELOW, _ABOVE = ("greater_than_equal", "greater_than"), ("less_than_equal", "less_than")
_RANGES = (*_BELOW, *_ABOVE, "too_short")


def _limits(hint: Any) -> dict[str, Any]:
    """The limits of the numbers in a type: ge, gt, le, lt."""
    limits: dict[str, Any] = {}
    if get_origin(hint) is Annotated:
        metadata = [entry for field in get_args(hint)[1:] for entry in getattr(field, "metadata", [])]
        limits = {
            name: getattr(entry, name)
            for entry in metadata
            for name in ("ge", "gt", "le", "lt")
            if hasattr(entry, name)
        }
    for part in get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint):
        limits |= _limits(part)
    return limits


def _range(hint: Any) -> str:
    """The numbers that a type allows, in words: "1 or more", "4 to 256", "above 0, at most 1"; and null, if it does."""
    limits = {name: f"{limit:,.10g}" for name, limit in _limits(hint).items()}
    null = ", or null" if types.NoneType in get_args(hint) else ""
    if set(limits) == {"ge", "le"}:
        return f"{limits['ge']} to {limits['le']}{null}"
    words = {"gt": "above {}", "ge": "{} or more", "le": "at most {}", "lt": "below {}"}
    return ", ".join(words[name].format(limits[name]) for name in words if name in limits) + null


def _reason(key: str, value: Any, hint: Any, errors: Iterable[Any]) -> str:
    """Why the value is wrong. errors: pydantic's on this value, one for each type that it may have."""
    for error in errors:
        if error["type"] in _BELOW:
            return f"is too small; it is {_range(hint)}"
        if error["type"] in _ABOVE:
            return f"is too large; it is {_range(hint)}"
        if error["type"] == "too_short":
            return f"has {error['ctx']['actual_length']} values; it needs {error['ctx']['min_length']} or more"
        if error["type"] == "value_error" and isinstance(error["ctx"]["error"], NoPath):
            return str(error["ctx"]["error"])
    if _is_path(hint):
        wrong = next(
            (part for part in (value if isinstance(value, list) else [value]) if not isinstance(part, str)), None
        )
        return (
            f"is no path; write a name that is a number as {key}=./{wrong}"
            if type(wrong) in (int, float)
            else "is no path"
        )
    words = choices(hint)
    if words and (isinstance(value, str) or not _is_plain(hint)):
        wrong = next((word for word in (value if isinstance(value, list) else [value]) if word not in words), value)
        return f"is unknown{did_you_mean(wrong, words)}; possible: {', '.join(map(_shown, words))}{_or_a_list(hint)}"
    example = f"; type {key}=[{value}]" if isinstance(value, str) and "[conv1" in describe_type(hint) else ""
    return f"is not {describe_type(hint)}{example}"


def _or_a_list(hint: Any) -> str:
    """ ", or a list" where a type takes one of some words, or a list."""
    lists = [part for part in get_args(hint) if get_origin(part) is list] if get_origin(hint) is not Literal else []
    if not lists:
        return ""
    return ", or a list of them" if choices(lists[0]) else f", or {describe_type(lists[0])}"


def _no_path(key: str, value: Any) -> str:
    hint = f"; write a name that is a number as {key}=./{value}" if type(value) in (int, float) else ""
    return f"is no path{hint}"


def choices(hint: Any) -> list[Any]:
    """The words that a type allows, such as val and train; none of a type without choices."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [word for part in get_args(hint) for word in choices(part)] if get_origin(hint) is not dict else []


def _is_plain(hint: Any) -> bool:
    """Whether a type with choices allows other values, too."""
    return get_origin(hint) in (Union, types.UnionType) and bool({int, float, dict} & set(get_args(hint)))


def _is_path(hint: Any) -> bool:
    return hint == PathText or any(_is_path(part) for part in get_args(hint) if get_origin(hint) is not Annotated)


def _example(kind: Any, field: str) -> str:
    """The example that the field gives: `Field(examples=[...])`."""
    examples = kind.__pydantic_fields__[field].examples
    return f", e.g. {_key(kind, field)}={examples[0]}" if examples else ""
