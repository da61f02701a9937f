"""Matplotlib figures as files: png, and svg and pdf with letters that stay letters and pictures at their own pixels."""

import logging
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text

UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
IN_FILES: Any = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "image.composite_image": False,
    "svg.hashsalt": "convscope",  # equal figures are equal files
    "text.parse_math": False,  # of ticks, which are made while a figure is drawn
}

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells each letter that goes into a pdf


def save_figure(figure: Figure, file: Any, form: str, dpi: int | None = None) -> None:
    """Writes a figure in a format of matplotlib.

    file: a path, or a file open for bytes. dpi: of a png; None: the figure's own.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names of classes, files and runs may hold $
    with rc_context(IN_FILES):
        figure.savefig(file, format=form, dpi=dpi if dpi and form == "png" else "figure", metadata=UNDATED.get(form))
