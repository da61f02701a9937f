"""What Hydra's sweepers search by: the number that each training run of a real sweep returns."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf

from conftest import ROOT, convscope
from convscope.cli.errors import explain_hydra_error
from convscope.cli.program import run
from convscope.cli.sweeps import CheckDirection

TINY = ["data.train=40", "data.val=30", "data.image_size=64", "model.width=0.05", "trainer.accelerator=cpu",
        "optim.batch_size=20"]  # fmt: skip


def swept(*words):
    """What the runs of a sweep return to Hydra's own sweeper, in this process."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        program = GlobalHydra.instance().hydra
        (returns,) = program.multirun("config", run, list(words), with_log_configuration=False)
    return returns


def measured(folder):
    """val/top1 of every epoch in metrics.csv, six digits each."""
    return [float(row["val/top1"]) for row in csv.DictReader((folder / "metrics.csv").open())]


def test_runs_of_the_search_return_the_best_epoch_and_finished_ones_do_so_again(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["experiment=search", "optim.lr=0.001,0.1", "optim.weight_decay=0.2", "trainer.max_epochs=2", *TINY]
    words += [f"data.cache_dir={cache}", "hydra.sweep.dir=sweep"]
    returns = swept(*words)
    runs = [Path("sweep", f"lr_{lr}_decay_0.2_seed_0") for lr in (0.001, 0.1)]
    for job, folder in zip(returns, runs, strict=True):
        assert job.return_value == pytest.approx(max(measured(folder)), rel=1e-5)
        assert job.return_value == json.loads((folder / "summary.json").read_text())["best"]["val/top1"]
    before = [(folder / "metrics.csv").stat().st_mtime_ns for folder in runs]
    again = swept(*words)
    assert [job.return_value for job in again] == [job.return_value for job in returns]
    assert [(folder / "metrics.csv").stat().st_mtime_ns for folder in runs] == before


@pytest.mark.parametrize("direction", ["minimize", ["maximize", "minimize"], None, "maximize", ["maximize"]])
@pytest.mark.parametrize("job", ["train", "visualize"])
def test_a_sweeper_that_would_look_for_the_worst_net_does_not_begin(direction, job):
    settings = {"job": job, "optim": {"loss": "multilabel"}, "hydra": {"sweeper": {"direction": direction}}}
    config = OmegaConf.create(settings)
    if job == "train" and direction and "minimize" in direction:
        with pytest.raises(
            SystemExit, match=r"direction=minimize looks for the worst net.*val/mean_ap; type .*=maximize"
        ):
            CheckDirection().on_multirun_start(config)
    else:
        CheckDirection().on_multirun_start(config)


def test_optuna_finds_the_best_of_its_runs_and_goes_on(tmp_path, cache):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="pip install 'convscope[search]' brings Optuna")
    words = ["experiment=search", "hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1", "hydra.sweeper.sampler.seed=0"]
    words += ["optim.lr=tag(log,interval(0.0001,0.01))", "trainer.max_epochs=1", *TINY, f"data.cache_dir={cache}"]
    words += ["hydra.sweep.dir=sweep"]
    ended = convscope(*words, "hydra.sweeper.n_trials=2", cwd=tmp_path)
    assert ended.returncode == 1 and "hydra.sweeper.direction=minimize looks for the worst net" in ended.stderr
    for trials in (2, 3):
        ended = convscope(*words, "hydra.sweeper.direction=maximize", f"hydra.sweeper.n_trials={trials}", cwd=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.stdout.count("has finished; nothing is left to do") == {2: 0, 3: 2}[trials]
        runs = list((tmp_path / "sweep").glob("lr_*"))
        best = max(max(measured(folder)) for folder in runs)
        result = yaml.safe_load((tmp_path / "sweep/optimization_results.yaml").read_text())
        assert len(runs) == trials and result["best_value"] == pytest.approx(best, rel=1e-5)
    assert "the best val/top1 of 3 rows" in ended.stdout


def test_an_interval_without_optuna_and_a_missing_optuna_are_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HydraException) as problem:
        swept("optim.lr=interval(0.001,0.1)", "hydra.sweep.dir=sweep")
    explained = explain_hydra_error(str(problem.value), ROOT / "conf", list)
    assert explained == "an interval is searched by hydra/sweeper=optuna; without it type several values: key=0.1,0.2"
    if find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        with pytest.raises(HydraException) as problem:
            swept("hydra/sweeper=optuna")
        explained = explain_hydra_error(str(problem.value), ROOT / "conf", list)
        assert explained == "hydra/sweeper=optuna needs a library of its own; type pip install 'convscope[search]'"
