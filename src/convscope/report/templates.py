"""What every page is written with: its HTML from a template that escapes all it is given, its data as a script."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Template

from convscope.runs.number_format import brief, duration, percent

ASSETS = Path(__file__).parent / "assets"


@cache  # a training run writes its page after every epoch
def template(name: str) -> Template:
    """The template of this name in assets/."""
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


def beside(*names: str) -> list[str]:
    """The styles or scripts of these names, to stand in the page itself."""
    return [(ASSETS / name).read_text(encoding="utf-8") for name in names]


def literal(value: Any) -> str:
    """The value as a script may hold it: ASCII without <, > or &. Raises ValueError for a number that is not finite."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # escapes U+2028 as it does all but ASCII
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
