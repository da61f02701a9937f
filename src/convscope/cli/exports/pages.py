"""export.what=page: the report page in one html file."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from convscope.cli.exports.plan import ExportConfig, chosen_layers, file_stem
from convscope.engine.progress import track
from convscope.report.one_file import one_file
from convscope.runs.atomic_io import write
from convscope.runs.reading import Run


def pages(run: Run, plan: ExportConfig, out: Path) -> Iterator[Path]:
    """Writes the page in one file and yields its path."""
    if plan.layer is not None:
        chosen_layers(run, plan)  # raises UserError for a layer that the run does not show
    packed = partial(track, words="packing the pictures into the page")
    html, words = one_file(run.folder, round(1e6 * plan.megabytes), plan.layer, packed)
    stem = run.folder.resolve().name + ("" if plan.layer is None else f"_{file_stem(plan.layer)}")
    path = out / f"{stem}.html"
    write(path, html)
    print(words, flush=True)
    yield path
