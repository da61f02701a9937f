"""config -> objects -> job -> record. With run.py the only file that knows Hydra.

Heavy libraries are imported inside the functions: a word that is wrong on the command line is answered at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convscope.problem import Problem

if TYPE_CHECKING:
    from convscope.record import Record


def start(conf: Path) -> None:
    """Composes the command line and runs it; a Problem ends in one line and status 1, SIGTERM in status 143."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us as they are
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(run)()
    except (Problem, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"convscope: {_one_line(error)}")
    except SystemExit as end:
        sys.exit(143 if type(end).__name__ == "SIGTERMException" else end.code)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key", "object_type")))


def run(cfg: DictConfig) -> None:
    """One job of a single run or of a sweep."""
    if cfg.job not in JOBS:
        raise Problem(f"unknown job {cfg.job}; possible: {', '.join(f'job={name}' for name in JOBS)}")
    folder = Path(HydraConfig.get().runtime.output_dir)
    if cfg.job == "train" and _processes(cfg) > 1 and "LOCAL_RANK" not in os.environ:
        return _relaunch(cfg, folder)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    try:
        JOBS[cfg.job](settings, folder)
    except Problem as problem:
        if HydraConfig.get().mode == RunMode.MULTIRUN:  # the others go on; the sweep ends with status 1
            print(f"convscope: {folder.name}: {problem}", file=sys.stderr, flush=True)
        raise


def _processes(cfg: DictConfig) -> int:
    """How many devices of this machine the run takes: a number, a list of them, or all (auto, -1)."""
    devices = cfg.trainer.get("devices", 1)
    if devices in ("auto", -1, "-1"):
        import torch

        return 1 if cfg.trainer.accelerator == "cpu" else max(1, torch.cuda.device_count())
    return int(devices) if isinstance(devices, int | str) and str(devices).isdigit() else len(devices)


def _relaunch(cfg: DictConfig, folder: Path) -> None:
    """The same job under torchrun, one process per device, on its own composed config.

    Lightning's own launch repeats the command line in every process; in a sweep that trains something else.
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("SUBMITIT_")}
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _processes(cfg))))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={_processes(cfg)}"]
    config = ["--config-path", str((folder / ".hydra").resolve()), "--config-name", "config"]
    same = [f"hydra.run.dir={folder}", "hydra.output_subdir=null"]
    ended = subprocess.run([*torchrun, str(Path(sys.argv[0]).resolve()), *config, *same], env=env)
    if ended.returncode:
        raise Problem(
            f"the run on {_processes(cfg)} devices ended with status {ended.returncode}; its error stands above"
        )


# ---------------------------------------------------------------- one function per job


def _train(settings: dict[str, Any], folder: Path) -> None:
    import pytorch_lightning as pl

    from convscope import assemble, loggers
    from convscope.jobs.train import Plan, train
    from convscope.learn.classifier import Classifier
    from convscope.learn.recipe import initialize_, read_recipe
    from convscope.nets.build import ConvNet
    from convscope.record import Record

    start = time.perf_counter()
    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    recipe, choice = read_recipe(settings["optim"]), assemble.choice(settings["evolution"])
    subject = assemble.new(settings)
    net, data = subject
    scale = data.settings.pixel_scale if isinstance(data.settings.pixel_scale, float) else 1.0
    if isinstance(net, ConvNet):
        initialize_(net, recipe, scale)
    classifier = Classifier(net, recipe, len(data.classes), scale)
    plan = Plan(settings["trainer"], choice, settings["seed"], assemble.description(settings, subject))
    with loggers.opened(_chosen_loggers(settings), folder, settings) as chosen:
        record = Record(folder, chosen)
        facts = assemble.facts(settings, subject) | {"seconds": {"preparation": time.perf_counter() - start}}
        with _concluded(record, facts) as summary:
            outcome = train(classifier, data, plan, record)
            summary["seconds"]["looking"] = outcome.pop("looking")
            summary.update(outcome)


def _visualize(settings: dict[str, Any], folder: Path) -> None:
    import pytorch_lightning as pl

    from convscope import assemble, loggers
    from convscope.jobs.visualize import visualize
    from convscope.record import Record

    pl.seed_everything(settings["seed"], workers=True, verbose=False)
    choice = assemble.choice(settings["evolution"])
    subject = assemble.saved(settings, _said("data")) if settings["ckpt"] else assemble.new(settings, keep_classes=True)
    with loggers.opened(_chosen_loggers(settings), folder, settings) as chosen:
        record = Record(folder, chosen)
        with _concluded(record, assemble.facts(settings, subject)):
            for result in visualize(*subject, choice, settings["rule"], settings["seed"]):
                record.add(result)


def _report(settings: dict[str, Any], _: Path) -> None:
    from convscope.jobs.report import report

    print(report(Path(settings["run"])))


JOBS: dict[str, Callable[[dict[str, Any], Path], None]] = {"train": _train, "visualize": _visualize, "report": _report}


def _said(group: str) -> list[str]:
    """The words of this command line that speak of a config group, e.g. data=folder or data.limit=100."""
    words = [word.lstrip("+~") for word in HydraConfig.get().overrides.task]
    return [word for word in words if word.split("=")[0].split(".")[0] == group]


def _chosen_loggers(settings: dict[str, Any]) -> dict[str, Any]:
    """conf/logger; of several processes the first one logs."""
    return (settings.get("logger") or {}) if os.environ.get("RANK", "0") == "0" else {}


@contextmanager
def _concluded(record: Record, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Writes summary.json and the page at the end, also of a run that failed; says where to look."""
    from convscope.provenance import commit, versions
    from convscope.report.page import write_page

    start, summary = time.perf_counter(), {"seconds": {}, **facts, "finished": False}
    try:
        yield summary
        summary["finished"] = True
    except Problem as problem:
        summary["problem"] = str(problem)
        raise
    finally:
        if os.environ.get("RANK", "0") == "0":
            seconds = summary["seconds"]
            seconds[summary["job"]] = time.perf_counter() - start - seconds.get("looking", 0)
            rounded = {phase: round(spent, 2) for phase, spent in seconds.items()}
            record.summary({**summary, "seconds": rounded, "versions": versions(), "git": commit()})
            print(f"look at {write_page(record.folder)}", flush=True)
