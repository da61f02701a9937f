"""job=export: writes what export.what names, and prints each file with its size."""

from collections.abc import Callable, Iterator
from pathlib import Path

from convscope.cli.exports.figures import figures
from convscope.cli.exports.films import films
from convscope.cli.exports.pages import pages
from convscope.cli.exports.plan import ExportConfig, check_plan, output_folder
from convscope.cli.exports.posters import posters
from convscope.runs.reading import Run, read_run

EXPORTS: dict[str, Callable[[Run, ExportConfig, Path], Iterator[Path]]] = {
    "page": pages,
    "film": films,
    "poster": posters,
    "figure": figures,
}


def export_run(folder: Path, plan: ExportConfig) -> list[Path]:
    """Writes the files and returns their paths. Raises UserError for what the run does not have."""
    check_plan(plan)
    run = read_run(folder)
    paths = []
    for path in EXPORTS[plan.what](run, plan, output_folder(run, plan)):
        print(f"{path} ({path.stat().st_size / 1e6:.2g} MB)", flush=True)
        paths.append(path)
    return paths
