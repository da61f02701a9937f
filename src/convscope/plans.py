"""A job's keys of the command line against what its plan takes: every wrong type is told by key, before any work."""

import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from convscope.problem import Problem

Plan = TypeVar("Plan")
_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", types.NoneType: "null"}


def read_plan(kind: type[Plan], group: str, values: Mapping[str, Any]) -> Plan:
    """kind(**values), a dataclass, after its fields' types were checked.

    Raises Problem that names the key, e.g. occlude.size=big, and what it may be; and what the plan itself raises.
    """
    known = get_type_hints(kind)
    if extra := sorted(values.keys() - known.keys()):
        raise Problem(f"{group}.{extra[0]} is no key; possible: {', '.join(known)}")
    for key, value in values.items():
        if not _fits(value, known[key]):
            raise Problem(f"{group}.{key}={'null' if value is None else value} is not {_said(known[key])}")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inside)
    if origin is Literal:
        return isinstance(value, str)  # which words there are is told by the plan
    if origin is list:
        return isinstance(value, list) and all(_fits(item, inside[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _said(hint: Any) -> str:
    """int | list[int] | None -> "a whole number, a list such as [3, 7] or null"."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        each = [_said(one) for one in inside]
        return f"{', '.join(each[:-1])} or {each[-1]}"
    if origin is list:
        return "a list such as [3, 7]" if inside[0] in (int, float) else "a list such as [conv1, conv5]"
    if origin is dict:
        return "a mapping such as {frontal: 1}"
    return "a word" if origin is Literal else _WORDS.get(hint, str(hint))
