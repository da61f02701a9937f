"""The report page of one run: report/index.html and report/data.js, made from the run folder alone.

Opens from disk: no server, no network. index.html is complete text (header, net, config, tables); data.js holds what
page.js moves: the pictures by epoch and the curves.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Template

from convscope.record import write
from convscope.report.reading import Run, read_run, started, table_rows
from convscope.report.settling import answer, stories

HERE = Path(__file__).parent


class Sheet(NamedTuple):
    """A table of index.jsonl as text."""

    title: str
    caption: str
    columns: list[str]
    rows: list[list[str]]


def write_page(run_folder: Path) -> Path:
    """Writes report/data.js and report/index.html of a run, finished or not; each whole or not at all.

    Returns the path of index.html. Reads only the run folder.
    """
    folder = Path(run_folder)
    run = read_run(folder)
    write(folder / "report" / "data.js", data_script(run))
    write(folder / "report" / "index.html", _html(run).encode(errors="replace"))  # a caption may hold half a surrogate
    return folder / "report" / "index.html"


def data_script(run: Run) -> str:
    """`window.DATA = {...};`: series of pictures by epoch, and the columns of metrics.csv. ASCII without <, > or &."""
    data = {"series": _series(run), "metrics": run.metrics}
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # escapes U+2028 as it does all but ASCII
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"window.DATA = {text};\n"


def _series(run: Run) -> list[dict[str, Any]]:
    """Pictures of one name over the epochs; a picture of the whole run is a series of one, with epoch null."""
    found: dict[str, dict[str, Any]] = {}
    for entry in run.entries:
        if entry.kind != "picture" or entry.path is None:
            continue
        series = found.setdefault(entry.name, {"name": entry.name, "layer": entry.layer, "frames": []})
        source = "../" + quote(entry.path)
        series["frames"].append({"epoch": entry.epoch, "source": source, "caption": entry.caption})
    for series in found.values():
        series["frames"].sort(key=lambda frame: frame["epoch"] or 0)
    return list(found.values())


@cache  # a training run writes its page after every epoch
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=ChainableUndefined,  # a summary of another version may lack a key: an empty place, not an error
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "brief": brief}
    environment.globals["zip"] = zip
    return environment.get_template("page.html")


def _html(run: Run) -> str:
    maps = {row["name"]: row["maps"] for row in _rows(run) if isinstance(row.get("maps"), int)}
    told = stories(run.metrics, maps)
    return _template().render(
        run=run,
        title=_title(run),
        subtitle=_subtitle(run),
        facts=_facts(run),
        stories=told,
        answer=answer(told),
        warnings=[*map(str, run.summary.get("warnings") or []), *run.remarks],
        rows=_rows(run),
        summary=_summary(run),
        image_size=_of(run.settings, "data", "image_size"),
        numbers=[entry for entry in run.entries if entry.kind == "number"],
        sheets=[_sheet(run, entry) for entry in run.entries if entry.kind == "table"],
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        scripts=[(HERE / name).read_text(encoding="utf-8") for name in ("curves.js", "page.js")],
    )


def _title(run: Run) -> str:
    names = (run.summary.get("name"), run.settings.get("name"), _of(run.settings, "model", "name"))
    return next((str(name) for name in names if name and "${" not in str(name)), run.folder.resolve().name)


def _subtitle(run: Run) -> list[str]:
    """Job, net, data and date: what the run was, as far as the folder tells."""
    net = _of(run.summary, "net", "name") or run.choices.get("model") or _of(run.settings, "model", "name")
    data = run.choices.get("data") or _of(run.settings, "data", "source")
    job = run.summary.get("job") or run.settings.get("job")
    date = started(run.folder.resolve()).strftime("%-d %B %Y, %H:%M")
    return [str(word) for word in (job, net, data, date) if word and "${" not in str(word)]


def _facts(run: Run) -> list[tuple[str, str]]:
    """The numbers under the title, as (name, text); those that the folder does not have are left out."""
    final = run.summary.get("final") or {}
    shares = [(label, final.get(key, _last(run, key))) for label, key in _SHARES]
    epochs = len(run.metrics.get("epoch", []))
    speed = run.summary.get("images_per_second") or _last(run, "images_per_second")
    seconds = sum((run.summary.get("seconds") or {}).values()) or sum(filter(None, run.metrics.get("seconds", [])))
    parameters = _of(run.summary, "net", "parameters")
    facts = [(label, percent(share)) for label, share in shares if share is not None]
    facts += [("epochs", str(epochs))] if epochs else []
    facts += [("time", duration(seconds))] if seconds else []
    facts += [("images a second", brief(speed))] if speed else []
    return facts + ([("parameters", f"{parameters:,}")] if parameters else [])


_SHARES = [("validation top-1", "val/top1"), ("validation top-5", "val/top5")]


def _last(run: Run, column: str) -> float | None:
    return next((value for value in reversed(run.metrics.get(column, [])) if value is not None), None)


def _rows(run: Run) -> list[dict[str, Any]]:
    return _of(run.summary, "net", "rows") or []


def _summary(run: Run) -> dict[str, Any]:
    """What summary.json says and the page does not show above: its single values first, then its lists and mappings."""
    shown = ("net", "warnings", "finished")
    rest = {key: value for key, value in run.summary.items() if key not in shown and value is not None}
    groups = {key: value for key, value in rest.items() if isinstance(value, dict | list)}
    return {"summary": {key: value for key, value in rest.items() if key not in groups}, **groups}


def _of(mapping: Mapping[str, Any], *keys: str) -> Any:
    """The value under nested keys; None where any of them is missing."""
    value: Any = mapping
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _sheet(run: Run, entry: Any) -> Sheet:
    title = entry.name if entry.epoch is None else f"{entry.name}, epoch {entry.epoch}"
    return Sheet(title, entry.caption, *table_rows(run.folder / entry.path))


def percent(share: float) -> str:
    """0.9534 -> "95.3 %"."""
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """75.2 -> "1 min 15 s"; hours without seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_ = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def brief(value: Any) -> str:
    """A number in at most four digits or so, everything else as it is; "" for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return str(value)
