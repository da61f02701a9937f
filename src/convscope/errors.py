"""Errors that a user can mend, each in one line, and the possible values of a type in plain words."""

import difflib
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin


class UserError(Exception):
    """Raised with one line that says what was given, what is possible and what to type. Shown without a traceback."""


class Stopped(SystemExit):
    """A run that a signal has ended, with all its work in checkpoints/last.ckpt. code: 128 + the signal's number."""


def did_you_mean(text: object, possible: Iterable[object]) -> str:
    """ " (did you mean zfnet?)" for the possible name nearest to a mistyped one, "" where none is near."""
    nearest = difflib.get_close_matches(str(text), [str(name) for name in possible], 1, 0.6)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


_TYPES = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", types.NoneType: "null"}


def value_text(value: Any) -> str:
    """A value as it is typed on the command line."""
    return "null" if value is None else str(value)


def describe_type(hint: Any) -> str:
    """The values of a type in words: int | list[int] | None -> "a whole number, a list such as [3, 7] or null"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe_type(arguments[0])
    if origin in (Union, types.UnionType):
        described = [describe_type(part) for part in arguments if get_origin(part) or part in _TYPES]
        kinds = list(dict.fromkeys(described)) or ["a value"]
        return f"{', '.join(kinds[:-1])} or {kinds[-1]}" if len(kinds) > 1 else kinds[0]
    if origin in (list, tuple):
        is_of_numbers = describe_type(arguments[0]).endswith("number")
        return f"a list such as {'[3, 7]' if is_of_numbers else '[conv1, conv5]'}"
    if origin is dict:
        return "a mapping such as {frontal: 1}"
    return ", ".join(map(value_text, arguments)) if origin is Literal else _TYPES.get(hint, str(hint))


def describe_range(hint: Any) -> str:
    """The numbers that a type allows: "1 or more", "4 to 256", "above 0, at most 1"; with ", or null" if it does."""
    limits = {name: f"{limit:,.10g}" for name, limit in _limits(hint).items()}
    null = ", or null" if types.NoneType in get_args(hint) else ""
    if set(limits) == {"ge", "le"}:
        return f"{limits['ge']} to {limits['le']}{null}"
    phrases = {"gt": "above {}", "ge": "{} or more", "le": "at most {}", "lt": "below {}"}
    return ", ".join(phrases[name].format(limits[name]) for name in phrases if name in limits) + null


def _limits(hint: Any) -> dict[str, Any]:
    """The limits of the numbers in a type: ge, gt, le, lt."""
    limits: dict[str, Any] = {}
    parts = get_args(hint)
    if get_origin(hint) is Annotated:
        metadata = [entry for field in parts[1:] for entry in getattr(field, "metadata", [])]
        bounds = ((name, entry) for entry in metadata for name in ("ge", "gt", "le", "lt") if hasattr(entry, name))
        limits = {name: getattr(entry, name) for name, entry in bounds}
        parts = parts[:1]
    for part in parts:
        limits |= _limits(part)
    return limits


def example_of(hint: Any) -> Any:
    """The first example of a type, `Annotated[..., Field(examples=[...])]`, also inside a union; None without one."""
    parts = get_args(hint)
    if get_origin(hint) is Annotated:
        return next((field.examples[0] for field in parts[1:] if getattr(field, "examples", None)), None)
    return next((example for part in parts if (example := example_of(part)) is not None), None)


def literal_values(hint: Any) -> list[Any]:
    """The words that a type allows, such as val and train; none for a type without a Literal."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [word for part in get_args(hint) for word in literal_values(part)] if get_origin(hint) is not dict else []


def describe_lists(hint: Any) -> str:
    """ ", or a list ..." where a type allows one of several words or a list, else ""."""
    lists = [part for part in get_args(hint) if get_origin(part) is list] if get_origin(hint) is not Literal else []
    if not lists:
        return ""
    return ", or a list of them" if literal_values(lists[0]) else f", or {describe_type(lists[0])}"


OPEN_GROUPS = ("model.layers", "trainer", "logger.tensorboard")  # where + may add a key that no file has
MAX_LISTED = 40  # possible keys or choices in a message


def explain_unknown_key(key: str, keys: Sequence[str]) -> str:
    """A line on a key that is none: the nearest one, and those beside it. keys: all dotted keys."""
    tree = {".".join(path.split(".")[:depth]) for path in keys for depth in range(1, path.count(".") + 2)}
    parent, _, last = key.rpartition(".")
    while parent and parent not in tree:  # goes up to the first part that is wrong
        key, (parent, _, last) = parent, parent.rpartition(".")
    siblings = sorted(path for path in tree if path.rpartition(".")[0] == parent and path != "hydra")
    hint = _nearest_key(parent, last, siblings, keys)
    addition = f"; a new one is added by +{key}=..." if parent and parent.startswith(OPEN_GROUPS) else ""
    return f"no key {key}{hint}{list_possible(siblings)}{addition}"


def _nearest_key(parent: str, last: str, siblings: Sequence[str], keys: Sequence[str]) -> str:
    """The nearest sibling of a mistyped key, else a key elsewhere of the same last part, else the nearest last part."""
    if nearest := did_you_mean(last, [path.rpartition(".")[2] for path in siblings]):
        return nearest.replace("mean ", f"mean {parent}." if parent else "mean ")
    same_last = [path for path in keys if path.rpartition(".")[2] == last]
    if same_last:
        return f" (did you mean {same_last[0]}?)"
    return did_you_mean(last, {path.rpartition(".")[2] for path in keys})


def list_possible(names: Sequence[str]) -> str:
    """ "; possible: a, b", the first MAX_LISTED of them; "" for none."""
    listed = [*names[:MAX_LISTED], *(["..."] if len(names) > MAX_LISTED else [])]
    return f"; possible: {', '.join(listed)}" if listed else ""
