"""Sweeps: which commands are such; the end of each run; at the end of all a page, a comparing job, a hint.

conf/ names the classes as Hydra's callbacks.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf

from convscope.analyses import abouts
from convscope.cli.errors import existing_choices
from convscope.cli.jobs import JOBS
from convscope.cli.overrides import as_value, search_path
from convscope.cli.recording import write_page_of_sweep
from convscope.cli.run_start import is_in_sweep
from convscope.config import check_path_key
from convscope.errors import UserError, check_new_path, command_line
from convscope.runs.throttle import Throttle

GARBAGE = Throttle(1 / 20)  # the share of a sweep's time that collecting garbage between its runs may take


@contextmanager
def collecting_garbage() -> Iterator[None]:
    """Frees what a finished run of a sweep leaves in reference cycles: its net, also on a GPU, and open files."""
    try:
        yield
    finally:
        if is_in_sweep() and GARBAGE.due:
            with GARBAGE.counted():
                gc.collect()


def is_sweep(flags: Sequence[str], overrides: Sequence[str], conf: Path) -> bool:
    """Whether the command is a sweep: by its flags or overrides, or by the experiment that it chooses."""
    modes = [override.partition("=")[2].upper() for override in overrides if override.startswith("hydra.mode=")]
    if "--multirun" in flags or modes:
        return "--multirun" in flags or modes[-1] == "MULTIRUN"
    folders = [flag.removeprefix("--config-dir=") for flag in flags if flag.startswith("--config-dir=")]
    choices = [choice for folder in (conf, *map(Path, folders)) for choice in existing_choices(folder, overrides)]
    with initialize_config_dir(str(conf), version_base="1.3"):
        composed = hydra.compose("config", overrides=[*search_path(flags), *choices], return_hydra_config=True)
    return str(composed.hydra.mode).endswith("MULTIRUN")


class CheckFolder(Callback):
    """Callback of every start: ends it where the folder of the run or sweep is no place on this disk.

    Hydra makes the folder next. It turns other exceptions of a callback into warnings.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        self._check(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        self._check(config, "hydra.sweep.dir")

    @staticmethod
    def _check(config: DictConfig, key: str) -> None:
        try:
            check_path_key(config, key, check=check_new_path)
        except UserError as error:
            raise SystemExit(f"convscope: {error}") from None


class CheckDirection(Callback):
    """Callback of every sweep: ends one whose sweeper would look for the worst net.

    Sweepers such as Optuna's look for the lowest number where hydra.sweeper.direction says nothing else.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        directions = config.hydra.sweeper.get("direction")
        if directions is None or config.job != "train":
            return
        from convscope.metrics.goals import GOALS

        goal = GOALS.get(config.optim.get("loss"), GOALS["softmax"])
        wanted = {"max": "maximize", "min": "minimize"}[goal.mode]
        for direction in directions if isinstance(directions, ListConfig) else [directions]:
            name = getattr(direction, "name", direction)
            if name != wanted:
                raise SystemExit(
                    f"convscope: hydra.sweeper.direction={name} looks for the worst net, because a training run "
                    f"returns its best {goal.metric}; type hydra.sweeper.direction={wanted}"
                )


class LastPage(Callback):
    """Callback of every sweep: writes its page at the end, with the runs of all processes, and prints where it is."""

    folder: Path | None = None  # of the sweep, from its start to its end

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        LastPage.folder = Path(config.hydra.sweep.dir)

    @classmethod
    def write(cls) -> None:
        """Writes the page. program.start calls this, because Hydra calls nothing after a sweep with a failed job."""
        folder, cls.folder = cls.folder, None
        if folder is not None and folder.is_dir() and (page := write_page_of_sweep(folder)) is not None:
            print(f"the sweep: look at {page}", flush=True)


class ForgetSettings(Callback):
    """Callback of every sweep: drops the settings of each run, of which Hydra keeps two copies until the end."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = None


class EndWith(Callback):
    """Callback of an experiment: a job that compares the runs of the sweep, in the folder of the sweep.

    overrides: of the job's settings, such as table.order=best.
    """

    settings: dict[str, Any] | None = None  # of the job, from the start of the sweep to its end
    folder: Path

    def __init__(self, job: str, overrides: Sequence[str] = ()):
        self.overrides = overrides
        self.about = next(about for about in abouts().values() if about.job == job)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = config.hydra.sweep.dir
        composed = hydra.compose("config", overrides=[f"job={self.about.job}", *self.overrides])
        OmegaConf.update(composed, self.about.sweep_key, folder)
        settings: Any = OmegaConf.to_container(composed, resolve=True)
        settings["trainer"] = OmegaConf.to_container(config.trainer, resolve=True)
        name = self.about.sweep_folder
        EndWith.settings = settings | {"seed": config.seed, "name": name, "words": []}
        EndWith.folder = Path(folder)

    @classmethod
    def run_job(cls) -> None:
        """Runs the job after a sweep that was not interrupted; called by program.start as LastPage.write is.

        After an error it runs only where a run has come to a checkpoint; without one there is nothing to compare.
        """
        settings, cls.settings = cls.settings, None
        error = sys.exc_info()[1]
        if settings is None or isinstance(error, SystemExit | KeyboardInterrupt):
            return
        if error is None or any(cls.folder.glob("*/checkpoints/last.ckpt")):
            JOBS[settings["job"]](settings, cls.folder / settings["name"])


class SayEnsembles(Callback):
    """Callback of an experiment: prints the commands that evaluate ensembles of a sweep, if no run of it failed.

    of: name of an ensemble -> folders of its runs, inside the folder of the sweep.
    """

    def __init__(self, of: Mapping[str, Sequence[str]]):
        self.of = of

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = config.hydra.sweep.dir
        for name, runs in self.of.items():
            nets = ",".join(as_value(f"{folder}/{run}/checkpoints/last.ckpt") for run in runs)
            overrides = ["job=evaluate", "evaluate.crops=ten", f"ckpt=[{nets}]", f"hydra.run.dir={folder}/{name}"]
            print(f"then: {command_line(*overrides)}")
        print(f"then: {command_line('job=table', f'sweep={folder}')}", flush=True)
