"""Typed words that change nothing: keys that exist, and that this job and these choices do not read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from convscope.analyses import abouts
from convscope.cli.keys import mapping_or_empty
from convscope.cli.run_start import is_in_sweep

Settings = Mapping[str, Any]


def unused_words(settings: Settings) -> list[str]:
    """A line for each typed word that changes nothing in this job, with this net, these images and this recipe.

    In a sweep none: its words are those of an experiment, or meant for other rows.
    """
    if is_in_sweep():
        return []
    lines, reasons = [], _reasons_against(settings)
    for word in settings.get("words", ()):
        key = word.lstrip("+~").partition("=")[0]
        why = next((reason for pattern, reason in reasons if re.fullmatch(pattern, key)), "")
        lines += [f"{word.removeprefix('++')} changes nothing: {why}"] if why else []
    return lines


def _reasons_against(settings: Settings) -> list[tuple[str, str]]:
    """Patterns of the keys that this job and these choices do not read, and why."""
    model, data = (mapping_or_empty(settings.get(name)) for name in ("model", "data"))
    of_library, library = "layers" not in model and not settings.get("ckpt"), model.get("source")
    rules = [
        (data.get("source") == "stream", r"data\.on_bad_image", "that was decided when the set was converted"),
        (of_library and library == "python", r"data\.pixel_scale", "pixels are scaled by model.std"),
        (of_library and library != "python", r"data\.pixel_scale", f"pixels are scaled as {library} trained its nets"),
        (settings.get("ckpt") or model.get("init"), r"model\.(mean|std)", "the checkpoint has its own"),
        *(_rules_of_training if settings["job"] == "train" else _rules_of_looking)(settings, "layers" in model),
    ]
    return [(pattern, reason) for holds, pattern, reason in rules if holds]


def _rules_of_training(settings: Settings, rows: bool) -> list[tuple[bool, str, str]]:
    model, optim = (mapping_or_empty(settings.get(name)) for name in ("model", "optim"))
    inherits = bool(model.get("init")) and model.get("take") != []
    return [
        (not rows, r"optim\.(init|init_std|bias_ones)", f"{model.get('source')} initializes its nets itself"),
        (rows and bool(model.get("weights")), r"optim\.(init|init_std|bias_ones)", "model.weights has all weights"),
        (optim.get("init") == "he", r"optim\.(init_std|bias_ones)", "optim.init=he sets all weights and biases"),
        (optim.get("algorithm") == "adamw", r"optim\.momentum", "optim.algorithm=adamw has moments of its own"),
        (optim.get("schedule") != "plateau", r"optim\.patience", "only optim.schedule=plateau waits"),
        (optim.get("loss") == "multilabel", r"optim\.label_smoothing", "optim.loss=multilabel does not smooth"),
        (inherits, r"data\.pixel_scale", "pixels are scaled as for the net of model.init"),
    ]


def _rules_of_looking(settings: Settings, rows: bool) -> list[tuple[bool, str, str]]:
    job = settings["job"]
    about: Any = next((about for about in abouts().values() if about.job == job), None)
    draws = about is not None and about.config.config_group == "evolution"
    images = about.images if about else job in ("annotate", "convert")
    net = bool(about.looks) and images if about else job == "dashboard"
    never = f"job={job} trains nothing"
    training = (
        r"trainer\.(?!(accelerator|devices|num_nodes)$).*|checkpoint\..*|model\.(init|take|freeze)|data\.color_noise"
    )
    divides = about is not None and about.divides
    dividing = ", ".join(about.job for about in abouts().values() if about.divides)
    return [
        (not divides, r"trainer\.(devices|num_nodes)", f"job={job} runs on one device; several are for {dividing}"),
        (True, rf"{training}|optim\.(?!batch_size$|loss$).*", never),
        (not settings.get("ckpt"), r"optim\.loss", never),
        (not draws, r"evolution(\..*)?", f"job={job} draws no maps by conf/evolution"),
        (draws, r"evolution\.epochs", f"job={job} shows the net as it is"),
        (not images, r"data(\..*)?", f"job={job} reads no images of data=..."),
        (not net and (rows or not images), r"model(\..*)?", f"job={job} looks at no net"),
    ]
