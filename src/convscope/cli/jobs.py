"""Every job by its name: one command for all analyses, and the program's own jobs.

settings: the plain values of conf/, and under "words" the overrides of the command line. Heavy libraries are imported
inside the functions: a wrong key on the command line is answered at once.
"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

from convscope import analyses
from convscope.analyses import About
from convscope.cli.program_jobs import PROGRAM_JOBS
from convscope.cli.recording import Command, Settings, recorded, timed
from convscope.cli.training import train
from convscope.config import check_setting, read_config


def analysis_command(name: str, about: About) -> Command:
    """The command of the analysis in the folder analyses/<name>."""

    def command(settings: Settings, folder: Path) -> None:
        start = time.perf_counter()
        check_common_paths(settings, about.images)
        config: Any = read_config(about.config, settings)

        from convscope.analyses.inputs import Inputs
        from convscope.cli import terminal

        inputs = Inputs(settings, folder, terminal.show_warning)
        results = import_module(f"convscope.analyses.{name}.job").results(inputs, config)
        inputs.facts["seconds"] = {"preparation": time.perf_counter() - start} if inputs.subjects else {}
        recorded(results, settings, folder, inputs.facts, inputs.subjects)

    return command


def check_common_paths(settings: Settings, images: bool = True) -> None:
    """Raises UserError for a path that cannot be one, at the keys that many jobs share. images: conf/data is read."""
    for key in ("ckpt", "model.init", *(("data.root", "data.cache_dir") if images else ())):
        check_setting(settings, key, several=key == "ckpt" and settings["job"] == "evaluate")


JOBS: dict[str, Command] = {
    name: timed(command)
    for name, command in {
        "train": train,
        **{about.job: analysis_command(name, about) for name, about in analyses.abouts().items()},
        **PROGRAM_JOBS,
    }.items()
}
