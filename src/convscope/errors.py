"""Errors that a user can mend, each in one line, with what to type; what can be a path; types in plain words."""

import difflib
import errno
import os
import re
import shlex
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

INSTALLED = (Path(__file__).resolve().parent / "conf").is_dir()  # from a wheel, which has conf/ inside the package
PROGRAM = "CONVSCOPE_PROGRAM"  # how the user has started the program, also in the processes of its runs


def command_line(*words: str) -> str:
    """The command line of the program with these words, as it is typed: in the repository, or where it is installed."""
    program = os.environ.get(PROGRAM) or ("convscope" if INSTALLED else "python src/run.py")
    return " ".join([program, *map(shlex.quote, words)])


def install(extra: str) -> str:
    """What to type where a library is missing. extra: its name in pyproject.toml."""
    return f"pip install {shlex.quote(f'convscope[{extra}]')}"


# What libraries add to a message for their own developers: places in their sources, and from a stack of calls on
STACK = re.compile(
    r"(Exception raised from|\(?Triggered internally|frame #\d+:|C\+\+ CapturedTraceback|Traceback \(most).*", re.S
)
SOURCE_PLACE = re.compile(
    r"\[enforce fail at [^\]]*\](\s*\S.*?\.(?=\s)|\s*\.)?"  # with the condition that failed
    r"|,? ?INTERNAL ASSERT FAILED at \S+, please report a bug to PyTorch\.?"
    r"|\b(at|in|from) (?=\S*/)\S+\.(cc|cpp|cu|cuh|h|hpp|py|rs|go)\"?:\d+\S*"
    r"|(?=\S*/)\S+\.(cc|cpp|cu|cuh|h|hpp|rs|go)\"?:\d+[:,]?"
    r"|\s*\[type=\w+, input_value=[^\n]*(\s*For further information visit \S+)?"  # of pydantic
    r"|(?<=\S) at 0x[0-9a-fA-F]{4,}|\b0x[0-9a-fA-F]{6,}\b"
)
MOST_READ = 4000  # letters of a message
TERMINAL_CODE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])")


def one_line(text: str) -> str:
    """The text in one line that a terminal shows: line breaks become spaces, control codes are escaped."""
    lines = text.replace("\t", " ").splitlines()
    joined = " ".join(line.strip() for line in lines if line.strip())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in joined)


def reason_of(error: object, longest: int = 200) -> str:
    """What a library says of an error, for the middle of a message of ours: in one line, without what only its
    developers can use, of at most `longest` letters. The name of the error where it says nothing.
    """
    text = str(error)[:MOST_READ]
    if isinstance(error, OSError) and error.strerror:  # of the operating system, here without its number
        text = f"{error.strerror}: {os.fsdecode(error.filename)}" if error.filename else error.strerror
    text = SOURCE_PLACE.sub(" ", STACK.sub("", TERMINAL_CODE.sub("", text)))
    line = re.sub(r" +([,.;:)])|  +", lambda gap: gap[1] or " ", one_line(text)).strip(" .;:,")
    if len(line) > longest:
        line = line[: longest - 3].rpartition(" ")[0].rstrip(" .;:,") or line[: longest - 3]
        line += "..."
    return line or type(error).__name__


_URL = re.compile(r"[A-Za-z][\w+.-]*://", re.ASCII)


class UserError(Exception):
    """Raised with one line that says what was given, what is possible and what to type. Shown without a traceback."""

    def __init__(self, text: object = ""):
        super().__init__(one_line(str(text)))


class Stopped(SystemExit):
    """A run that a signal has ended, with all its work in checkpoints/last.ckpt. code: 128 + the signal's number."""


class NoPath(ValueError):
    """Raised for a text that cannot be a path, with the reason."""


def check_path(text: str) -> str:
    """The text, if it can be a path on this disk. Raises NoPath for a URL, and where the system refuses it."""
    if _URL.match(text):
        example = re.sub("^file://(localhost)?(?=/)", "", text)
        advice = f"; type {example}" if example != text else "; download it first, and type where it lies"
        raise NoPath(f"is a URL, and here stands a path on this disk{advice}")
    return check_path_or_url(text)


def check_new_path(text: str) -> str:
    """The text, if it can be the path of something that is written. Raises NoPath as check_path."""
    if _URL.match(text):
        raise NoPath("is a URL, and here stands a path on this disk; name a folder, and upload it when it is written")
    return check_path_or_url(text)


def check_path_or_url(text: str) -> str:
    """The text, if it can be a path or is a URL. Raises NoPath where the system refuses it."""
    if not text:
        raise NoPath("is no path")
    if _URL.match(text):
        return text
    try:
        Path(text).expanduser().stat()
    except (OSError, ValueError, RuntimeError) as error:  # a zero byte, the home of an unknown user
        if isinstance(error, OSError) and error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            return text  # the code that opens the file reports its other errors
        raise NoPath(f"cannot be opened: {getattr(error, 'strerror', None) or reason_of(error)}") from None
    return text


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
    """The nearest sibling of a mistyped key, else a key elsewhere of the same last part, else of the nearest one."""
    if nearest := did_you_mean(last, [path.rpartition(".")[2] for path in siblings]):
        return nearest.replace("mean ", f"mean {parent}." if parent else "mean ")
    same_last = [path for path in keys if path.rpartition(".")[2] == last]
    if same_last:
        return f" (did you mean {same_last[0]}?)"
    others = [path for path in reversed(keys) if not path.startswith(("hydra.", "model.layers."))]
    elsewhere = {path.rpartition(".")[2]: path for path in others}
    near = difflib.get_close_matches(last, elsewhere, 1, 0.6)
    return f" (did you mean {elsewhere[near[0]]}?)" if near else ""


def list_possible(names: Sequence[str]) -> str:
    """ "; possible: a, b", the first MAX_LISTED of them; "" for none."""
    listed = [*names[:MAX_LISTED], *(["..."] if len(names) > MAX_LISTED else [])]
    return f"; possible: {', '.join(listed)}" if listed else ""
