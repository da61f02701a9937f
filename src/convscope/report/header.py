"""The head of a run's page: title, job, net, data and date, and the numbers that sum the run up."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from convscope.analyses import abouts
from convscope.report.run_names import name_in_sweep
from convscope.runs.heartbeat import RunStatus
from convscope.runs.number_format import brief, duration, percent
from convscope.runs.reading import Run, enclosing_sweep, start_time, value_at

_SHARES = [("validation mean AP", "val/mean_ap"), ("validation accuracy, top-1", "val/top1"), ("top-5", "val/top5")]


class AnalyzedNet(NamedTuple):
    """The net that an analysis examined, in words.

    topic: of the page. how: by what the analysis examines a net. net: its name. checkpoint: the file that holds it,
    the folder of a sweep whose runs were compared, or "" for a net without either.
    """

    topic: str
    how: str
    net: str
    checkpoint: str


@cache
def _looks() -> dict[str, tuple[str, str]]:
    """Job -> topic of its page, and by what it examines a net; analyses of a net alone."""
    return {about.job: (about.label, about.looks) for about in abouts().values() if about.looks}


@cache
def _sweep_keys() -> dict[str, str]:
    """Job -> config key of the sweep whose runs it compares."""
    return {about.job: about.sweep_key for about in abouts().values() if about.sweep_key}


def page_topic(job: str) -> str:
    """The topic of an analysis's page, "occlusion" for occlude; the job itself where it is no analysis."""
    return _looks()[job][0] if job in _looks() else job


def title(run: Run) -> str:
    """The title of the page.

    For the analysis of a checkpoint the name of the run that wrote it, of two nets both names; for the row of a sweep
    its name on the sweep's page; else the first of the run's name, its net's name and its folder's name.
    """
    analyzed, has_name = analyzed_net(run), any(override.startswith("name=") for override in run.overrides)
    if matched := _matched_nets(run):
        return str(run.summary["name"]) if has_name else matched
    if analyzed and analyzed.checkpoint and not has_name:
        folder = PurePosixPath(analyzed.checkpoint).parts[0]  # <date>_<time>_<name>
        return re.sub(r"^\d{4}-\d\d-\d\d_[\d-]+_", "", folder)
    if sweep := enclosing_sweep(run.folder):
        return name_in_sweep(run, sweep)
    names = (run.summary.get("name"), run.settings.get("name"), value_at(run.settings, "model", "name"))
    return next((str(name) for name in names if name and "${" not in str(name)), run.folder.resolve().name)


def subtitle(run: Run) -> list[str]:
    """Job or topic, net, data and date of the run, without what the folder lacks."""
    analyzed = analyzed_net(run)
    date = start_time(run.folder.resolve()).strftime("%-d %B %Y, %H:%M")
    if analyzed and analyzed.checkpoint:  # the config's model and data need not be those of the checkpoint
        names = (value_at(run.summary, "net", "name"), run.summary.get("data"))
        return [analyzed.topic, *(str(name) for name in names if name), date]
    net = value_at(run.summary, "net", "name") or run.choices.get("model") or value_at(run.settings, "model", "name")
    data = run.choices.get("data") or value_at(run.settings, "data", "source")
    words = (analyzed.topic if analyzed else _job(run), net, data, date)
    return [str(word) for word in words if word and "${" not in str(word)]


def state(run: Run, status: RunStatus | None) -> str:
    """How far an unfinished run has come, in words; "" for a finished one. status: of the run folder, if it has one."""
    if run.summary.get("finished"):
        return ""
    if not goes_on(run, status) or status is None:
        return "not finished: as far as it came"
    if status.silent:
        return f"stopped? The last sign of life was on {datetime.fromtimestamp(status.beat):%-d %B, %H:%M}"
    return status.words


def goes_on(run: Run, status: RunStatus | None) -> bool:
    """Whether nothing in the folder says that the run is over; its process may have been killed."""
    return status is not None and status.state == "running" and "finished" not in run.summary


def analyzed_net(run: Run) -> AnalyzedNet | None:
    """The net that the run examined; None for a run that is no analysis."""
    job = str(_job(run))
    if job not in _looks():
        return None
    if matched := _matched_nets(run):
        return AnalyzedNet(*_looks()[job], matched, "")
    setting = run.settings.get("ckpt")
    if isinstance(setting, list):
        return AnalyzedNet(*_looks()[job], f"{len(setting)} nets", "")
    name = value_at(run.summary, "net", "name")
    if checkpoint := _resolved(run.settings, setting):
        return AnalyzedNet(*_looks()[job], str(name or "the net"), _public_path(checkpoint))
    if sweep := _compared_sweep(run, job):
        return AnalyzedNet(*_looks()[job], "the runs", sweep)
    net = str(name or value_at(run.settings, "model", "name") or "a net")
    return AnalyzedNet(*_looks()[job], net + _weights(run.settings), "")


def _matched_nets(run: Run) -> str:
    """The names of the two nets that were matched; "" for other runs."""
    matched = run.summary.get("matched")
    nets = matched if isinstance(matched, list) else []
    return " and ".join(str(net["name"]) for net in nets if isinstance(net, dict) and "name" in net)


def _weights(settings: Mapping[str, Any]) -> str:
    """Where the weights of a net without a checkpoint come from; "" without a config."""
    if "model" not in settings:
        return ""
    weights = value_at(settings, "model", "weights")
    return f" (weights {_public_path(str(weights))})" if weights else " (untrained: random weights)"


def _compared_sweep(run: Run, job: str) -> str:
    """The name of the sweep's folder whose runs were compared; "" for a job on one net.

    The comparison at the end of a sweep has no config of its own: the folder is in its summary.
    """
    if job not in _sweep_keys():
        return ""
    key = _sweep_keys()[job].split(".")
    setting, recorded = value_at(run.settings, *key), run.summary.get(key[-1])
    sweep = setting or recorded
    sweeps = sweep if isinstance(sweep, list) else [sweep]
    names = [PurePosixPath(_resolved(run.settings, path)).name for path in sweeps]
    return " and ".join(name for name in names if name)


def input_size(run: Run) -> Any:
    """Side of the net's input in pixels; None where it is not known.

    For the net of a checkpoint only its own size counts: the config's data need not be that of the checkpoint.
    """
    size = value_at(run.summary, "net", "image_size")
    return size if size or run.settings.get("ckpt") else value_at(run.settings, "data", "image_size")


def facts(run: Run) -> list[tuple[str, str]]:
    """The numbers under the title, as (name, text), without those that the folder lacks."""
    final = run.summary.get("final") or {}
    shares = [(label, final.get(key, _last(run, key))) for label, key in _SHARES]
    epochs = len(run.metrics.get("epoch", []))
    speed = run.summary.get("images_per_second") or _last(run, "images_per_second")
    seconds = run_seconds(run)
    parameters = value_at(run.summary, "net", "parameters")
    texts = [(label, percent(share)) for label, share in shares if share is not None]
    texts += [("epochs", str(epochs))] if epochs else []
    texts += [("time", duration(seconds))] if seconds else []
    texts += [("images a second", brief(speed))] if speed else []
    return texts + ([("parameters", f"{parameters:,}")] if parameters else [])


def run_seconds(run: Run) -> float:
    """Seconds from start to end; of an unfinished run those of its epochs."""
    return sum((run.summary.get("seconds") or {}).values()) or sum(filter(None, run.metrics.get("seconds", [])))


def _job(run: Run) -> Any:
    return run.summary.get("job") or run.settings.get("job")


def _last(run: Run, column: str) -> float | None:
    return next((value for value in reversed(run.metrics.get(column, [])) if value is not None), None)


def _resolved(settings: Mapping[str, Any], value: Any) -> str:
    """A setting with ${other.key} replaced by its value: .hydra/config.yaml holds settings as written; "" for None."""
    if value is None:
        return ""
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(value_at(settings, *match[1].split(".")) or ""), str(value))


def _public_path(path: str) -> str:
    """<run>/checkpoints/<file>, or the file alone where it is elsewhere, so that no home folder is on the page."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    in_run = len(parts) > 2 and parts[-2] == "checkpoints" and parts[-3] != "/"
    personal = parts[-4:-3] in (("home",), ("Users",), ("/",))
    return "/".join(parts[-3:] if in_run and not personal else parts[-1:])
