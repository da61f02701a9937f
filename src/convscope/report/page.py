"""The report page of one run: report/index.html and report/data.js, made from the run folder alone.

Opens from disk: no server, no network. index.html is complete text (header, sections by idea, net, config) and needs no
script; data.js holds what page.js moves: the pictures by epoch, the curves, the overview of the atlas.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from convscope.report import header
from convscope.report.atlas import Atlas, Thumbnails, build_atlas, in_atlas, write_thumbnails
from convscope.report.convergence import convergence_in_words, layer_convergences, remeasure_overlap
from convscope.report.ideas import REST
from convscope.report.linked_runs import analyses_of, sweep_page_of, trained_run
from convscope.report.sections import is_moving, sections
from convscope.report.templates import beside, literal, template
from convscope.runs.atomic_io import write
from convscope.runs.reading import Run, read_run
from convscope.runs.top9_records import dead_maps, read_layer_record
from convscope.runs.training_runs import has_learned

SCRIPTS = ("curves.js", "columns.js", "net.js", "pictures.js", "training.js", "atlas.js", "tiles.js", "map.js",
           "strip.js", "views.js", "page.js")  # fmt: skip


def write_page(run_folder: Path) -> Path:
    """Writes report/data.js, report/index.html, the atlas's scripts and the layers' glances of a run, finished or not;
    each whole or not at all.

    Returns the path of index.html. Reads only the run folder, and what other runs lie beside it.
    """
    folder = Path(run_folder)
    run = read_run(folder)
    run = run._replace(metrics=remeasure_overlap(folder, run.metrics))
    found = build_atlas(run)
    for name, (layer, said) in (found.layers if found else {}).items():
        write(folder / "report" / name, f"(window.ATLAS ||= {{}})[{literal(layer)}] = {literal(said)};\n")
    write(folder / "report" / "data.js", data_script(run, found))
    html = _html(run, write_thumbnails(folder, found))
    write(folder / "report" / "index.html", html.encode(errors="replace"))  # a caption may hold half a surrogate
    return folder / "report" / "index.html"


def data_script(run: Run, found: Atlas | None) -> str:
    """`window.DATA = {...};`: series of pictures by epoch, the columns of metrics.csv, the overview of the atlas."""
    data = {"series": _series(run), "metrics": run.metrics, "atlas": found.overview if found else None}
    return f"window.DATA = {literal(data)};\n"


def _series(run: Run) -> list[dict[str, Any]]:
    """The pictures that move whole, by name over the epochs; one of the whole run is a series of one, epoch null."""
    found: dict[str, dict[str, Any]] = {}
    for entry in run.entries:
        if not is_moving(entry) or entry.path is None or in_atlas(entry):
            continue
        series = found.setdefault(entry.name, {"name": entry.name, "layer": entry.layer, "frames": []})
        source = "../" + quote(entry.path)
        series["frames"].append({"epoch": entry.epoch, "source": source, "caption": entry.caption})
    for series in found.values():
        series["frames"].sort(key=lambda frame: frame["epoch"] or 0)
    return list(found.values())


def _html(run: Run, seen: Mapping[str, Thumbnails]) -> str:
    maps = {row["name"]: row["maps"] for row in _rows(run) if isinstance(row.get("maps"), int)}
    told = layer_convergences(run.metrics, maps, _dead(run))
    found = sections(run)
    return template("page.html").render(
        run=run,
        title=header.title(run),
        subtitle=header.subtitle(run),
        look=header.analyzed_net(run),
        facts=header.facts(run),
        trained=trained_run(run.folder, run.summary.get("of_run")),
        lookers=analyses_of(run.folder),
        sweep=sweep_page_of(run.folder),
        moving=any(is_moving(entry) for entry in run.entries),
        training=any(run.metrics.values()),
        stories=told,
        glances=seen,
        answer=convergence_in_words(told, bool(run.summary.get("finished")), has_learned(run)),
        warnings=_warnings(run),
        sections=[each for each in found if each.idea is not REST],
        rest=[each for each in found if each.idea is REST],
        rows=_rows(run),
        summary=_summary(run),
        command=shlex.join(["python", "src/run.py", *run.overrides]) if run.config else "",
        image_size=header.input_size(run),
        styles=beside("page.css", "sections.css", "atlas.css", "net.css"),
        scripts=beside(*SCRIPTS),
    )


def _dead(run: Run) -> dict[str, list[int]]:
    """Which maps of each layer no image excited at the last shown epoch."""
    shown = [entry for entry in run.entries if entry.layer and entry.name == f"top9/{entry.layer}"]
    last = {str(entry.layer): entry.epoch for entry in sorted(shown, key=lambda entry: entry.epoch or 0)}
    return {layer: dead_maps(read_layer_record(run.folder, epoch, layer)) or [] for layer, epoch in last.items()}


def _warnings(run: Run) -> list[str]:
    problem = run.summary.get("problem")
    return [*([str(problem)] if problem else []), *map(str, run.summary.get("warnings") or []), *run.remarks]


def _rows(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.rows if "name" in row]


def _summary(run: Run) -> dict[str, Any]:
    """What summary.json says and the page does not show above: its single values first, then its lists and mappings."""
    shown = ("net", "warnings", "finished", "problem", "of_run")
    rest = {key: value for key, value in run.summary.items() if key not in shown and value is not None}
    if isinstance(rest.get("numbers"), dict):  # those of index.jsonl stand above, with their captions
        above = {entry.name for entry in run.entries if entry.kind == "number"}
        rest["numbers"] = {name: value for name, value in rest["numbers"].items() if name not in above}
    groups = {key: value for key, value in rest.items() if isinstance(value, dict | list)}
    told = {"summary": {key: value for key, value in rest.items() if key not in groups}, **groups}
    return {_HEADINGS.get(key, key.replace("_", " ").capitalize()): value for key, value in told.items()}


_HEADINGS = {  # keys of summary.json that say too little alone
    "seconds": "Time in seconds",
    "final": "The last epoch",
    "best": "The best epoch",
    "numbers": "More numbers",
}
