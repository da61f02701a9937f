"""A job's keys of the command line against what its plan takes: every wrong type is told by key, before any work."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from convscope.errors import UserError, meant

Plan = TypeVar("Plan")
LARGEST = 3e38  # of float32; also rules out inf and nan
_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", types.NoneType: "null"}


def read_plan(
    kind: type[Plan], group: str, values: Mapping[str, Any], other: Mapping[str, str] = MappingProxyType({})
) -> Plan:
    """kind(**values), a dataclass, after its fields' types were checked.

    other: fields that do not come from the group, with the key that they come from, e.g. batch_size: optim.batch_size.
    Raises UserError that names the key, e.g. occlude.size=big, and what it may be; and what the plan itself raises.
    """
    known = get_type_hints(kind)
    if not isinstance(values, Mapping):
        raise UserError(f"{group}={values} holds no keys; it has {', '.join(known)}")
    if extra := sorted(values.keys() - known.keys(), key=str):
        raise UserError(f"{group}.{extra[0]} is no key{meant(extra[0], known)}; possible: {', '.join(known)}")
    needed: Any = kind
    required = [field.name for field in fields(needed) if field.default is MISSING and field.default_factory is MISSING]
    if absent := [key for key in required if key not in values]:
        raise UserError(f"{other.get(absent[0], f'{group}.{absent[0]}')} is missing; it is {_said(known[absent[0]])}")
    for key, value in values.items():
        check_type(other.get(key, f"{group}.{key}"), value, known[key])
    return kind(**values)


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raises UserError where the value of the key `name` is of none of the types of the hint."""
    if not _fits(value, hint):
        raise UserError(f"{name}={'null' if value is None else value} is not {_said(hint)}")


def _fits(value: Any, hint: Any) -> bool:
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inside)
    if origin is Literal:
        return isinstance(value, str) or value in inside  # which words there are is told by the plan
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and all(_fits(item, inside[0]) for item in value)
    if origin is dict:
        one = inside[1]
        return isinstance(value, dict) and all(isinstance(k, str) and _fits(item, one) for k, item in value.items())
    if type(value) is int:
        return hint in (int, float) and abs(value) < 2**63
    return type(value) is hint and not (hint is float and not abs(value) < LARGEST)


def _said(hint: Any) -> str:
    """int | list[int] | None -> "a whole number, a list such as [3, 7] or null"."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        each = list(dict.fromkeys(_said(one) for one in inside if get_origin(one) or one in _WORDS))
        return f"{', '.join(each[:-1])} or {each[-1]}" if len(each) > 1 else each[0]
    if origin in (list, tuple):
        return "a list such as [3, 7]" if inside[0] in (int, float) else "a list such as [conv1, conv5]"
    if origin is dict:
        return "a mapping such as {frontal: 1}"
    return "a word" if origin is Literal else _WORDS.get(hint, str(hint))
