"""Writes the parts of a page: HTML from templates that escape every value, and data as a script."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Template

from convscope.runs.number_format import brief, duration, percent

ASSETS = Path(__file__).parent / "assets"


@cache  # a training run writes its page after every epoch
def template(name: str) -> Template:
    """The template of this name in assets/, with the filters of all templates."""
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=ChainableUndefined,  # a summary of another version may lack a key: an empty place, not an error
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "brief": brief, "duration": duration}
    environment.globals["zip"] = zip
    return environment.get_template(name)


def asset_texts(*names: str) -> list[str]:
    """The texts of these files of assets/, which are written into the page itself."""
    return [(ASSETS / name).read_text(encoding="utf-8") for name in names]


def literal(value: Any) -> str:
    """The value as JSON that may stand in a script: ASCII without <, > or &. Raises ValueError for nan and infinity."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # escapes U+2028 as it does all but ASCII
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
