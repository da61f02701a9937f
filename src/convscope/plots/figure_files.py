"""Matplotlib figures as files: png, and svg and pdf with letters that stay letters and pictures at their own pixels."""

import logging
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
IN_FILES: Any = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "image.composite_image": False,
    "svg.hashsalt": "convscope",  # equal figures are equal files
}

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells each letter that goes into a pdf


def save_figure(figure: Figure, file: Any, form: str, dpi: int | None = None) -> None:
    """Writes a figure in a format of matplotlib.

    file: a path, or a file open for bytes. dpi: of a png; None: the figure's own.
    """
    with rc_context(IN_FILES):
        figure.savefig(file, format=form, dpi=dpi if dpi and form == "png" else "figure", metadata=UNDATED.get(form))
