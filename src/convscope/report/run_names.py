"""Names of the runs of a sweep, by what varies in it, as it was typed: "renorm=0.1 seed=1"."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convscope.runs.config_diff import LONGEST_DIFFERENCE, affects_result
from convscope.runs.number_format import brief
from convscope.runs.reading import Run
from convscope.runs.sweep_runs import swept_settings


def name_in_sweep(run: Run, sweep: Path) -> str:
    """The name of a run among those of the sweep around it: its own, where it says what varies, else what varies.

    Of the sweep it reads the command alone: when the page of a run is written, later runs may not have begun. The
    folder of the run names it where the command cannot be read, and where too much varies.
    """
    folder = run.folder.resolve().relative_to(sweep).as_posix()
    swept = swept_settings(run, sweep)
    if swept is None:
        return folder
    seed = {"seed": swept.pop("seed")} if "seed" in swept else {}
    settings = {key: value for key, value in swept.items() if affects_result(run, key)}
    name, template = run.summary.get("name"), str(run.settings.get("name"))
    if name and all(re.search(rf"\${{{re.escape(key)}\b", template) for key in settings):
        return ", ".join([str(name), *(f"seed {value}" for value in seed.values())])
    words = settings_in_words(settings | seed)
    return words if 0 < len(words) <= LONGEST_DIFFERENCE else folder


def settings_in_words(settings: Mapping[str, Any]) -> str:
    """Settings by dotted key, as they are typed: "renorm=0.1 seed=1"."""
    names = short_names(list(settings))
    return " ".join(f"{name}={setting_text(value)}" for name, value in zip(names, settings.values(), strict=True))


def short_names(keys: Sequence[str]) -> list[str]:
    """Short names of config keys: their last part where that is of one key alone."""
    last = [key.rpartition(".")[2] for key in keys]
    return [
        name if last.count(name) == 1 else ".".join(key.split(".")[-2:]) for key, name in zip(keys, last, strict=True)
    ]


def setting_text(value: Any) -> str:
    """A setting as text: a number in few digits, "none" for None."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return brief(value)
    return "none" if value is None else str(value)
