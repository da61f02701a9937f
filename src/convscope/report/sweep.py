"""The page of a sweep: report/index.html and report/data.js in its folder, a row for each run, made from the runs'
folders alone.

Opens from disk as a run's page does. index.html holds the whole table and needs no script; data.js holds the curves.
"""

import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from convscope.report.run_table import RunTables, run_tables
from convscope.report.templates import beside, literal, template
from convscope.runs.atomic_io import write
from convscope.runs.reading import start_time
from convscope.runs.sweep_runs import SweepRuns, read_sweep_runs
from convscope.runs.training_runs import TrainingRun

# columns of metrics.csv that stand on the runs' own pages alone; all others are overlaid, whatever they are
OWN = re.compile(r"(epoch|lr|seconds|images_per_second|val/top5|val/class_mean)$|(train|renorm|similarity)/")


def write_sweep_page(folder: Path) -> Path:
    """Writes the page of a sweep, over or still going on, each file whole or not at all; returns index.html's path.

    Several processes may do so at once, each after its run: they wait for each other, so that the last one to write
    has seen every run that is over. Raises UserError where no training run is.
    """
    place = folder / "report"
    with _alone(folder):
        found = read_sweep_runs([folder])
        ranked = run_tables(found.groups, folder.resolve())
        write(place / "data.js", f"window.SWEEP = {literal({'runs': _curves(ranked)})};\n")
        write(place / "index.html", _html(folder.resolve(), found, ranked).encode(errors="replace"))
    return place / "index.html"


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Waits until no other process writes the page of this folder. File systems without locks have none."""
    if sys.platform == "win32" or not place.is_dir():
        yield
        return
    import fcntl

    held = os.open(place, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _html(folder: Path, found: SweepRuns, ranked: RunTables) -> str:
    states = Counter(row.state for row in ranked.rows)
    return template("sweep.html").render(
        title=re.sub(r"^\d{4}-\d\d-\d\d_[\d-]+_", "", folder.name),
        folder=folder.name,
        date=min(start_time(row.run.run.folder) for row in ranked.rows).strftime("%-d %B %Y, %H:%M"),
        written=datetime.now().strftime("%-d %B %Y, %H:%M:%S") if states["running"] else None,
        states=[f"{count} {state}" for state, count in sorted(states.items())],
        ranked=ranked,
        left_out=found.left_out,
        styles=beside("page.css", "sweep.css"),
        scripts=beside("curves.js", "columns.js", "overlays.js", "sweep.js"),
    )


def _curves(ranked: RunTables) -> list[dict[str, Any]]:
    """What sweep.js draws and links, a mapping for each row of the table, in its order.

    written: when the run's own page was, where it has maps to compare; null else.
    """
    return [
        {
            "id": row.key,
            "name": row.name,
            "number": row.number,
            "address": quote(row.key),
            "within": quote(str(Path(row.key).parent)),
            "folder": row.run.run.folder.name,
            "written": _atlas_written(row.run.run.folder),
            "epochs": [int(each.get("epoch", at)) for at, each in enumerate(row.run.history, 1)],
            "columns": columns(row.run),
        }
        for row in ranked.rows
    ]


def columns(one: TrainingRun) -> dict[str, list[float | None]]:
    """The curves of one run by column of metrics.csv, None where nothing was measured, in four digits.

    At the first shown epoch there is nothing to compare with, whatever a column of what stayed says.
    """
    names = dict.fromkeys(name for row in one.history for name in row if not OWN.match(name))
    found = {name: [_short(row.get(name)) for row in one.history] for name in names}
    for name, values in found.items():
        first = next((at for at, value in enumerate(values) if value is not None), None)
        if name.startswith("stayed/") and first is not None:
            values[first] = None
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def _atlas_written(folder: Path) -> float | None:
    """A page that is newer knows of older runs to stand beside; an older one does not know of newer ones."""
    data = folder / "report" / "data.js"
    return data.stat().st_mtime if (folder / "report" / "atlas").is_dir() and data.is_file() else None
