"""Which part each map answers to, by the last dissection of the net: what the atlas writes on the maps."""

from pathlib import Path
from typing import NamedTuple

from convscope.report.linked_runs import analyses_by_job
from convscope.runs.reading import Run, read_table

JOB, TABLE = "dissect", "tables/dissection/maps.csv"
COLUMNS = "layer", "map", "part", "IoU", "detector"


class MapLabel(NamedTuple):
    """part: that of the map's largest IoU. iou: that IoU. detector: whether the map detects the part."""

    part: str
    iou: float
    detector: bool


def map_labels(run: Run) -> dict[str, dict[int, MapLabel]]:
    """Layer -> map -> its label, from the newest dissection of the run's net; empty where there is none.

    The run is the training of the net, or another analysis of it.
    """
    folders = [run.folder]
    trained = run.summary.get("of_run")
    if isinstance(trained, str) and not Path(trained).is_absolute():
        folders.append(run.folder / trained)
    for dissection in (analysis for folder in folders for analysis in analyses_by_job(folder, JOB)):
        if labels := _read(dissection / TABLE):
            return labels
    return {}


def _read(path: Path) -> dict[str, dict[int, MapLabel]]:
    """The labels in a table of maps; lines of a damaged one are left out."""
    header, rows = read_table(path)
    if not set(COLUMNS) <= set(header):
        return {}
    labels: dict[str, dict[int, MapLabel]] = {}
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        try:
            layer, number, part, iou, detector = (cells[column] for column in COLUMNS)
            map_, label = int(number), MapLabel(part, min(1.0, max(0.0, float(iou))), detector == "yes")
            if part:
                labels.setdefault(layer, {})[map_] = label
        except (KeyError, ValueError):
            continue
    return labels
