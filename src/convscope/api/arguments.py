"""Messages of the program in the words of the library: arguments in place of config keys, Python in place of YAML."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
from torch import Tensor

from convscope.analyses import abouts
from convscope.config import build_config
from convscope.errors import UserError, literal_values, value_text

Config = TypeVar("Config")
PHRASES = {  # of the command line, and what they are in Python
    r"set data\.image_size=(\d+)": r"pass images of \1 x \1 pixels",
    r"in data=\.\.\. too": "in the first set too",
    r", or overlap\.other=null to compare data's train with its val": "",
    r"; to compare (.*) with other images type overlap\.other=<their folder>": r"; pass the images to compare \1 with",
    r", or look at drawn animals: data=critters": ", or a mapping of names to places",
    r"if you trust that code, type model=python .* too": "make the net in Python, give it the file's weights, "
    "whose names begin with net., and pass it to convscope.subject",
    r"; let both look at the same images: type data=.*": "; make both subjects of the same images",
    r"; see conf/job/\w+\.yaml for what it holds": "",
    r"\btype ckpt=": "pass ",
    r"; for weights of another program type .*": "; load weights of another program into your net: net.load_state_dict",
    r": (?:ckpt|model\.init)=<that path>": "; pass that path",
    r"; ckpt= takes ": "; load takes ",
}
OTHER_GROUPS = "data", "optim", "model", "trainer"  # beside those of the analyses


@contextmanager
def naming_arguments(**values: Any) -> Iterator[None]:
    """Raises every UserError of the block anew in the words of Python. values: the arguments of the function."""
    try:
        yield
    except UserError as error:
        text = argument_text(str(error), values)
        if text == str(error):
            raise
        raise type(error)(text) from None


def config_of(kind: type[Config], arguments: Mapping[str, Any]) -> Config:
    """The settings of an analysis from a function's arguments, with lists, numbers and paths of any kind."""
    return build_config(kind, {name: plain_value(value) for name, value in arguments.items()})


def plain_value(value: Any) -> Any:
    """A value as settings have it: a list for any sequence, array or range, Python's numbers, text for a path."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain_value(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain_value(part) for part in value]
    return value


def argument_text(text: str, values: Mapping[str, Any]) -> str:
    """A message of the program in the words of Python. values: the arguments that it may be about."""
    for pattern, replacement in PHRASES.items():
        text = re.sub(pattern, replacement, text)
    text = re.sub(rf"\b({'|'.join((*_groups(), *OTHER_GROUPS))})\.([a-z]\w*)", r"\2", text)
    text = re.sub(r"\bjob=(\w+)", r"convscope.\1", text)
    for name, value in values.items():
        text = _with_value(text, name, plain_value(value))
    text = re.sub(r"\bnull\b", "None", text).replace("true or false", "True or False")
    text = re.sub(r"(=|such as )\[([A-Za-z_][^\[\]\"'<]*)\]", lambda words: words[1] + _quoted(words[2]), text)
    return re.sub(rf"\b([a-z]\w*)=({'|'.join(_words())})\b", r'\1="\2"', text)


def _with_value(text: str, name: str, value: Any) -> str:
    """The text with the value of this argument as Python writes it; a value that a message cuts stays cut."""
    shown = value_text(value) if value != "" else "''"
    return re.sub(rf"\b{name}={re.escape(shown)}(?=[ :;,]|$)", lambda _: f"{name}={value!r}", text)


def _quoted(words: str) -> str:
    return str([word.strip() for word in words.split(",")])


@cache
def _groups() -> list[str]:
    """The config groups of all analyses."""
    return sorted({about.config.config_group for about in abouts().values()})  # type: ignore[attr-defined]


@cache
def _words() -> list[str]:
    """The words that settings of analyses may be, the longest first."""
    hints = [hint for about in abouts().values() for hint in get_type_hints(about.config, include_extras=True).values()]
    words = {word for hint in hints for word in literal_values(hint) if isinstance(word, str)}
    return sorted(words, key=lambda word: (-len(word), word))
