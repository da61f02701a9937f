"""What a sweep does at its end: classes that conf/ names as Hydra's callbacks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from convscope.analyses import abouts
from convscope.cli.jobs import JOBS
from convscope.cli.recording import write_page_of_sweep


class LastPage(Callback):
    """hydra.callbacks of every sweep: at its end its page has all runs, whichever process made them."""

    folder: Path | None = None  # of a sweep that has begun

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        LastPage.folder = Path(config.hydra.sweep.dir)

    @classmethod
    def work(cls) -> None:
        """Hydra calls nothing at the end of a sweep in which a job failed, so app.start calls this."""
        folder, cls.folder = cls.folder, None
        if folder is not None and folder.is_dir():
            write_page_of_sweep(folder)


class ForgetSettings(Callback):
    """hydra.callbacks of every sweep: else Hydra keeps all settings of each run, twice, until the last one is over."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = None


class EndWith(Callback):
    """hydra.callbacks of an experiment: its sweep ends with a job that compares its runs, in the sweep's folder."""

    settings: dict[str, Any] | None = None  # of the job, once a sweep has begun
    folder: Path

    def __init__(self, job: str):
        self.about = next(about for about in abouts().values() if about.job == job)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder, words = config.hydra.sweep.dir, [f"job={self.about.job}"]
        composed = hydra.compose("config", overrides=words)
        OmegaConf.update(composed, self.about.sweep_key, folder)
        settings: Any = OmegaConf.to_container(composed, resolve=True)
        settings["trainer"] = OmegaConf.to_container(config.trainer, resolve=True)
        name = self.about.sweep_folder
        EndWith.settings = settings | {"seed": config.seed, "name": name, "words": []}
        EndWith.folder = Path(folder)

    @classmethod
    def work(cls) -> None:
        """The job of the sweep that was begun, if one was and was not broken off; as LastPage's, called by app.start.

        Where an error is on its way and no run has come to a checkpoint, the error says all there is.
        """
        settings, cls.settings = cls.settings, None
        error = sys.exc_info()[1]
        if settings is None or isinstance(error, SystemExit | KeyboardInterrupt):
            return
        if error is None or any(cls.folder.glob("*/checkpoints/last.ckpt")):
            JOBS[settings["job"]](settings, cls.folder / settings["name"])


class SayEnsembles(Callback):
    """hydra.callbacks of an experiment: a sweep of which no run failed ends with what to type for its ensembles.

    of: name -> folders of the runs in the sweep's.
    """

    def __init__(self, of: Mapping[str, Sequence[str]]):
        self.of = of

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = config.hydra.sweep.dir
        for name, runs in self.of.items():
            nets = ",".join(f"{folder}/{run}/checkpoints/last.ckpt" for run in runs)
            words = ["job=evaluate", "evaluate.crops=ten", f"ckpt=[{nets}]", f"hydra.run.dir={folder}/{name}"]
            print(f"then: python src/run.py {shlex.join(words)}")
        print(f"then: python src/run.py {shlex.join(['job=table', f'sweep={folder}'])}", flush=True)
