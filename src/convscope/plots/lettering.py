"""Text in pictures: the font, its sizes and colors, text cut to a width, and labels moved apart."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import ImageDraw, ImageFont

INK, FAINT = (38, 38, 42), (112, 112, 120)
TITLE, CAPTION = 20, 14  # pixels


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has the letters of most languages, from the file that matplotlib installs."""
    package = find_spec("matplotlib")  # without importing it
    assert package and package.origin, "matplotlib is a dependency"
    return ImageFont.truetype(Path(package.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", size)


def width(text: str, size: int) -> int:
    """Pixels that one line of text takes."""
    return round(font(size).getlength(text))


def shortened(text: str, size: int, room: int) -> str:
    """The text in one line of at most `room` pixels, its end replaced by an ellipsis where it does not fit."""
    text = " ".join(text.split())
    if width(text, size) <= room:
        return text
    while text and width(text + "…", size) > room:
        text = text[:-1].rstrip()
    return text + "…" if width("…", size) <= room else ""


def short_name(name: str, letters: int, from_end: bool = False) -> str:
    """The name in at most so many letters, with an ellipsis for the rest of it.

    from_end: keeps its end, as of a layer, where it says more than its beginning.
    """
    if len(name) <= letters:
        return name
    return "…" + name[len(name) - letters + 1 :] if from_end else name[: letters - 1] + "…"


def wrapped(text: str, size: int, room: int) -> list[str]:
    """The text in lines of at most `room` pixels, broken between words; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and width(f"{lines[-1]} {word}", size) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int = CAPTION, room: int = 10_000,
          color: tuple[int, int, int] = INK, anchor: str = "ls") -> None:  # fmt: skip
    """Draws one line at `place`, on its baseline unless `anchor` (Pillow's two letters) says otherwise."""
    draw.text(place, shortened(text, size, room), fill=color, font=font(size), anchor=anchor)


def percent(share: float) -> str:
    """A probability or share in whole percent; only 0 and 1 read as 0 % and 100 %."""
    if 0 < share < 0.01 or 0.995 <= share < 1:
        return "< 1 %" if share < 0.5 else "> 99 %"
    return f"{100 * share:.0f} %"


def moved_apart(heights: Sequence[float], gap: float) -> list[float]:
    """The heights of labels, moved by least squares so that they are `gap` apart and in order, then clipped to 0..1.

    Where the labels need more room than 0..1, they exceed 1.
    """
    order = np.argsort(heights, kind="stable")
    steps = np.arange(len(order)) * gap
    blocks: list[list[float]] = []  # isotonic regression: labels that would touch are pooled and share their mean
    for height in np.asarray(heights, dtype=float)[order] - steps:
        block = [float(height)]
        while blocks and np.mean(blocks[-1]) > np.mean(block):
            block = blocks.pop() + block
        blocks.append(block)
    pooled = np.array([np.mean(block) for block in blocks for _ in block])
    moved = np.empty(len(order))
    moved[order] = np.clip(pooled, 0, max(0.0, 1 - gap * (len(order) - 1))) + steps
    return moved.tolist()
