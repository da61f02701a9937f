"""The page of a sweep: report/index.html and report/data.js in its folder, made from the folders of its runs alone.

It opens from disk as a run's page does. index.html has the whole table and needs no script; data.js has the curves.
"""

import math
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from convscope.analyses import abouts
from convscope.errors import command_line
from convscope.report.linked_runs import Link, address_of, analyses_of
from convscope.report.page import asset_texts, column_words, literal, template
from convscope.report.run_table import RunTables, run_tables
from convscope.runs.atomic_io import alone_in, write
from convscope.runs.reading import start_time
from convscope.runs.sweep_runs import SweepRuns, read_sweep_runs
from convscope.runs.training_runs import TrainingRun

SCRIPTS = ("elements.js", "columns.js", "curves.js", "overlays.js", "sorting.js", "sweep.js")

# columns of metrics.csv that only the pages of the runs have; all others are overlaid
RUN_PAGE_COLUMNS = re.compile(
    r"(epoch|lr|seconds|images_per_second|val/top5|val/class_mean|train/(loss|top1|mean_ap))$|(renorm|similarity)/"
)


def write_sweep_page(folder: Path) -> Path:
    """Writes the page of a sweep, finished or not, each file whole or not at all; returns the path of index.html.

    Several processes may do so at once, each after its run. They wait for each other, so that the last one to write
    reads every finished run. Raises UserError where there is no training run.
    """
    report = folder / "report"
    with alone_in(folder):
        runs = read_sweep_runs([folder])
        tables = run_tables(runs.groups, folder.resolve())
        write(report / "data.js", f"window.SWEEP = {literal({'runs': _curves(tables), 'words': column_words()})};\n")
        write(report / "index.html", _html(folder.resolve(), runs, tables).encode(errors="replace"))
    return report / "index.html"


def _html(folder: Path, runs: SweepRuns, tables: RunTables) -> str:
    states = Counter(row.state for row in tables.rows)
    return template("sweep.html").render(
        title=re.sub(r"^\d{4}-\d\d-\d\d_[\d-]+_", "", folder.name),
        folder=folder.name,
        date=min(start_time(row.run.run.folder) for row in tables.rows).strftime("%-d %B %Y, %H:%M"),
        written=datetime.now().strftime("%-d %B %Y, %H:%M:%S") if states["running"] else None,
        program=command_line(),
        states=[f"{count} {state}" for state, count in sorted(states.items())],
        tables=tables,
        comparisons=_comparisons(folder),
        left_out=runs.left_out,
        styles=asset_texts("page.css", "sweep.css", "print.css"),
        scripts=asset_texts(*SCRIPTS),
    )


def _comparisons(folder: Path) -> list[Link]:
    """The pages that compare the runs, such as the table beside the paper's numbers: in the folder, or noted in it."""
    links = []
    for about in abouts().values():
        page = f"{about.sweep_folder}/report/index.html" if about.sweep_key else ""
        if page and (folder / page).is_file():
            links.append(Link(f"../{address_of(page)}", about.label))
    return links + analyses_of(folder)


def _curves(tables: RunTables) -> list[dict[str, Any]]:
    """The curves and addresses that sweep.js reads, for each row of the table, in its order.

    written: when the run's page was, null for a page without an atlas, whose maps cannot be compared.
    """
    return [
        {
            "id": row.key,
            "name": row.name,
            "number": row.number,
            "address": address_of(row.key),
            "within": address_of(str(Path(row.key).parent)),
            "folder": row.run.run.folder.name,
            "written": _atlas_written(row.run.run.folder),
            "epochs": [int(values.get("epoch", number)) for number, values in enumerate(row.run.history, 1)],
            "columns": columns(row.run),
        }
        for row in tables.rows
    ]


def columns(run: TrainingRun) -> dict[str, list[float | None]]:
    """The curves of one run by column of metrics.csv, in four digits; None where nothing was measured.

    The first value of stayed/<layer> becomes None: there is no earlier epoch to compare with.
    """
    names = dict.fromkeys(name for row in run.history for name in row if not RUN_PAGE_COLUMNS.match(name))
    curves = {name: [_short(row.get(name)) for row in run.history] for name in names}
    for name, values in curves.items():
        first = next((place for place, value in enumerate(values) if value is not None), None)
        if name.startswith("stayed/") and first is not None:
            values[first] = None
    return {name: values for name, values in curves.items() if any(value is not None for value in values)}


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def _atlas_written(folder: Path) -> float | None:
    """When the page of a run was written, None without an atlas. A page links to older pages, not to newer ones."""
    data = folder / "report" / "data.js"
    return data.stat().st_mtime if (folder / "report" / "atlas").is_dir() and data.is_file() else None
