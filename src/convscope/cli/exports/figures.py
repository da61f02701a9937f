"""export.what=figure: every figure of a run as svg and pdf."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from convscope.cli.exports.plan import ExportConfig, file_stem
from convscope.errors import UserError
from convscope.plots.figure_files import save_figure
from convscope.plots.poster import captioned_picture
from convscope.runs.atomic_io import write
from convscope.runs.picture_files import figure_file, opened_picture
from convscope.runs.reading import Run
from convscope.runs.record import FOR_PAGES


def figures(run: Run, plan: ExportConfig, out: Path) -> Iterator[Path]:
    """Copies each figure that was written with the run, text as text; a picture of pixels is put into a file with its
    caption as text. Yields the paths. The pictures of single epochs are those of posters and films.
    """
    entries = [entry for entry in run.entries if entry.kind == "picture" and entry.epoch is None]
    entries = [entry for entry in entries if not entry.name.startswith(FOR_PAGES)]
    if not entries:
        raise UserError(f"{run.folder} has no figures of the whole run")
    for entry in entries:
        for form in [plan.format] if plan.format else ["svg", "pdf"]:
            path = out / f"{file_stem(entry.name)}.{form}"
            drawn = figure_file(run.folder, str(entry.path), form)
            if drawn is not None:
                write(path, partial(shutil.copyfile, drawn))
            elif not _write_picture(run.folder / str(entry.path), entry.caption or entry.name, path):
                continue
            yield path


def _write_picture(picture: Path, caption: str, path: Path) -> bool:
    """Whether the picture could be read."""
    if (image := opened_picture(picture)) is None:
        return False
    write(path, partial(save_figure, captioned_picture(image, caption), form=path.suffix.removeprefix(".")))
    return True
