"""The head of the page: what run this is, which net it looked at, and the numbers that sum it up."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from convscope.runs.number_format import brief, duration, percent
from convscope.runs.reading import Run, enclosing_sweep, start_time, value_at

_SHARES = [("validation mean AP", "val/mean_ap"), ("validation accuracy, top-1", "val/top1"), ("top-5", "val/top5")]
_LOOKS = {  # job -> what it is called, and how it looks at a net
    "visualize": ("features", "by what excites its maps"),
    "occlude": ("occlusion", "by covering one place of an image after another"),
    "invariance": ("invariance", "by shifting, enlarging and rotating images"),
    "correspond": ("correspondence", "by covering the same part in several images"),
    "diagnose": ("diagnosis", "by its filters, maps and units"),
    "neighbors": ("neighbors", "by the training images nearest to others"),
    "evaluate": ("errors", "by its errors on the images of a split"),
    "transfer": ("transfer", "by classifying other images by its features"),
    "claims": ("claims", "by testing the paper's claims on it"),
    "table": ("table", "one beside the other"),
}


class AnalyzedNet(NamedTuple):
    """A looking job in words. net: what it looked at; checkpoint: the file that held it, or the folder of a sweep whose
    runs were compared; "" for a net made anew.
    """

    job: str
    how: str
    net: str
    checkpoint: str


def page_topic(job: str) -> str:
    """What the page of a job shows, in a word: "occlusion" for occlude; of a job that does not look its own name."""
    return _LOOKS[job][0] if job in _LOOKS else job


def title(run: Run) -> str:
    """The run's name, of a sweep's row that of its folder, else its net's, else its folder's; for a checkpoint the name
    of the run that wrote it.
    """
    looked = analyzed_net(run)
    if looked and looked.checkpoint and not any(word.startswith("name=") for word in run.overrides):
        folder = PurePosixPath(looked.checkpoint).parts[0]  # <date>_<time>_<name>
        return re.sub(r"^\d{4}-\d\d-\d\d_[\d-]+_", "", folder)
    if around := enclosing_sweep(run.folder):
        return run.folder.resolve().relative_to(around).as_posix()
    names = (run.summary.get("name"), run.settings.get("name"), value_at(run.settings, "model", "name"))
    return next((str(name) for name in names if name and "${" not in str(name)), run.folder.resolve().name)


def subtitle(run: Run) -> list[str]:
    """Job, net, data and date: what the run was, as far as the folder tells."""
    looked = analyzed_net(run)
    date = start_time(run.folder.resolve()).strftime("%-d %B %Y, %H:%M")
    if looked and looked.checkpoint:  # what the config says of model and data is not about a checkpoint's
        names = (value_at(run.summary, "net", "name"), run.summary.get("data"))
        return [looked.job, *(str(name) for name in names if name), date]
    net = value_at(run.summary, "net", "name") or run.choices.get("model") or value_at(run.settings, "model", "name")
    data = run.choices.get("data") or value_at(run.settings, "data", "source")
    words = (looked.job if looked else _job(run), net, data, date)
    return [str(word) for word in words if word and "${" not in str(word)]


def analyzed_net(run: Run) -> AnalyzedNet | None:
    """What a looking job looked at, None for other jobs."""
    job = str(_job(run))
    if job not in _LOOKS:
        return None
    if isinstance(several := run.settings.get("ckpt"), list):
        return AnalyzedNet(*_LOOKS[job], f"{len(several)} nets", "")
    checkpoint = _plain(run.settings, several)
    if checkpoint:
        return AnalyzedNet(
            *_LOOKS[job], str(value_at(run.summary, "net", "name") or "the net"), _last_parts(checkpoint)
        )
    if compared := _compared(run, job):
        return AnalyzedNet(*_LOOKS[job], "the runs", compared)
    net = str(value_at(run.summary, "net", "name") or value_at(run.settings, "model", "name") or "a net")
    return AnalyzedNet(*_LOOKS[job], net + _training(run.settings), "")


def _training(settings: Mapping[str, Any]) -> str:
    """Where the weights of a net without a checkpoint come from; "" where no config says what was asked for."""
    if "model" not in settings:
        return ""
    weights = value_at(settings, "model", "weights")
    return f" (weights {_last_parts(str(weights))})" if weights else " (untrained: random weights)"


def _compared(run: Run, job: str) -> str:
    """The folder of the sweep whose runs were compared, without the folders above it; "" for a job on one net.

    The comparison at the end of a sweep has no config of its own: its summary says the folder.
    """
    asked, recorded = {
        "diagnose": (value_at(run.settings, "diagnose", "runs"), run.summary.get("runs")),
        "table": (run.settings.get("sweep"), run.summary.get("sweep")),
    }.get(job, (None, None))
    sweep = asked or recorded
    sweeps = sweep if isinstance(sweep, list) else [sweep]
    folders = [PurePosixPath(_plain(run.settings, path)).name for path in sweeps]
    return " and ".join(name for name in folders if name)


def input_size(run: Run) -> Any:
    """Side of the net's input in pixels; None where it is not known. What a config says of data is not about the net of
    a checkpoint, which has its own.
    """
    own = value_at(run.summary, "net", "image_size")
    return own if own or run.settings.get("ckpt") else value_at(run.settings, "data", "image_size")


def facts(run: Run) -> list[tuple[str, str]]:
    """The numbers under the title, as (name, text); those that the folder does not have are left out."""
    final = run.summary.get("final") or {}
    shares = [(label, final.get(key, _last(run, key))) for label, key in _SHARES]
    epochs = len(run.metrics.get("epoch", []))
    speed = run.summary.get("images_per_second") or _last(run, "images_per_second")
    seconds = run_seconds(run)
    parameters = value_at(run.summary, "net", "parameters")
    told = [(label, percent(share)) for label, share in shares if share is not None]
    told += [("epochs", str(epochs))] if epochs else []
    told += [("time", duration(seconds))] if seconds else []
    told += [("images a second", brief(speed))] if speed else []
    return told + ([("parameters", f"{parameters:,}")] if parameters else [])


def run_seconds(run: Run) -> float:
    """Seconds from the beginning to the end; of a run without one those of its epochs."""
    return sum((run.summary.get("seconds") or {}).values()) or sum(filter(None, run.metrics.get("seconds", [])))


def _job(run: Run) -> Any:
    return run.summary.get("job") or run.settings.get("job")


def _last(run: Run, column: str) -> float | None:
    return next((value for value in reversed(run.metrics.get(column, [])) if value is not None), None)


def _plain(settings: Mapping[str, Any], said: Any) -> str:
    """A setting with ${other.setting} replaced by what that one says: .hydra/config.yaml holds them as written."""
    if said is None:
        return ""
    return re.sub(r"\$\{([\w.]+)\}", lambda found: str(value_at(settings, *found[1].split(".")) or ""), str(said))


def _last_parts(path: str) -> str:
    """<run>/checkpoints/<file>, or the file alone where it lies elsewhere: no one's folders above it."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    run_known = len(parts) > 2 and parts[-2] == "checkpoints" and parts[-3] != "/"
    personal = parts[-4:-3] in (("home",), ("Users",), ("/",))
    return "/".join(parts[-3:] if run_known and not personal else parts[-1:])
