"""The report page of one run: report/index.html and report/data.js, made from the run folder alone.

HTML comes from templates that escape every value; data.js is a script, because pages of file:// cannot fetch files.
"""

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Template

from convscope.analyses import abouts
from convscope.errors import command_line
from convscope.metrics.loss_gap import conditions_of_settings, loss_gap_in_words
from convscope.report import header
from convscope.report.atlas import Atlas, Thumbnails, build_atlas, in_atlas, write_thumbnails
from convscope.report.convergence import (
    LayerConvergence,
    layer_convergences,
    remeasure_overlap,
    settled_in_words,
    training_in_words,
)
from convscope.report.linked_runs import analyses_of, sweep_page_of, trained_run
from convscope.report.sections import REST, drawing_addresses, is_moving, sections
from convscope.runs.atomic_io import alone_in, write
from convscope.runs.heartbeat import RunStatus, read_status
from convscope.runs.index import OUTCOME
from convscope.runs.number_format import brief, duration, percent
from convscope.runs.reading import Run, read_run
from convscope.runs.top9_records import dead_maps, read_layer_record
from convscope.runs.training_runs import has_learned

ASSETS = Path(__file__).parent / "assets"


@cache  # a training run writes its page after every epoch
def template(name: str) -> Template:
    """The template of this name in assets/, with the filters of all templates."""
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=ChainableUndefined,  # a summary of another version may lack a key: an empty place, not an error
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "brief": brief, "duration": duration}
    environment.globals["zip"] = zip
    return environment.get_template(name)


def asset_texts(*names: str) -> list[str]:
    """The texts of these files of assets/, which are written into the page itself."""
    return [(ASSETS / name).read_text(encoding="utf-8") for name in names]


def literal(value: Any) -> str:
    """The value as JSON that may stand in a script: ASCII without <, > or &. Raises ValueError for nan and infinity."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # escapes U+2028 as it does all but ASCII
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


SCRIPTS = ("elements.js", "columns.js", "curves.js", "chart.js", "squares.js", "net.js", "pictures.js", "training.js",
           "atlas.js", "record.js", "tiles.js", "labels.js", "layer.js", "map.js", "whole.js", "strip.js", "views.js",
           "controls.js", "present.js", "download.js", "page.js", "live.js")  # fmt: skip
PARTS = ("state", "links", "warnings", "facts", "answer", "numbers", "details")  # blocks that live.js puts in anew
STRUCTURE = ("sections", "net", "rest")  # blocks whose change needs the whole page anew


def write_page(run_folder: Path, into: Path | None = None) -> Path:
    """Writes the page of a run, finished or not, and returns the path of its index.html.

    In report/: index.html, data.js, the atlas's scripts and the layers' thumbnails, each whole or not at all; of a run
    that goes on also parts.js, for pages that are open. into: a folder in place of report/. Reads the run folder and
    the names of the runs beside it. Several processes may do so at once: they wait for each other, so that the last one
    to write has read the newest.
    """
    folder = Path(run_folder)
    report = folder / "report" if into is None else into
    with alone_in(report):
        return _write_page(folder, report)


def _write_page(folder: Path, report: Path) -> Path:
    run = read_run(folder)
    run = run._replace(metrics=remeasure_overlap(folder, run.metrics))
    atlas = build_atlas(run)
    for name, (layer, content) in ({**atlas.layers, **atlas.matched} if atlas else {}).items():
        write(report / name, f"(window.ATLAS ||= {{}})[{literal(layer)}] = {literal(content)};\n")
    status = read_status(folder)
    html, parts = _html(run, write_thumbnails(folder, atlas, report), status)
    if status is not None and status.state == "running":
        write(report / "parts.js", f"window.PARTS = {literal(parts)};\n")
    write(report / "index.html", html.encode(errors="replace"))  # a caption may hold half a surrogate
    write(report / "data.js", data_script(run, atlas, status))  # the last one: status.js says when
    return report / "index.html"


def data_script(run: Run, atlas: Atlas | None, status: RunStatus | None = None) -> str:
    """`window.DATA = {...};`: series of pictures by epoch, the columns of metrics.csv, the overview of the atlas.

    status: of the run folder; of a run that goes on the first key says when this was written.
    """
    written = {"written": round(time.time(), 3)} if status is not None and status.state == "running" else {}
    data = written | {"series": _series(run), "metrics": run.metrics, "atlas": atlas.overview if atlas else None}
    data["words"] = column_words()
    return f"window.DATA = {literal(data)};\n"


@cache
def column_words() -> dict[str, str]:
    """The words for columns <head>/<layer> of metrics.csv that analyses add after an epoch, by their head."""
    return {head: words for about in abouts().values() for head, words in about.each_epoch.items()}


def _series(run: Run) -> list[dict[str, Any]]:
    """The pictures that are moved whole, as series over the epochs; a single picture is a series of one, epoch null."""
    all_series: dict[str, dict[str, Any]] = {}
    for entry in run.entries:
        if not is_moving(entry) or entry.path is None or in_atlas(entry):
            continue
        series = all_series.setdefault(entry.name, {"name": entry.name, "layer": entry.layer, "frames": []})
        source = "../" + quote(entry.path)
        frame = {"epoch": entry.epoch, "source": source, "caption": entry.caption}
        drawings = drawing_addresses(run.folder, entry.path)
        series["frames"].append(frame | ({"drawings": drawings} if drawings else {}))
    for series in all_series.values():
        series["frames"].sort(key=lambda frame: frame["epoch"] or 0)
    return list(all_series.values())


def _html(run: Run, thumbnails: Mapping[str, Thumbnails], status: RunStatus | None) -> tuple[str, dict[str, str]]:
    """The page, and its PARTS by name, with "structure": a number that changes where all of the page has to."""
    page, values = template("page.html"), _values(run, thumbnails, status)
    context = page.new_context(values)
    values["structure"] = format(zlib.crc32(repr([[*page.blocks[name](context)] for name in STRUCTURE]).encode()), "x")
    parts = {name: "".join(page.blocks[name](context)) for name in PARTS}
    return page.render(values), parts | {"structure": values["structure"]}


def _values(run: Run, thumbnails: Mapping[str, Thumbnails], status: RunStatus | None) -> dict[str, Any]:
    """The values of the template."""
    layers = _layers(run)
    all_sections = sections(run)
    return {
        "run": run,
        "parts": template("sections.html").module,
        "live": header.goes_on(run, status),
        "state": header.state(run, status),
        "title": header.title(run),
        "subtitle": header.subtitle(run),
        "analyzed": header.analyzed_net(run),
        "facts": header.facts(run),
        "trained": trained_run(run.folder, run.summary.get("of_run")),
        "analyses": analyses_of(run.folder),
        "sweep": sweep_page_of(run.folder),
        "moving": any(is_moving(entry) for entry in run.entries),
        "training": any(run.metrics.values()),
        "layers": layers,
        "thumbnails": thumbnails,
        "loss_gap": _loss_gap(run),
        "answers": _in_short(run, layers),
        "stories": bool(settled_in_words(run, layers)),
        "learned": has_learned(run),
        "warnings": _warnings(run),
        "sections": [section for section in all_sections if section.idea is not REST],
        "rest": [section for section in all_sections if section.idea is REST],
        "rows": _rows(run),
        "summary": _summary(run),
        "command": command_line(*run.overrides) if run.config else "",
        "image_size": header.input_size(run),
        "styles": asset_texts("page.css", "sections.css", "atlas.css", "net.css", "present.css", "print.css"),
        "scripts": asset_texts(*SCRIPTS),
    }


def _in_short(run: Run, layers: Sequence[LayerConvergence]) -> list[str]:
    """What came out of the whole run: its own words, what a training reached, and which layers have settled."""
    of_run = [entry.caption for entry in run.entries if entry.kind == "conclusion" and entry.name == OUTCOME]
    return [*of_run, *training_in_words(run, layers)]


def outcome_of_training(run_folder: Path, facts: Mapping[str, Any]) -> str:
    """What came out of a training run that has just ended, as its page begins, in a line. facts: its summary so far."""
    run = read_run(run_folder)
    run = run._replace(
        metrics=remeasure_overlap(run_folder, run.metrics), summary={**run.summary, **facts, "finished": True}
    )
    return " ".join(training_in_words(run, _layers(run)))


def _layers(run: Run) -> list[LayerConvergence]:
    maps = {row["name"]: row["maps"] for row in _rows(run) if isinstance(row.get("maps"), int)}
    return layer_convergences(run.metrics, maps, _dead_maps(run))


def _loss_gap(run: Run) -> str:
    """Why the training loss lies above the validation loss, where it does."""
    training, validation = (run.metrics.get(f"{split}/loss", []) for split in ("train", "val"))
    recorded, classes = (run.summary.get(key) for key in ("training_conditions", "classes"))
    count = len(classes) if isinstance(classes, list) else 0
    return loss_gap_in_words(training, validation, recorded or conditions_of_settings(run.settings, count))


def _dead_maps(run: Run) -> dict[str, list[int]]:
    """Layer -> its maps that no image excites at the last epoch with a top-9 grid."""
    grids = [entry for entry in run.entries if entry.layer and entry.name == f"top9/{entry.layer}"]
    last = {str(entry.layer): entry.epoch for entry in sorted(grids, key=lambda entry: entry.epoch or 0)}
    return {layer: dead_maps(read_layer_record(run.folder, epoch, layer)) or [] for layer, epoch in last.items()}


def _warnings(run: Run) -> list[str]:
    problem = run.summary.get("problem")
    return [*([str(problem)] if problem else []), *map(str, run.summary.get("warnings") or []), *run.remarks]


def _rows(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.rows if "name" in row]


def _summary(run: Run) -> dict[str, Any]:
    """The values of summary.json that are not elsewhere on the page: single ones first, then lists and mappings."""
    elsewhere = ("net", "warnings", "finished", "problem", "of_run", "training_conditions")
    rest = {key: value for key, value in run.summary.items() if key not in elsewhere and value is not None}
    if isinstance(rest.get("numbers"), dict):  # those of index.jsonl are in the sections, with their captions
        in_sections = {entry.name for entry in run.entries if entry.kind == "number"}
        rest["numbers"] = {name: value for name, value in rest["numbers"].items() if name not in in_sections}
    groups = {key: value for key, value in rest.items() if isinstance(value, dict | list)}
    headed = {"summary": {key: value for key, value in rest.items() if key not in groups}, **groups}
    return {_HEADINGS.get(key, key.replace("_", " ").capitalize()): value for key, value in headed.items()}


_HEADINGS = {  # of keys of summary.json that are no good headings
    "seconds": "Time in seconds",
    "final": "The last epoch",
    "best": "The best epoch",
    "numbers": "More numbers",
}
