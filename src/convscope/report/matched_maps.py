"""The maps of another run that match those of this one, as a job=match between both found them, for the atlas."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from convscope.errors import command_line
from convscope.report.linked_runs import analyses_by_job
from convscope.runs.index import PARTNERS, IndexEntry
from convscope.runs.reading import Run, read_run, read_table

JOB = "match"


class MatchedLayer(NamedTuple):
    """grid: of the partners, in the folder of the job. name: of the layer in the other run.

    partners: [map, its partner, their correlation, 1 where it is above those of shuffled images], as the page has them.
    """

    layer: str
    name: str
    grid: IndexEntry
    partners: list[list[float]]


class MatchedRun(NamedTuple):
    """A job=match of this run with another. folder: of the job; inside: seen from the folder of this run."""

    folder: Path
    inside: str
    layers: list[MatchedLayer]
    images: list[IndexEntry]


def matched_runs(run: Path) -> dict[str, MatchedRun]:
    """The runs whose maps were matched with those of the folder `run`, by their folders, links resolved.

    Of each the newest finished job=match whose first net is of `run`, if its files are whole.
    """
    matched = dict[str, MatchedRun]()
    for folder in analyses_by_job(run, JOB):
        analysis = read_run(folder)
        second = _other_run(analysis, run)
        if second is not None and second not in matched and (layers := _layers(analysis)):
            images = [entry for entry in analysis.entries if entry.name.startswith("images/") and _has_images(entry)]
            matched[second] = MatchedRun(folder, os.path.relpath(folder, run), layers, images)
    return matched


def match_command(run: Path, second: Path) -> str:
    """What to type to match the maps of two runs."""
    return command_line(f"job={JOB}", f"ckpt=[{_typed(run)},{_typed(second)}]")


def _typed(folder: Path) -> str:
    """The folder as it is typed in a list where the program was started, without the folders above that place."""
    parts = folder.resolve().parts
    path = "/".join(parts[parts.index("outputs") :] if "outputs" in parts else parts[-2:])
    return path if re.fullmatch(r"[\w./-]+", path) else json.dumps(path)  # Hydra reads quoted text as it is


def _other_run(analysis: Run, run: Path) -> str | None:
    """The folder of the second net's run; None where the first net is not of `run`, or the job has not finished."""
    nets = analysis.summary.get("matched")
    if not analysis.summary.get("finished") or not isinstance(nets, list) or len(nets) != 2:
        return None
    folders = [net.get("run") if isinstance(net, Mapping) else None for net in nets]
    first, second = (isinstance(path, str) and os.path.realpath(analysis.folder / path) for path in folders)
    return second if second and first == os.path.realpath(run) else None


def _layers(analysis: Run) -> list[MatchedLayer]:
    """The layers whose partners are drawn and listed."""
    header, rows = read_table(analysis.folder / "tables" / "match" / "pairs.csv")
    pairs = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
    layers = []
    for entry in analysis.entries:
        if entry.kind == "picture" and entry.name.startswith(PARTNERS) and _has_tiles(entry):
            of_layer = [row for row in pairs if row.get("layer") == entry.layer]
            names = {row.get("layer of the other") for row in of_layer}
            if len(names) == 1 and (partners := _partners(of_layer, entry)):
                layers.append(MatchedLayer(str(entry.layer), str(names.pop()), entry, partners))
    return layers


def _partners(rows: Sequence[Mapping[str, str]], grid: IndexEntry) -> list[list[float]]:
    """The pairs whose partners are on the grid; none where a row is damaged."""
    assert grid.sheet is not None
    try:
        pairs = [
            [int(row["map"]), int(row["map of the other"]), float(row["correlation"]), float(row["recurs"] == "yes")]
            for row in rows
        ]
    except (KeyError, ValueError):
        return []
    return [pair for pair in pairs if pair[1] in grid.sheet["maps"] and pair[2] == pair[2]]


def _has_tiles(entry: IndexEntry) -> bool:
    return entry.path is not None and entry.layer is not None and "projections" in (entry.sheet or {})


def _has_images(entry: IndexEntry) -> bool:
    return entry.kind == "picture" and entry.path is not None and "images" in (entry.sheet or {})
