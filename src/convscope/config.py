"""Typed settings: ranges and choices stand in a class, and every wrong value is one line that names its key.

A class of settings is a frozen pydantic dataclass, strict (`true` is no 1):

    @config("occlude")
    class Occlusion:
        images: int | list[int] = 5
        scored: Annotated[int, Field(ge=1)] = 100
        boxes: PathText | None = None

`read_config(Occlusion, settings)` reads the group `occlude` of the settings. Nothing here knows torch or Hydra.
"""

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from convscope.errors import (
    NoPath,
    UserError,
    check_new_path,
    check_path,
    check_path_or_url,
    describe_lists,
    describe_range,
    describe_type,
    did_you_mean,
    example_of,
    literal_values,
    value_text,
)

__all__ = [
    "Count",
    "NewPathText",
    "PathOrUrl",
    "PathText",
    "Split",
    "build_config",
    "check_path_key",
    "check_type",
    "config",
    "path_keys",
    "read_config",
    "value_at",
]

Config = TypeVar("Config")
Settings = Mapping[str, Any]
LARGEST = 3e38  # of float32; also rules out inf and nan
LONGEST = 100  # characters of a path that an error repeats

PathCheck = Callable[[str], str]
PathText = Annotated[str, AfterValidator(check_path)]
NewPathText = Annotated[str, AfterValidator(check_new_path)]  # of a file or folder that a job writes
PathOrUrl = Annotated[str, AfterValidator(check_path_or_url)]
Count = Annotated[int, Field(ge=1)]
Split = Literal["val", "train", "test"]


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def config(
    group: str, elsewhere: Mapping[str, str] = types.MappingProxyType({})
) -> Callable[[type[Config]], type[Config]]:
    """Makes a class a frozen, strict pydantic dataclass whose errors are one line with the key.

    group: the config group or job whose keys the fields are. elsewhere: field -> the key of its value, for fields that
    are no keys of the group, e.g. batch_size: optim.batch_size.
    """

    def decorate(plain: type[Config]) -> type[Config]:
        checked: Any = dataclass(frozen=True, config=ConfigDict(strict=True, allow_inf_nan=False))(plain)
        checked.config_group, checked.config_elsewhere = group, dict(elsewhere)
        validate = checked.__init__

        def __init__(self: Any, *args: Any, **values: Any) -> None:
            try:
                validate(self, *args, **values)
            except ValidationError as error:
                names = [field.name for field in fields(checked)]
                values = {**dict(zip(names, args, strict=False)), **values}
                raise UserError(_explain(checked, values, error)) from None

        checked.__init__ = __init__
        return checked

    return decorate


def read_config(kind: type[Config], settings: Settings) -> Config:
    """An instance of a class decorated by `config`, from the keys of its group and those elsewhere.

    Raises UserError that names the key, its value and what is possible.
    """
    described: Any = kind
    name = described.config_group
    values, hints = settings.get(name, {}), get_type_hints(kind, include_extras=True)
    keys = [field for field in hints if field not in described.config_elsewhere]
    if not isinstance(values, Mapping):
        raise UserError(f"{name}={values} holds no keys; it has {', '.join(keys)}")
    if unknown := sorted(values.keys() - set(keys), key=str):
        raise UserError(f"{name}.{unknown[0]} is no key{did_you_mean(unknown[0], keys)}; possible: {', '.join(keys)}")
    return build_config(kind, {**values, **_from_elsewhere(described, settings)})


def build_config(kind: type[Config], values: Settings) -> Config:
    """An instance of the class with these values. Raises UserError for a value that is missing or wrong."""
    described: Any = kind
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(described):
        if field.default is MISSING and field.default_factory is MISSING and field.name not in values:
            raise UserError(f"{_key(kind, field.name)} is missing; it is {describe_type(hints[field.name])}")
    for name, value in values.items():
        if _too_large(value):
            raise UserError(f"{_key(kind, name)}={value_text(value)} is not {describe_type(hints[name])}")
    return kind(**values)


def check_type(key: str, value: Any, hint: Any) -> None:
    """Raises UserError where the value of a key is of no type that the hint allows."""
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True))
        adapter.validate_python(value)
        fits = not _too_large(value)
    except ValidationError:
        fits = False
    if not fits:
        raise UserError(f"{key}={value_text(value)} is not {describe_type(hint)}")


def value_at(settings: Any, key: str) -> Any:
    """The value at a dotted key such as data.root; None where any part of the key is missing."""
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def check_path_key(settings: Settings, key: str, several: bool = False, check: PathCheck = check_path) -> None:
    """Raises UserError where the value of a key cannot be a path. several: it may be a list of paths, or of null."""
    value = value_at(settings, key)
    for path in value if several and isinstance(value, list) else [value]:
        if path is None:
            continue
        if not isinstance(path, str):
            raise UserError(f"{key}={path} {_no_path(key, path)}")
        try:
            check(path)
        except NoPath as refusal:
            raise UserError(f"{key}={_cut(path)} {refusal}") from None


def _from_elsewhere(described: Any, settings: Settings) -> dict[str, Any]:
    """Field -> value of the keys outside the group; without the keys of groups that the settings do not have."""
    return {
        field: value_at(settings, key)
        for field, key in described.config_elsewhere.items()
        if key.split(".")[0] in settings
    }


def _key(kind: Any, field: str) -> str:
    return str(kind.config_elsewhere.get(field, f"{kind.config_group}.{field}"))


def _too_large(value: Any) -> bool:
    """Whether a number in the value is beyond the range of tensors."""
    if isinstance(value, Mapping):
        return any(_too_large(part) for part in value.values())
    if isinstance(value, list | tuple):
        return any(_too_large(part) for part in value)
    if isinstance(value, int):
        return abs(value) >= 2**63
    return isinstance(value, float) and not abs(value) < LARGEST


_BELOW, _ABOVE = ("greater_than_equal", "greater_than"), ("less_than_equal", "less_than")
_RANGES = (*_BELOW, *_ABOVE, "too_short")


def _explain(kind: Any, values: Settings, refusal: ValidationError) -> str:
    """One line on the first wrong value: its key, the value, what is possible."""
    errors, hints = refusal.errors(include_url=False), get_type_hints(kind, include_extras=True)
    first = next((error for error in errors if error["type"] in _RANGES), errors[0])
    place = first["loc"][0] if first["loc"] else ""
    field = fields(kind)[place].name if isinstance(place, int) else str(place)
    if first["type"] == "unexpected_keyword_argument" or field not in hints:
        return f"{kind.config_group}.{field} is no key; possible: {', '.join(hints)}"
    key, value = _key(kind, field), values.get(field)
    errors_of_field = [error for error in errors if error["loc"][:1] == (place,)]
    example = example_of(hints[field])
    hint = f", e.g. {key}={example}" if example is not None else ""
    return f"{key}={_cut(value)} {_reason(key, value, hints[field], errors_of_field)}{hint}"


def _cut(value: Any) -> str:
    text = value_text(value) if value != "" else "''"
    return text[:LONGEST] + "..." * (len(text) > LONGEST)


def _reason(key: str, value: Any, hint: Any, errors: Iterable[Any]) -> str:
    """Why the value is wrong. errors: of pydantic on this value, one for each type that the value may have."""
    for error in errors:
        if error["type"] in _BELOW:
            return f"is too small; it is {describe_range(hint)}"
        if error["type"] in _ABOVE:
            return f"is too large; it is {describe_range(hint)}"
        if error["type"] == "too_short":
            return f"has {error['ctx']['actual_length']} values; it needs {error['ctx']['min_length']} or more"
        if error["type"] == "value_error" and isinstance(error["ctx"]["error"], NoPath):
            return str(error["ctx"]["error"])
    parts = value if isinstance(value, list) else [value]
    if _is_path(hint):
        return _no_path(key, next((part for part in parts if not isinstance(part, str)), None))
    literals = list(dict.fromkeys(literal_values(hint)))
    if literals and (isinstance(value, str) or not _allows_other_types(hint)):
        wrong = next((part for part in parts if part not in literals), value)
        listed = ", ".join(map(value_text, literals))
        return f"is unknown{did_you_mean(wrong, literals)}; possible: {listed}{describe_lists(hint)}"
    example = f"; type {key}=[{value}]" if isinstance(value, str) and "[conv1" in describe_type(hint) else ""
    return f"is not {describe_type(hint)}{example}"


def _no_path(key: str, value: Any) -> str:
    hint = f"; write a name that is a number as {key}=./{value}" if type(value) in (int, float) else ""
    return f"is no path{hint}"


def _allows_other_types(hint: Any) -> bool:
    """Whether a type with literals also allows numbers or mappings."""
    return get_origin(hint) in (Union, types.UnionType) and bool({int, float, dict} & set(get_args(hint)))


def path_keys(kind: type) -> dict[str, bool]:
    """The keys of a class of settings whose values are paths; whether such a key also takes a list of them."""
    hints = get_type_hints(kind, include_extras=True)
    lists = {field: any(get_origin(part) is list for part in get_args(hint)) for field, hint in hints.items()}
    return {_key(kind, field): lists[field] for field, hint in hints.items() if _is_path(hint)}


def _is_path(hint: Any) -> bool:
    parts = () if get_origin(hint) is Annotated else get_args(hint)
    return hint in (PathText, NewPathText, PathOrUrl) or any(map(_is_path, parts))
