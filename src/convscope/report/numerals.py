"""Numbers as a page shows them."""

import math
import re
from typing import Any


def percent(share: float) -> str:
    """0.9534 -> "95.3 %"."""
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """75.2 -> "1 min 15 s"; hours without seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_ = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def brief(value: Any) -> str:
    """A number in at most four digits or so, everything else as it is; "" for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return str(value)


def three(value: float) -> str:
    """A number in three digits, from a hundred on whole: 0.935, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_said(words: str, value: float) -> str:
    """A number as its own caption writes it, "95.3 %", else in three digits."""
    share = percent(value)
    return share if share in words else three(value)


def parted(words: str, value: float) -> tuple[str, str]:
    """A caption without the value it ends with, and the interval it gives with that value: of "fc7: 0.615 [0.31, 0.85]"
    ("fc7", "0.31 to 0.85"), of "eyes: 95.3 % [90.1, 99.2]" ("eyes", "90.1 to 99.2"). Other captions as they are, "".
    """
    said = "|".join(re.escape(form) for form in (f"{value:.3g}", percent(value)))
    found = re.search(rf"[:;,]? \(?(?:{said}) \[([^],]+), ([^]]+)\]\)?$", words)
    return (words[: found.start()], f"{found[1]} to {found[2]}") if found else (words, "")


def cell(text: str) -> str:
    """A cell of a csv file for reading: numbers shortened, "–" for what could not be measured, yes and no for truth."""
    if text in ("True", "False"):
        return "yes" if text == "True" else "no"
    value = number(text)
    if value is None or set(text) <= set("-0123456789"):
        return text
    return brief(value) if math.isfinite(value) else "–"


def number(text: str) -> float | None:
    """The number that a cell holds; None for words and for nothing."""
    try:
        return float(text)
    except ValueError:
        return None
