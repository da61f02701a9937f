"""The page on which people mark parts of photographs by clicking, and save them as csv files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from convscope.errors import command_line
from convscope.report.page import asset_texts, literal, template
from convscope.runs.atomic_io import write

PAGE_FILE = "annotate.html"  # in a run folder
SCRIPTS = ("elements.js", "annotation_csv.js", "annotation_work.js", "annotation_memory.js", "annotation_stage.js",
           "annotation_input.js", "annotation_exif.js", "annotation_panel.js", "annotation_page.js")  # fmt: skip


class Photograph(NamedTuple):
    """path: in the csv, from the folder of the photographs. source: address of a file. width, height: if upright."""

    path: str
    source: str
    width: int
    height: int


def write_annotation_page(
    page: Path, photographs: Sequence[Photograph], root: Path | None, points: Sequence[str], boxes: Sequence[str]
) -> Path:
    """Writes the page, one file, and returns its path. Without photographs people choose a folder on the page.

    root: the folder of the photographs, for which a browser remembers the marks. points, boxes: the names of the parts.
    """
    parts = [{"name": name, "box": names is boxes} for names in (points, boxes) for name in names]
    annotation = {
        "root": str(root or ""),
        "folder": str(root or ""),
        "photographs": [photograph._asdict() for photograph in photographs],
        "parts": parts,
        "program": command_line(),
    }
    html = template("annotation.html").render(
        title="Mark parts of photographs",
        styles=asset_texts("page.css", "annotation.css", "print.css"),
        scripts=asset_texts(*SCRIPTS),
        data=f"window.ANNOTATION = {literal(annotation)};",
    )
    write(page, html)
    return page
