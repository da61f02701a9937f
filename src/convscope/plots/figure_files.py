"""Matplotlib figures as files: png, and svg and pdf with letters that stay letters and pictures at their own pixels."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fontTools.subset import Options
from matplotlib import rc_context
from matplotlib.figure import Figure

UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
IN_FILES: Any = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "image.composite_image": False,
    "svg.hashsalt": "convscope",  # equal figures are equal files
}
TYPESETTING = "GDEF", "GPOS", "GSUB", "MATH", "kern"  # tables of a font

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells each letter that goes into a pdf


def save_figure(figure: Figure, file: Any, form: str, dpi: int | None = None) -> None:
    """Writes a figure in a format of matplotlib.

    file: a path, or a file open for bytes. dpi: of a png; None: the figure's own.
    """
    with rc_context(IN_FILES), _fonts_without_typesetting():
        figure.savefig(file, format=form, dpi=dpi if dpi and form == "png" else "figure", metadata=UNDATED.get(form))


@contextmanager
def _fonts_without_typesetting() -> Iterator[None]:
    """Lets matplotlib embed fonts without the tables that say how to set text, which takes a third of the time.

    A pdf names the glyphs of its text and where each stands.
    """
    dropped = getattr(Options, "_drop_tables_default", [])
    Options._drop_tables_default = [*dropped, *TYPESETTING]
    try:
        yield
    finally:
        Options._drop_tables_default = dropped
